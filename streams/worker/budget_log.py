"""Says in a line when a task's budget stops its calls or slows them, and when they go on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from math import isinf

from streams.policies.budget import BudgetView

logger = logging.getLogger(__name__)

SURE_AFTER_S = 1.0
"""Money that calls under way do not need comes back: for less long nobody is told."""

KEYS = {"hour": "budget_usd_per_hour", "day": "budget_usd_per_day", "total": "budget_usd"}


class BudgetLog:
    """Of one task. `stopped`: a budget stops it, for long enough to be told."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._since: float | None = None
        self._slowed_until = 0.0
        self.stopped = False

    def look(self, view: BudgetView, now: float, epoch_s: float) -> None:
        """`now`: on the shell's clock; `epoch_s`: from it to seconds since the epoch."""
        if view.binding is None:
            if self.stopped:
                logger.warning("task %s goes on: its budget has $%s left", self._task, left(view))
            self._since, self.stopped = None, False
        elif self._since is None:
            self._since = now
        elif not self.stopped and now - self._since >= SURE_AFTER_S:
            self.stopped = True
            logger.warning("task %s: %s", self._task, stopped_line(self._task, view, epoch_s))
        if view.is_slowed and now >= self._slowed_until:
            self._slowed_until = now + 3600
            logger.info(
                "task %s: calls are spread, so that the $%s left last for the rest of the time",
                self._task, left(view),
            )  # fmt: skip


def left(view: BudgetView) -> str:
    """Of the tightest budget, in dollars."""
    return f"{max(0, view.least_left) / 1e9:.6f}".rstrip("0").rstrip(".")


def stopped_line(task: str, view: BudgetView, epoch_s: float) -> str:
    """Which budget stops its calls, until when, and what to do."""
    assert view.binding is not None
    key = KEYS[view.binding]
    budget = (getattr(view.budgets, view.binding) or 0) / 1e9
    spent = f"{key} = {budget:g} is spent, to less than a call's cost"
    ends = "" if isinf(view.opens_at) else _time(view.opens_at + epoch_s)
    if view.on_budget == "dead_letter":
        until = f" until {ends}" if ends else ""
        return f"{spent}: items are dead letters with the code budget{until}"
    if ends:
        return f"{spent}: calls go on at {ends}"
    return f"{spent}: no call starts any more. To go on, raise task.{task}.limits.{key}"


def _time(epoch_s: float) -> str:
    return f"{datetime.fromtimestamp(round(epoch_s), UTC):%Y-%m-%d %H:%M} UTC"
