"""A limit of callers, with a line before it: first come, first served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class Places:
    """`limit` places. `taken`: how many are. Used in one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def try_take(self, count: int = 1) -> bool:
        """Takes so many places at once, if they are free and nobody stands in line."""
        if self._line or self.taken + count > self.limit:
            return False
        self.taken += count
        return True

    async def take(self) -> None:
        """Takes one place, in turn. Cancelled while it waits, it takes none."""
        if self.try_take():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(1)  # it was given a place in the very moment of its cancellation
            else:
                self._line.pop(turn, None)
            raise

    def release(self, count: int) -> None:
        """Gives places back; the first in line get them."""
        self.taken -= count
        while self._line and self.taken < self.limit:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                self.taken += 1
                turn.set_result(None)
