"""Where the mutants are known by what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.simulation.parameters import Parameters

Patch = pytest.MonkeyPatch
Apply = Callable[[Patch], None]
Concerns = Callable[[Parameters], bool]


class Mutant(NamedTuple):
    """`apply(patch)`: puts it into the code. `concerns(parameters)`: whether a schedule could find
    it at all. `found_by`: the seed of one that did; None: one of the first does."""

    apply: Apply
    concerns: Concerns
    found_by: int | None


MUTANTS: dict[str, Mutant] = {}


def mutant(
    fact: str, concerns: Concerns = lambda _: True, *, found_by: int | None = None
) -> Callable[[Apply], Apply]:
    """`found_by` saves the time of a search; where it finds nothing any more, others are tried."""

    def known(apply: Apply) -> Apply:
        MUTANTS[fact] = Mutant(apply, concerns, found_by)
        return apply

    return known


def exactly_once(parameters: Parameters) -> bool:
    return parameters.guarantee == "exactly_once"


def recorded(parameters: Parameters) -> bool:
    return parameters.recorded
