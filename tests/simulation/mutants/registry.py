"""Where the mutants are known by what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Patch = pytest.MonkeyPatch
MUTANTS: dict[str, Callable[[Patch], None]] = {}


def mutant(fact: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def known(apply: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS[fact] = apply
        return apply

    return known
