"""How many runs, with which seeds; a line for each; a report of all of them where asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.simulator import SimulatorProcess, simulator_process
from tests.conftest import SEED_GIVEN
from tests.integration.guarantees import GUARANTEES

LINE = "run"
SHORT_SEED = 800
FIGURES = pytest.StashKey[list[dict[str, Any]]]()


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
def report(pytestconfig: pytest.Config, record_property: Any) -> Callable[[dict[str, Any]], None]:
    """Takes the figures of a run, for its line and for `--report FILE`."""

    def take(figures: dict[str, Any]) -> None:
        pytestconfig.stash.setdefault(FIGURES, []).append(figures)
        record_property(LINE, _line(figures))

    return take


class _Lines:
    """Prints a line for each run, and for each failure, as soon as it is over."""

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        lines = [str(line) for name, line in report.user_properties if name == LINE]
        if report.failed:
            lines = [f"{report.nodeid} failed in its {report.when}; the whole of it at the end"]
        if report.when == "call" or report.failed:
            for line in lines:
                self._reporter.ensure_newline()
                self._reporter.write_line(line)


def pytest_collection_finish(session: pytest.Session) -> None:
    plugins = session.config.pluginmanager
    if (reporter := plugins.get_plugin("terminalreporter")) and not plugins.has_plugin("lines"):
        plugins.register(_Lines(reporter), "lines")


def _line(run: dict[str, Any]) -> str:
    return (
        f"seed {run['seed']} {run['guarantee']} {run['nodes']} node(s) {run['seconds']:.0f} s: "
        f"{run['items']} items, lost {run['lost']}, out of order {run['out_of_order']}, duplicated "
        f"{run['duplicated']} (at most {run['duplicates_allowed']}), paid again "
        f"{run['paid_again']}, stood still {run['longest_stand_s']} s; {', '.join(run['faults'])}"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    figures = session.config.stash.get(FIGURES, [])
    if figures and (path := session.config.option.report):
        Path(path).write_text(json.dumps(figures, indent=1) + "\n")
