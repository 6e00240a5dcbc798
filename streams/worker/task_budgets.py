"""The budgets of a worker's tasks: made at the start, kept in the group's topic, told in the log.

    reserve ─► a claim is needed ─► claim ─► {id}.budget ─► read ─► the engine is woken

On the embedded broker, which ends with the worker, each budget is the process's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from streams.codec.budget_records import BudgetRecord
from streams.core.call_money import CallMoney
from streams.policies.budget import Budget, budgets_in_usd
from streams.policies.shared_budget import SharedBudget
from streams.providers.prices import Price
from streams.settings import TaskSettings
from streams.worker.budget_log import BudgetLog
from streams.worker.group_topic import LAST_WITHIN_S, GroupTopic

LOOK_EVERY_S: Final = 0.1


class TaskBudgets:
    """Used in the worker's loop. `on_defect(error)`: the topic can never be used again."""

    def __init__(self, on_defect: Callable[[BaseException], None]) -> None:
        self._on_defect = on_defect
        self._loop = asyncio.get_running_loop()
        self._worker = secrets.token_hex(6)
        self._money: dict[str, CallMoney] = {}
        self._logs: dict[str, BudgetLog] = {}
        self._topic: GroupTopic[BudgetRecord] | None = None
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, task: TaskSettings, price: Price, *, shared: bool) -> CallMoney:
        """The money of a task that has a budget."""
        limits, now, epoch_s = task.limits, self._loop.time(), self._epoch_s
        budgets = budgets_in_usd(
            limits.budget_usd_per_hour, limits.budget_usd_per_day, limits.budget_usd
        )
        budget: Budget
        if shared:
            ask = self._asked.set
            budget = SharedBudget(
                budgets, limits.on_budget, now, worker=self._worker, ask=ask, epoch_s=epoch_s
            )
        else:
            budget = Budget(budgets, limits.on_budget, now, epoch_s=epoch_s)
        money = self._money[task.name] = CallMoney(budget, price.call_costs())
        self._logs[task.name] = BudgetLog(task.name)
        return money

    @property
    def _epoch_s(self) -> float:
        return time.time() - self._loop.time()

    async def start(
        self,
        make_topic: Callable[[Callable[[BudgetRecord], None]], GroupTopic[BudgetRecord]] | None,
    ) -> None:
        """`make_topic(on_record)`: None: no budget is shared. Raises BrokerError."""
        if make_topic is not None:
            self._topic = make_topic(self._take)
            await self._topic.start()
            self._tasks.append(asyncio.create_task(self._topic.follow()))
        self._tasks.append(asyncio.create_task(self._keep()))
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """What no call needs any more goes back to the group."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._topic is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._write(ends=True), LAST_WITHIN_S)
            await self._topic.stop()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_defect(error)

    def _take(self, record: BudgetRecord) -> None:
        money = self._money.get(record.task)
        if money is None or not isinstance(money.budget, SharedBudget):
            return
        money.budget.read(record.worker, record.claim, self._loop.time())
        money.costs.told = record.learned

    async def _keep(self) -> None:
        """Writes what is asked for; looks on for the log."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LOOK_EVERY_S)
            self._asked.clear()
            now = self._loop.time()
            for name, money in self._money.items():
                money.budget.epoch_s = self._epoch_s
                self._logs[name].look(money.budget.view(now), now, self._epoch_s)
            if self._topic is not None:
                await self._write()

    async def _write(self, *, ends: bool = False) -> None:
        assert self._topic is not None
        records = self._claims(ends=ends)
        if records:
            await self._topic.append(records)

    def _claims(self, *, ends: bool) -> Sequence[BudgetRecord]:
        now, records = self._loop.time(), []
        for name, money in self._money.items():
            if isinstance(money.budget, SharedBudget):
                claim = money.budget.claim(now, ends=ends)
                if claim is not None:
                    learned = money.costs.learned
                    records.append(BudgetRecord(name, self._worker, claim, learned))
        return records
