"""Those who wait for a queue: for any change of it, or for its next commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes those who wait for a change that a queue's owner reports."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition is true; it is checked after each change."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class Commits:
    """Those who wait for a commit of a lane, in the order of asking; false when there is none."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[bool]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return not all(waiting.done() for waiting in self._waiting)

    def ask(self) -> asyncio.Future[bool]:
        """Its result: whether the commit succeeded."""
        self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]

    def answer(self, count: int | None = None, *, committed: bool) -> None:
        """Answer the first so many; None: all."""
        for waiting in self._waiting[:count]:
            if not waiting.done():  # else the caller has timed out
                waiting.set_result(committed)
        del self._waiting[:count]
