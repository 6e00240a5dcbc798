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
    it at all."""

    apply: Apply
    concerns: Concerns


MUTANTS: dict[str, Mutant] = {}


def mutant(fact: str, concerns: Concerns = lambda _: True) -> Callable[[Apply], Apply]:
    def known(apply: Apply) -> Apply:
        MUTANTS[fact] = Mutant(apply, concerns)
        return apply

    return known


def exactly_once(parameters: Parameters) -> bool:
    return parameters.guarantee == "exactly_once"


def recorded(parameters: Parameters) -> bool:
    return parameters.recorded
