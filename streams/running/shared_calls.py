"""The calls behind a `Coalescer`: from callers' items to their futures.

    enter ─► arrivals of this turn of the loop ─► Runner ─► futures of the item's callers
    leave ─► withdrawals of this turn ───────────┘

Every future is answered exactly once. A caller that leaves takes its item with it, unless the item
has other callers; its call is cancelled when none of its items has a caller any more.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, cast

from streams.core.call import Slot
from streams.core.events import (
    Arrived,
    Delivered,
    Expedited,
    Flush,
    LimitsChanged,
    Opened,
    Withdrawn,
)
from streams.errors import ItemError, StreamsError, plain
from streams.running.caller_places import Places
from streams.running.logs import PauseLog
from streams.running.runner import Runner
from streams.running.work import Work

LANE = 0


class ClosedError(StreamsError, RuntimeError):
    """The coalescer is closed, or was closed before the item had its outcome."""


class Waiting(Slot):
    """An item and the futures of its callers: `future`, that of its only one, or with a
    `unique_key` those of all in `equals`, a dict as an ordered set. (A collection for each item
    would be one more object for the garbage collector.)"""

    __slots__ = ("equals", "future", "unique_key")

    future: asyncio.Future[Any] | None
    equals: dict[asyncio.Future[Any], None] | None
    unique_key: Hashable

    @property
    def futures(self) -> Collection[asyncio.Future[Any]]:
        if self.equals is not None:
            return self.equals
        return () if self.future is None else (self.future,)

    def remove(self, future: asyncio.Future[Any]) -> bool:
        """Takes one out; False: it was answered meanwhile."""
        if self.equals is not None:
            return self.equals.pop(future, self) is None
        if self.future is not future:
            return False
        self.future = None
        return True


class SharedCalls:
    """The calls of one coalescer in one event loop. `key`, `unique`: of an item; None: none.
    `context`: that all calls run in."""

    def __init__(
        self,
        work: Work,
        places: Places,
        key: Callable[[Any], Hashable] | None,
        unique: Callable[[Any], Hashable] | None,
        context: contextvars.Context,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.work = work
        self.places = places
        self._key = key
        self._unique = unique
        self._context = context
        self._shared: dict[Hashable, Waiting] = {}
        self._seq = 0
        self._arrivals: list[Waiting] = []
        self._expedited: list[Waiting] = []
        self._withdrawals: list[Waiting] = []
        self._turn: asyncio.Handle | None = None
        self._changed = asyncio.Event()
        self._aborted = False
        self._defect: BaseException | None = None
        self.runner = context.run(self._runner)
        self.runner.handle(Opened(LANE))

    def _runner(self) -> Runner:
        return Runner(
            self.work.caller,
            self.work.limits,
            timeout_s=self.work.timeout_s,
            account=self.work.account,
            money=self.work.money,
            on_release=self._answer,
            on_ended=lambda *_: None,
            on_defect=self._fail,
            on_pause=PauseLog("the coalescer", "its callers").tell,
        )

    # -- callers ---------------------------------------------------------------------------------

    def enter(self, item: Any, *, flush: bool = False) -> tuple[Waiting, asyncio.Future[Any]]:
        """A caller's item, and the future of its outcome. The caller has a place. Raises what
        `key`, `unique` and `tokens` raise; then its place is free again."""
        future = self.loop.create_future()
        try:
            slot = self._new(item, future) if self._unique is None else self._equal(item, future)
        except BaseException:
            self.places.release(1)
            raise
        if flush:
            self._expedited.append(slot)
        if self._turn is None:
            self._take_turn()
        return slot, future

    def _equal(self, item: Any, future: asyncio.Future[Any]) -> Waiting:
        """The slot that all who wait for an equal item share."""
        assert self._unique is not None
        unique_key = self._unique(item)
        slot = self._shared.get(unique_key)
        if slot is None:
            slot = self._new(item, future)
            slot.unique_key, slot.future, slot.equals = unique_key, None, {}
            self._shared[unique_key] = slot
        assert slot.equals is not None
        slot.equals[future] = None
        return slot

    def _new(self, item: Any, future: asyncio.Future[Any]) -> Waiting:
        if self._aborted:
            raise ClosedError("the coalescer is closed") from self._defect
        key = None
        if self._key is not None:
            key = self._key(item)
            hash(key)
        slot = Waiting(LANE, self._seq, item, 0, 0, 0, self.loop.time(), key)
        slot.future, slot.equals = future, None
        self.work.weigh((slot,))
        self._seq += 1
        self._arrivals.append(slot)
        return slot

    def leave(self, slot: Waiting, future: asyncio.Future[Any]) -> None:
        """The caller does not wait any more."""
        if not slot.remove(future):
            return
        self.places.release(1)
        self._changed.set()
        if not slot.futures:
            self._forget(slot)
            self._withdrawals.append(slot)
            self._take_turn()

    def _forget(self, slot: Waiting) -> None:
        """No later caller shares it."""
        if slot.equals is not None and self._shared.get(slot.unique_key) is slot:
            del self._shared[slot.unique_key]

    # -- the engine ------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        if self._turn is None:
            self._turn = self.loop.call_soon(self._hand_over, context=self._context)

    def _hand_over(self) -> None:
        """Gives the engine what came and went since the last turn of the loop."""
        self._turn = None
        arrivals, self._arrivals = self._arrivals, []
        withdrawals, self._withdrawals = self._withdrawals, []
        arrivals = [slot for slot in arrivals if slot.futures]
        if arrivals:
            self.runner.handle(Arrived(arrivals))
        if arrived := [slot for slot in withdrawals if hasattr(slot, "home")]:
            self.runner.handle(Withdrawn(arrived))
        if expedited := [slot for slot in self._expedited if slot.futures]:
            self.runner.handle(Expedited(expedited))
        self._expedited.clear()

    def change(self, limits: LimitsChanged) -> None:
        self._context.run(self.runner.handle, limits)

    def _answer(self, lane: Any, slots: Sequence[Slot]) -> None:
        count = 0
        waiting = cast("Sequence[Waiting]", slots)
        for slot, result in zip(waiting, self.work.results(slots), strict=True):
            futures = slot.futures
            count += len(futures)
            if slot.equals is not None:
                self._forget(slot)
            slot.future = slot.equals = None
            for future in futures:
                if future.done():
                    continue
                if isinstance(result, ItemError):
                    future.set_exception(own(result))
                else:
                    future.set_result(result)
        self.places.release(count)
        self.runner.handle(Delivered(lane, slots))
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """A call raised what is nobody's item's fault: every caller is told, and so are later
        ones."""
        self._defect = error
        self.abort(error)

    # -- the end ---------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Returns when every caller has its outcome. Windows close without waiting for more."""
        self._hand_over()
        self.runner.handle(Flush())
        while self.places.taken or self.places.waiting:
            self._changed.clear()
            await self._changed.wait()

    def abort(self, cause: BaseException | None = None) -> None:
        """Cancels the calls; callers that wait get a ClosedError."""
        self._aborted = True
        self.runner.cancel()
        count = 0
        waiting = [*self.runner.engine.lanes[LANE].unsettled, *self._arrivals]
        for slot in cast("list[Waiting]", waiting):
            futures = slot.futures
            count += len(futures)
            slot.future = slot.equals = None
            for future in futures:
                if not future.done():
                    error = ClosedError("closed before the item had its outcome")
                    error.__cause__ = cause
                    future.set_exception(error)
        self._shared.clear()
        self._arrivals.clear()
        self.places.release(count)
        self._changed.set()

    async def stop(self) -> None:
        """Returns when every call has ended and the work's connections are closed."""
        if self._turn is not None:
            self._turn.cancel()
        try:
            await self.runner.stop()
        finally:
            await self.work.close()


def own(error: ItemError) -> ItemError:
    """An error object of the caller's own, with the cause of all."""
    original = plain(error)
    copy = ItemError(original.code, original.message)
    copy.__cause__ = error.__cause__
    return copy
