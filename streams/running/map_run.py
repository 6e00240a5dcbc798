"""One run over the items of an iterable: draws as calls may start, gives lists of outcomes.

    items ─► draw (as there is room) ─► Runner ─► lists of slots with outcomes ─► taker ─► Delivered

Rules:
1. What is drawn and not yet taken has a limit (`ROOM_CALLS`): memory is bounded for any input. A
   slow taker, or a call at the head of the order, holds back the drawing, not the calls under way.
2. Whatever ends the run (the input's end, an error, the taker's leaving), its calls have ended and
   its task has, too, when `close` returns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any

from streams.core.call import Slot
from streams.core.events import Arrived, Delivered, Flush, Opened, Paused, Resumed
from streams.errors import ItemError
from streams.running.drawing import Drawing
from streams.running.logs import PauseLog
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
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        on_pause: Callable[[Paused | Resumed, float], None] | None = None,
    ) -> None:
        self._work = work
        self._room = ROOM_CALLS * work.limits.max_items * work.limits.max_in_flight
        self._ready: deque[list[Slot]] = deque()
        self._lent: list[Slot] = []  # at the taker
        self._next_seq = 0
        self._open = 0  # drawn, not taken
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        is_async = isinstance(items, AsyncIterable)
        self._drawing = Drawing(
            items,
            arrive=self._arrive,
            room=(lambda: self._room - self._open) if is_async else self._room_now,
            fail=self.fail,
            on_end=self._end_input,
        )
        self.runner = Runner(
            work.caller,
            work.limits,
            timeout_s=work.timeout_s,
            account=work.account,
            money=work.money,
            on_release=self._release,
            on_ended=lambda *_: self._changed.set(),
            on_defect=self.fail,
            on_pause=on_pause or PauseLog("map_batches", "the input").tell,
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
            if self._drawing.ended and not self._open:
                return None
            await self._changed.wait()
            self._changed.clear()
            self._draw()
        slots = self._lent = self._ready.popleft()
        return slots, self._work.results(slots)

    def _begin(self) -> None:
        if self._lent:
            self._taken(self._lent)
            self._lent = []
        if not self._ready:
            self._draw()

    def _draw(self) -> None:
        self._drawing.draw()
        if self._drawing.ended:
            self.runner.handle(Flush())

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _taken(self, slots: Sequence[Slot]) -> None:
        self._open -= len(slots)
        self.runner.handle(Delivered(LANE, slots))

    def _release(self, lane: Any, slots: list[Slot]) -> None:
        for slot in slots:
            slot.item = None  # let go, however long its result waits for its taker
        self._ready.append(slots)
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """Ends the run: `take` raises this."""
        if self._error is None:
            self._error = error
        self.runner.cancel()
        self._changed.set()

    def _arrive(self, items: list[Any]) -> None:
        now = self.runner.now()
        slots = [
            Slot(LANE, seq, item, arrived_at=now) for seq, item in enumerate(items, self._next_seq)
        ]
        self._work.weigh(slots)
        self._next_seq += len(slots)
        self._open += len(slots)
        self.runner.handle(Arrived(slots))

    def _room_now(self) -> int:
        """An iterable is drawn as calls may start: a microbatch at a time."""
        limits = self._work.limits
        may_start = self.runner.in_flight < limits.max_in_flight and self._open < self._room
        return limits.max_items if may_start else 0

    def _end_input(self) -> None:
        self.runner.handle(Flush())
        self._changed.set()

    async def close(self) -> None:
        """Cancels what is under way, and returns when it has ended; always to be called."""
        try:
            await self._drawing.close()
        finally:
            try:
                await self.runner.stop()
            finally:
                await self._work.close()


def first_error(results: Sequence[Any]) -> ItemError | None:
    return next((result for result in results if isinstance(result, ItemError)), None)
