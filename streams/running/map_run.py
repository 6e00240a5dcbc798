"""One run over the items of an iterable: draws as calls may start, gives lists of outcomes.

    items ─► draw (as there is room) ─► Runner ─► lists of slots with outcomes ─► taker ─► Delivered

Rules:
1. What is drawn and not yet taken has a limit (`ROOM_CALLS`): memory is bounded for any input. A
   slow taker, or a call at the head of the order, holds back the drawing, not the calls under way.
2. Items of an iterable are drawn in this loop, those of an async iterable in a task of their own.
3. Whatever ends the run (the input's end, an error, the taker's leaving), its calls have ended and
   its task has, too, when `close` returns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Sequence,
)
from itertools import islice
from typing import Any

from streams.core.call import Slot
from streams.core.events import Arrived, Delivered, Flush, Opened, Paused, Resumed
from streams.errors import ItemError
from streams.running.runner import Runner
from streams.running.work import Work

LANE = 0

ROOM_CALLS = 8
"""Limit of items that are drawn and not taken, as a multiple of what `max_in_flight` calls hold."""


class MapRun:
    """The run of `work` over `items`, in the running loop."""

    def __init__(
        self,
        work: Work,
        items: Iterator[Any] | AsyncIterator[Any],
        *,
        on_pause: Callable[[Paused | Resumed], None] | None = None,
    ) -> None:
        self._input: Iterator[Any] | None = None
        self._async_input: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterator):
            self._async_input = items
        else:
            self._input = items
        self._work = work
        self._room = ROOM_CALLS * work.limits.max_items * work.limits.max_in_flight
        self._arrivals: list[Any] = []
        self._hand_over_handle: asyncio.Handle | None = None
        self._ready: deque[list[Slot]] = deque()
        self._lent: list[Slot] = []  # at the taker
        self._next_seq = 0
        self._open = 0  # drawn, not taken
        self._input_ended = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._feed: asyncio.Task[None] | None = None
        self.runner = Runner(
            work.caller,
            work.limits,
            timeout_s=work.timeout_s,
            account=work.account,
            on_release=self._release,
            on_ended=lambda *_: self._changed.set(),
            on_defect=self._fail,
            on_pause=on_pause,
        )
        self.runner.handle(Opened(LANE))

    async def take(self) -> tuple[list[Slot], list[Any]] | None:
        """Slots with their outcomes, and the results of these; None: there are no more. Those
        before them are taken. Raises what drawing an item raises, and a defect of the function.

        No async generator: an event loop that ends closes all that it finds, in no order.
        """
        self._begin()
        while not self._ready:
            self._raise()
            if self._input_ended and not self._open:
                return None
            await self._changed.wait()
            self._changed.clear()
            self._draw()
        slots = self._lent = self._ready.popleft()
        return slots, self._work.results(slots)

    def fail(self, error: Exception) -> None:
        """Ends the run: `take` raises this."""
        self._fail(error)

    def _begin(self) -> None:
        if self._lent:
            self._taken(self._lent)
            self._lent = []
        if self._async_input is not None and self._feed is None:
            self._feed = asyncio.create_task(self._draw_async(self._async_input))
        if not self._ready:
            self._draw()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _taken(self, slots: Sequence[Slot]) -> None:
        self._open -= len(slots)
        self._has_room.set()
        self.runner.handle(Delivered(LANE, slots))

    def _release(self, lane: Any, slots: list[Slot]) -> None:
        for slot in slots:
            slot.item = None  # let go, however long its result waits for its taker
        self._ready.append(slots)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """The function is not async, or raised a BaseException, or drawing an item raised."""
        if self._error is None:
            self._error = error
        self.runner.cancel()
        self._changed.set()

    # -- the input -------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Takes as many items as the calls that may start now can hold."""
        limits = self._work.limits
        while (
            self._input is not None
            and not self._input_ended
            and self.runner.in_flight < limits.max_in_flight
            and self._open < self._room
        ):
            new_items = list(islice(self._input, limits.max_items))
            self._input_ended = len(new_items) < limits.max_items
            self._arrive(new_items)
        if self._input_ended:
            self.runner.handle(Flush())

    def _arrive(self, items: list[Any]) -> None:
        now = self.runner.now()
        slots = [
            Slot(LANE, seq, item, arrived_at=now) for seq, item in enumerate(items, self._next_seq)
        ]
        self._work.weigh(slots)
        self._next_seq += len(slots)
        self._open += len(slots)
        self.runner.handle(Arrived(slots))

    async def _draw_async(self, items: AsyncIterator[Any]) -> None:
        try:
            async for item in items:
                self._arrivals.append(item)
                if self._hand_over_handle is None:
                    loop = asyncio.get_running_loop()
                    self._hand_over_handle = loop.call_soon(self._hand_over)
                while self._open + len(self._arrivals) >= self._room:
                    self._has_room.clear()
                    await self._has_room.wait()
        except Exception as error:
            self._fail(error)
        self._hand_over()
        self._input_ended = True
        self.runner.handle(Flush())
        self._changed.set()

    def _hand_over(self) -> None:
        """Gives the engine what was drawn in this turn of the loop, as one list."""
        if self._hand_over_handle is not None:
            self._hand_over_handle.cancel()
            self._hand_over_handle = None
        arrivals, self._arrivals = self._arrivals, []
        try:
            if arrivals and self._error is None:
                self._arrive(arrivals)
        except Exception as error:  # raised by `tokens`
            self._fail(error)

    # -- the end ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancels what is under way, and returns when it has ended; always to be called."""
        try:
            if self._feed is not None:
                await self._end_feed(self._feed)
        finally:
            if self._hand_over_handle is not None:
                self._hand_over_handle.cancel()
            try:
                await self.runner.stop()
            finally:
                await self._work.close()

    async def _end_feed(self, feed: asyncio.Task[None]) -> None:
        feed.cancel()
        await asyncio.wait([feed])
        if not feed.cancelled() and (error := feed.exception()) is not None and self._error is None:
            raise error
        close = getattr(self._async_input, "aclose", None)
        if close is not None:
            await close()


def first_error(results: Sequence[Any]) -> ItemError | None:
    return next((result for result in results if isinstance(result, ItemError)), None)
