"""`map_batches`: the engine without Kafka, a list in and a list out.

    items ─► draw (as calls may start) ─► Runner ─► results[place] = outcome

One lane holds all items; the engine's order is "none", because each outcome has its place in the
list already, so that nothing waits behind a slow call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

from streams.core.call import Slot
from streams.core.events import Arrived, Delivered, Flush, Opened
from streams.errors import ItemError
from streams.running.runner import Runner
from streams.running.work import Options, Work, work_of

T = TypeVar("T")
R = TypeVar("R")

ROOM_CALLS = 8
"""Limit of items without an outcome that are taken from the input, as a multiple of what
`max_in_flight` calls hold. Only retries that wait for their turn can reach it."""


async def map_batches(
    process: Callable[[Sequence[T]], Awaitable[Sequence[R | ItemError]]],
    items: Iterable[T],
    *,
    max_items: int | None = None,
    max_in_flight: int = 5,
    max_tokens: int | None = None,
    tokens: Callable[[T], int] | None = None,
    timeout_s: float | None = None,
    max_attempts: int | None = None,
    split: bool | None = None,
) -> list[R | ItemError]:
    """Call `process` with microbatches of `items`; one result per item, in the items' order.

    `process`: an async function that takes a list of items, in their order, and returns one answer
    for each, in the same order; or an operation (`streams.classify(...)` and its like), which asks
    again and splits as a task does. `items`: any iterable, drawn no faster than calls start; it may
    be a generator, and may be empty.

    The limits are those of `streams.running.work.Options`: how large a call is, how many there are
    at once, how long one takes, and what follows when it fails.

    A failed item has an `ItemError` in its place: one that `process` returned or raised, or
    "function_error" or "timeout" for each item of a call that failed for good; what was raised is
    its `__cause__`. Errors that `process` returns among its answers (as `asyncio.gather` does) are
    "function_error" too. `streams.Retry(after_s)`, raised by `process`, makes the same call again
    after that time, as often as it is raised.

    Cancelled, or when drawing an item raises: the calls under way are cancelled, and have ended
    when this returns. Raises ValueError (an argument out of range) and TypeError (`process` is not
    callable, or not async; `items` cannot be iterated) before any call.
    """
    # fmt: off
    options = Options(
        max_items=max_items, max_in_flight=max_in_flight, max_tokens=max_tokens, tokens=tokens,
        timeout_s=timeout_s, max_attempts=max_attempts, split=split,
    )
    # fmt: on
    run = _Run(work_of(process, options), iter(items))
    return cast("list[R | ItemError]", await run.results())


class _Run:
    """One call of `map_batches`."""

    def __init__(self, work: Work, items: Iterator[Any]) -> None:
        self._work = work
        self._items = items
        self._results: list[Any] = []
        self._missing = 0
        self._input_ended = False
        self._changed = asyncio.Event()
        self._defect: BaseException | None = None
        self._runner = Runner(
            work.caller,
            work.limits,
            timeout_s=work.timeout_s,
            account=work.account,
            on_release=self._place,
            on_ended=lambda *_: self._changed.set(),
            on_defect=self._fail,
        )
        self._runner.handle(Opened(0))

    async def results(self) -> list[Any]:
        try:
            self._draw()
            while not self._input_ended or self._missing:
                await self._changed.wait()
                self._changed.clear()
                if self._defect is not None:
                    raise self._defect
                self._draw()
        finally:
            await self._runner.stop()
            await self._work.close()
        return self._results

    def _draw(self) -> None:
        """Take as many items as the calls that may start now can hold."""
        limits = self._work.limits
        room = ROOM_CALLS * limits.max_items * limits.max_in_flight
        while (
            not self._input_ended
            and self._runner.in_flight < limits.max_in_flight
            and self._missing < room
        ):
            new_items = list(islice(self._items, limits.max_items))
            self._input_ended = len(new_items) < limits.max_items
            first = len(self._results)
            self._results += [None] * len(new_items)
            self._missing += len(new_items)
            self._runner.handle(Arrived(self._slots(new_items, first)))
        if self._input_ended:
            self._runner.handle(Flush())

    def _slots(self, items: list[Any], first: int) -> list[Slot]:
        slots = [Slot(0, seq, item) for seq, item in enumerate(items, first)]
        self._work.weigh(slots)
        return slots

    def _place(self, lane: int, slots: list[Slot]) -> None:
        results = self._results
        for slot, result in zip(slots, self._work.results(slots), strict=True):
            results[slot.seq] = result
        self._missing -= len(slots)
        self._runner.handle(Delivered(lane, slots))

    def _fail(self, error: BaseException) -> None:
        """`process` is not async, or raised a BaseException: that ends the run."""
        self._defect = error
        self._runner.cancel()
        self._changed.set()
