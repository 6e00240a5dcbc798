"""A process whose calls end when, and as, the test says: no sleep, any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any


class Call:
    """One call under way. `answer`, `fail`: end it."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = list(items)
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.cancelled = False

    def answer(self, answers: Any = None) -> None:
        """Default: the items themselves."""
        self.ended.set_result(self.items if answers is None else answers)

    def fail(self, error: BaseException) -> None:
        self.ended.set_exception(error)


class Steered:
    """`calls`: every call so far. `most`: the most that were under way at once."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.under_way = 0
        self.most = 0
        self._changed = asyncio.Event()

    async def __call__(self, items: Sequence[Any]) -> Any:
        call = Call(items)
        self.calls.append(call)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self._changed.set()
        try:
            return await call.ended
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        finally:
            self.under_way -= 1

    async def started(self, count: int) -> list[Call]:
        """The calls, once there are so many."""
        while len(self.calls) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.calls


async def settled() -> None:
    """Everything that can happen without the test's doing has happened."""
    for _ in range(50):
        await asyncio.sleep(0)


def answering(answer: Callable[[Any], Any]) -> tuple[list[list[Any]], Any]:
    """A process that answers each item at once, and the list of the calls that it was given."""
    calls: list[list[Any]] = []

    async def process(items: Sequence[Any]) -> list[Any]:
        calls.append(list(items))
        return [answer(item) for item in items]

    return calls, process
