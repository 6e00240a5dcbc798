"""Items for the tests of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, settings

from streams.model import Item

at_leisure = settings(suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a busy machine is no failure of theirs."""


def items_of(texts: Sequence[str]) -> list[Item]:
    """One item per text, as the decoder would make them."""
    return [
        Item({"text": text}, text, f"in/0/{n}", None, (), "in", 0, n, 1_700_000_000_000, None)
        for n, text in enumerate(texts)
    ]


@pytest.fixture
def items() -> Callable[[Sequence[str]], list[Item]]:
    return items_of
