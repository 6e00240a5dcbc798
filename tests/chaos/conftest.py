"""How many runs, with which seeds, and what becomes of their figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.chaos.reporting import FIGURES
from tests.chaos.simulator import SimulatorProcess, simulator_process
from tests.integration.guarantees import GUARANTEES
from tests.parallel import SEED_GIVEN

SHORT_SEED = 800


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`run`: (seed, guarantee, nodes). The first has the seed of the test run, those after it the
    next numbers; guarantees take turns, and every third is for three nodes. The few of `make test`
    are always the same, unless a seed is given: new ones are what `make chaos` is for."""
    if "run" not in metafunc.fixturenames:
        return
    option = metafunc.config.option
    new = option.thorough or metafunc.config.stash[SEED_GIVEN]
    first = option.seed if new else SHORT_SEED
    runs = []
    for n in range(option.runs):
        guarantee = option.guarantee or GUARANTEES[n % 2]
        nodes = option.nodes or (3 if n % 3 == 2 else 1)
        runs.append((first + n, guarantee, nodes))
    chosen = [run for run in runs if (run[2] == 3) == ("cluster" in metafunc.fixturenames)]
    metafunc.parametrize("run", chosen, ids=["-".join(map(str, run)) for run in chosen])


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    """One process for all runs."""
    with simulator_process() as running:
        yield running


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], None]:
    """Takes the figures of a run, for its line and for `--report FILE`."""

    def take(figures: dict[str, Any]) -> None:
        # Not `record_property`: it warns, which is an error here, wherever `--junitxml` is given.
        request.node.user_properties.append((FIGURES, json.dumps(figures)))

    return take
