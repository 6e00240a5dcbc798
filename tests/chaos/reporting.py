"""What the runs tell: a line for each as soon as it is over, and a file of all their figures.

A worker of pytest-xdist prints nothing: the figures travel to the controller with the report of
the test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIGURES = "figures"


def configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporting(config), "chaos-reporting")


class _Reporting:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._figures: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = [json.loads(str(said)) for name, said in report.user_properties if name == FIGURES]
        if report.when == "call":
            self._figures += found
            for figures in found:
                self._say(_line(figures))
        if report.failed and report.nodeid.startswith(("tests/chaos/", "tests/faults/")):
            self._say(f"{report.nodeid} failed in its {report.when}; the whole of it at the end")

    def pytest_sessionfinish(self) -> None:
        if self._figures and (path := self._config.option.report):
            Path(path).write_text(json.dumps(self._figures, indent=1) + "\n")

    def _say(self, line: str) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)


def _line(run: dict[str, Any]) -> str:
    return (
        f"seed {run['seed']} {run['guarantee']} {run['nodes']} node(s) {run['seconds']:.0f} s: "
        f"{run['items']} items, lost {run['lost']}, out of order {run['out_of_order']}, duplicated "
        f"{run['duplicated']} (at most {run['duplicates_allowed']}), paid again "
        f"{run['paid_again']}, stood still {run['longest_stand_s']} s; {', '.join(run['faults'])}"
    )
