"""Waits until what the tasks have in hand has come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from streams.kafka.produce.sink import Sink
from streams.kafka.produce.transactions import Transactions
from streams.worker.partition import Lane
from streams.worker.task import TaskShell

CHECK_S = 0.02


class Settling:
    """`transactions`: where outcomes go instead of to the sink; None: they do not."""

    def __init__(
        self, tasks: Sequence[TaskShell], sink: Sink, transactions: Transactions | None
    ) -> None:
        self._tasks = tasks
        self._sink = sink
        self._transactions = transactions

    def undelivered(self) -> int:
        """Outcomes that the sinks have got and no broker has acknowledged."""
        more = 0 if self._transactions is None else self._transactions.pending()
        return self._sink.pending() + more

    async def wait(self, within_s: float, *, calls: bool = True) -> None:
        """Until no call is in flight (`calls`) and all that was released is delivered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while loop.time() < deadline:
            if self._transactions is not None:
                self._transactions.hurry()
            busy = any(task.busy if calls else task.writing for task in self._tasks)
            if not busy and not self.undelivered():
                return
            await asyncio.sleep(CHECK_S)

    async def hold(self, lanes: Iterable[Lane], within_s: float) -> None:
        """Let nothing more out of these lanes, and wait until all that went out is delivered: what
        a call answers from now on would be written without its commit, and written again by the
        next owner."""
        for lane in lanes:
            lane.task.hold(lane)
        await self.wait(within_s, calls=False)
