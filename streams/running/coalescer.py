"""`Coalescer`: many callers share calls. One item in, one result out, one call for many of them.

    submit(item) ─► a place ─► SharedCalls ─► the caller's own future

Rules:
1. A caller that is cancelled, or whose time is over, leaves alone: nobody else notices.
2. What a caller has in its context (context variables) is not seen by any call: all run in the
   context in which the coalescer was made.
3. It belongs to the event loop of its first use, and to the process that made it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
from collections.abc import Callable, Coroutine, Hashable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack

from streams.core.events import LimitsChanged
from streams.errors import ItemError, StreamsError
from streams.running.caller_places import Places
from streams.running.coalescer_statistics import CoalescerStatistics, coalescer_statistics
from streams.running.shared_calls import ClosedError, SharedCalls, Waiting
from streams.running.work import (
    LimitOptions,
    ListFunction,
    Options,
    at_least_one,
    checked,
    wait_s,
    work_of,
)

T = TypeVar("T")
R = TypeVar("R")

_inside: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("inside", default=())
"""The coalescers in whose calls this code runs."""


class Overloaded(StreamsError):  # noqa: N818  # the contract's name
    """`max_pending` callers wait already."""


class Coalescer(Generic[T, R]):
    """Calls `process` once for the items of many callers; `submit` returns the caller's result.

    `process`, `limits`: as for `streams.map_batches_iter`; `timeout_s` is that of a call.
    `max_wait_ms`: how long an item waits for others while a call may start. `wait`: "window": so
    long; "idle": not at all while a slot is free, so that batches form only when all are busy.
    `key(item)`: only items with equal keys share a call. `unique(item)`: equal items without an
    outcome share one answer. `max_pending`: callers without an outcome; with more, `submit` waits
    for a place (`when_full="wait"`) or raises Overloaded ("raise").

    `async with` closes it at the end; left by an exception, it cancels its calls. RuntimeError in
    another event loop or after a fork. Raises ValueError and TypeError for arguments out of range.
    """

    def __init__(
        self,
        process: ListFunction[T, R],
        *,
        max_wait_ms: float = 50,
        key: Callable[[T], Hashable] | None = None,
        unique: Callable[[T], Hashable] | None = None,
        wait: Literal["window", "idle"] = "window",
        max_pending: int = 10_000,
        when_full: Literal["wait", "raise"] = "wait",
        **limits: Unpack[LimitOptions[T]],
    ) -> None:
        if wait not in ("window", "idle"):
            raise ValueError(f'wait must be "window" or "idle", not {wait!r}')
        if when_full not in ("wait", "raise"):
            raise ValueError(f'when_full must be "wait" or "raise", not {when_full!r}')
        max_wait_s = 0.0 if wait == "idle" else wait_s(max_wait_ms)
        self._process = process
        self._options = checked(process, Options(max_wait_s=max_wait_s, **limits))
        self._keys = key, unique
        self._wait = wait
        self._places = Places(at_least_one("max_pending", max_pending))
        self._raises = when_full == "raise"
        self._context = contextvars.copy_context()
        self._context.run(_inside.set, (*_inside.get(), self))
        self._pid = os.getpid()
        self._calls: SharedCalls | None = None
        self._closed = False

    # -- callers ---------------------------------------------------------------------------------

    async def submit(self, item: T, *, timeout_s: float | None = None, flush: bool = False) -> R:
        """The item's result. `timeout_s`: TimeoutError after so many seconds, waiting included;
        None: as long as it takes. `flush`: its window closes now,
        also where an equal item waits in it already (`unique`).

        Raises the item's `ItemError`; ClosedError; Overloaded; RuntimeError. Cancelled, or when its
        time is over: its item leaves, and disturbs nobody.
        """
        if timeout_s is not None:
            async with asyncio.timeout(timeout_s):
                return await self.submit(item, flush=flush)
        calls = self._open()
        if not self._places.try_take():
            await self._stand_in_line()
        slot, future = calls.enter(item, flush=flush)
        try:
            result: R = await future
        except asyncio.CancelledError:
            calls.leave(slot, future)
            raise
        return result

    async def submit_many(
        self, items: Iterable[T], *, timeout_s: float | None = None
    ) -> list[R | ItemError]:
        """One result or `ItemError` per item, in their order; they may share calls with others.
        More than `max_pending` enter as places are free. The rest as for `submit`."""
        calls = self._open()
        callers: list[tuple[Waiting, asyncio.Future[R]]] = []
        try:
            async with asyncio.timeout(timeout_s):
                for item in items:
                    if not self._places.try_take():
                        await self._stand_in_line()
                    callers.append(calls.enter(item))
                return [await _outcome(future) for _, future in callers]
        finally:
            for slot, future in callers:
                calls.leave(slot, future)
                if future.done() and not future.cancelled():
                    future.exception()  # seen: it is not to be reported as lost

    async def _stand_in_line(self) -> None:
        if self._raises:
            raise Overloaded(f"{self._places.limit} callers wait already (max_pending)")
        await self._places.take()

    def submit_threadsafe(
        self, item: T, *, timeout_s: float | None = None
    ) -> concurrent.futures.Future[R]:
        """`submit` from any thread; cancelling the future is cancelling the caller. RuntimeError
        before its first use in an event loop (`async with`)."""
        if self._calls is None:
            raise RuntimeError("no event loop yet: enter it with `async with` in its loop first")
        work: Coroutine[Any, Any, R] = self.submit(item, timeout_s=timeout_s)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._calls.loop)
        except RuntimeError:  # the loop is closed
            work.close()
            raise

    # -- its state -------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return self._closed

    def statistics(self) -> CoalescerStatistics:
        """Counts as they are now."""
        if self._calls is None:
            return CoalescerStatistics()
        is_idle = self._wait == "idle"
        return coalescer_statistics(self._calls.runner, self._places, is_idle=is_idle)

    def change(
        self,
        *,
        max_items: int | None = None,
        max_wait_ms: float | None = None,
        max_in_flight: int | None = None,
    ) -> None:
        """Other limits from now on; None: as before. What waits is cut by them at once; with more
        calls allowed, those that are due start now; with fewer, those in flight end as they are.
        Call it in the coalescer's loop, also from inside its calls.

        Raises ValueError for a limit out of range, and for `max_wait_ms` where `wait` is "idle";
        then, and where it raises as `submit` does, nothing has changed.
        """
        if max_wait_ms is not None and self._wait == "idle":
            raise ValueError('max_wait_ms is nothing to wait="idle", which does not wait')
        max_wait_s = None if max_wait_ms is None else wait_s(max_wait_ms)
        changes = {"max_items": max_items, "max_wait_s": max_wait_s, "max_in_flight": max_in_flight}
        given = {name: value for name, value in changes.items() if value is not None}
        options = checked(self._process, replace(self._options, **given))  # type: ignore[arg-type]
        self._refuse_elsewhere()
        if self._calls is not None:
            self._calls.change(LimitsChanged(max_items, max_wait_s, max_in_flight))
        self._options = options

    # -- its life --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.close()
        else:
            await self.cancel()

    async def close(self) -> None:
        """Finishes what is there; `submit` after it raises ClosedError. Cancelled meanwhile, it
        cancels the calls. Does nothing the second time."""
        self._closed = True
        calls = self._calls
        if calls is None:
            return
        try:
            await calls.finish()
        except asyncio.CancelledError:
            calls.abort()
            raise
        finally:
            await calls.stop()

    async def cancel(self) -> None:
        """Cancels the calls; callers that wait get a ClosedError."""
        self._closed = True
        if self._calls is not None:
            self._calls.abort()
            await self._calls.stop()

    def _open(self) -> SharedCalls:
        """Its calls, in the running loop."""
        calls = self._calls
        inside = _inside.get()
        if inside and self in inside:
            raise RuntimeError(
                "a call of this coalescer submits to it: it would wait for itself for ever"
            )
        if calls is None or calls.loop is not asyncio.get_running_loop() or self._closed:
            self._refuse_elsewhere()
            work = work_of(self._process, self._options)
            calls = self._calls = SharedCalls(work, self._places, *self._keys, self._context)
        return calls

    def _refuse_elsewhere(self) -> None:
        """Raises where it is closed, or belongs to another process or loop."""
        if self._pid != os.getpid():
            raise RuntimeError("made before a fork: make one in each process")
        if self._closed:
            raise ClosedError("the coalescer is closed")
        if self._calls is not None and self._calls.loop is not asyncio.get_running_loop():
            raise RuntimeError("it belongs to another event loop: make one in each loop")


async def _outcome(future: asyncio.Future[Any]) -> Any:
    try:
        return await future
    except ItemError as error:
        return error
