"""A door that writes down what its runner does, and a door of each kind behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from streams import ItemError, map_batches
from streams.core.account import Account
from streams.core.call import Call, Slot
from streams.core.events import Arrived, Delivered, Opened, Paused, Resumed
from streams.core.limits import Limits
from streams.providers.functions import function_caller
from streams.running.call_task import Ended
from streams.running.runner import Runner
from tests.worker.shell import Shell


class Door:
    """A runner with one lane. `delivers`: whether outcomes are delivered as they are released."""

    def __init__(
        self,
        caller: Any,
        *,
        timeout_s: float | None = 5.0,
        delivers: bool = True,
        cancels: bool = True,
        account: Account | None = None,
        **limits: Any,
    ) -> None:
        self.events: list[Ended] = []
        self.defects: list[BaseException] = []
        self.pauses: list[Paused | Resumed] = []
        self.released: list[list[Slot]] = []
        self.outcomes: list[Any] = []
        self.delivers = delivers
        self._arrived = 0
        self._changed = asyncio.Event()
        given = {"max_wait_s": 0.0, "max_attempts": 1, **limits}
        self.runner = Runner(
            caller,
            Limits(**given),
            timeout_s=timeout_s,
            on_release=self._release,
            on_ended=self._end,
            on_defect=self.defects.append,
            on_pause=lambda news, _: self.pauses.append(news),
            cancels=cancels,
            account=account,
        )
        self.runner.handle(Opened("lane"))

    def arrive(self, items: Iterable[Any]) -> None:
        now = self.runner.now()
        slots = [
            Slot("lane", seq, item, arrived_at=now) for seq, item in enumerate(items, self._arrived)
        ]
        self._arrived += len(slots)
        self.runner.handle(Arrived(slots))

    def deliver(self) -> None:
        """What was released so far."""
        for slots in self.released:
            self.runner.handle(Delivered("lane", slots))

    async def until_ended(self, calls: int) -> None:
        async with asyncio.timeout(10):
            while len(self.events) < calls:
                self._changed.clear()
                await self._changed.wait()

    def _release(self, lane: str, slots: list[Slot]) -> None:
        self.released.append(slots)
        self.outcomes += [slot.outcome for slot in slots]
        if self.delivers:
            self.runner.handle(Delivered(lane, slots))

    def _end(self, call: Call, slots: Sequence[Slot], event: Ended) -> None:
        self.events.append(event)
        self._changed.set()


Process = Callable[[list[Any]], Awaitable[Sequence[Any]]]
Run = Callable[..., Awaitable[list[Any]]]


async def over_a_list(process: Process, count: int, **limits: Any) -> list[Any]:
    return await map_batches(process, range(count), split=True, **limits)


async def over_a_topic(process: Process, count: int, **limits: Any) -> list[Any]:
    """The same numbers as items of a task: the results in its sink, else error codes."""

    async def function(items: list[Any]) -> Sequence[Any]:
        numbers = [item.offset for item in items]
        try:
            answers = await process(numbers)
        finally:
            del items[len(numbers) :]  # as `process` has left its list
        return [each if isinstance(each, ItemError) else {"of": each} for each in answers]

    shell = Shell()
    shell.caller = function_caller(function)
    await shell.start(**limits)
    try:
        (lane,) = await shell.assign(0)
        shell.arrive(lane, count)
        await shell.until(lambda: shell.committed == {0: count})
        counts = shell.task.call_tally
        assert sum(counts.by_status.values()) == sum(counts.items.counts) > 0
        assert shell.task.statistics().in_flight == 0
        dead = [dict(each.headers) for each in shell.broker.logs["dead", 0]]
        errors = {
            int(each["streams-source-offset"]): each["streams-error-code"].decode() for each in dead
        }
        results = iter(shell.written())
        return [ItemError(errors[n]) if n in errors else next(results) for n in range(count)]
    finally:
        await shell.stop()


def codes(results: Sequence[Any]) -> list[Any]:
    return [each.code if isinstance(each, ItemError) else each for each in results]
