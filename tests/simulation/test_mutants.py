"""The simulation finds what it is there to find: each of these faults, within some schedules."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.parameters import parameters
from tests.simulation.schedule import run

WITHIN = 500


@pytest.mark.parametrize("fact", MUTANTS)
def test_a_fault_put_into_the_code_is_found(fact: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, concerns, found_by = MUTANTS[fact]
    apply(monkeypatch)
    first = [] if found_by is None else [found_by]
    seeds = (seed for seed in [*first, *range(WITHIN)] if concerns(parameters(seed)))
    assert any(run(seed).violation for seed in seeds), f"not found: {fact}"
