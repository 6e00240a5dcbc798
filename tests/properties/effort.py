"""How hard the property tests try: `STREAMS_TEST_EFFORT=30` runs thirty times the examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_EFFORT = float(os.environ.get("STREAMS_TEST_EFFORT", "1"))


def effort(examples: int, **other: int) -> settings:
    """So many examples at the usual effort, without a deadline, with the seed of a failure."""
    return settings(
        max_examples=max(1, int(examples * _EFFORT)),
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        **other,  # type: ignore[arg-type]
    )
