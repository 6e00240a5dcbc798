"""One line says that a budget stops a task, and one that it goes on."""

from __future__ import annotations

import logging
from math import inf

import pytest

from streams.policies.budget import Budgets, BudgetView, OnBudget
from streams.worker.budget_log import SURE_AFTER_S, BudgetLog

NOON = 500 * 86400.0 + 12 * 3600.0


def view(
    binding: str | None, opens_at: float = inf, on_budget: OnBudget = "pause", left: int = 0
) -> BudgetView:
    budgets = Budgets(hour=5 * 10**9, total=10**8)
    lefts = Budgets(hour=10**9, total=left)
    return BudgetView(budgets, lefts, on_budget, binding, opens_at, is_slowed=False)


def look_at(*views: BudgetView) -> None:
    log = BudgetLog("sentiment")
    for number, each in enumerate(views):
        log.look(each, number * SURE_AFTER_S, NOON)


@pytest.mark.parametrize(
    ("stopped", "line"),
    [
        (
            view("total"),
            "task sentiment: budget_usd = 0.1 is spent, to less than a call's cost: no call starts"
            " any more. To go on, raise task.sentiment.limits.budget_usd",
        ),
        (
            view("hour", 3600.0),
            "task sentiment: budget_usd_per_hour = 5 is spent, to less than a call's cost:"
            " calls go on at 1971-05-16 13:00 UTC",
        ),
        (
            view("hour", 3600.0, "dead_letter"),
            "task sentiment: budget_usd_per_hour = 5 is spent, to less than a call's cost:"
            " items are dead letters with the code budget until 1971-05-16 13:00 UTC",
        ),
    ],
)
def test_a_stop_is_told_once_and_so_is_its_end(
    stopped: BudgetView, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        look_at(stopped, stopped, stopped, view(None, left=5 * 10**6), view(None))
    assert caplog.messages == [line, "task sentiment goes on: its budget has $0.005 left"]


def test_what_lasts_for_a_moment_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        look_at(view("total"), view(None), view("total"), view(None))
    assert caplog.messages == []
