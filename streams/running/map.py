"""`map_batches` and `map_batches_iter`: the engine without Kafka, for the items of an iterable."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Iterable,
    Sized,
)
from dataclasses import replace
from math import inf
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from streams.core.call import Slot
from streams.errors import ItemError
from streams.running.bar import Show, Shown, shown
from streams.running.map_run import MapRun, first_error
from streams.running.work import LimitOptions, ListFunction, Options, OwnWork, work_of

T = TypeVar("T")
R = TypeVar("R")

Items = Iterable[T] | AsyncIterable[T]


STREAM_WAIT_S = 0.05
"""How long a window waits for more items of an async iterable, while a call may start."""


async def map_batches(
    process: ListFunction[T, R],
    items: Items[T],
    *,
    stop_on_error: bool = False,
    progress: Shown = False,
    **limits: Unpack[LimitOptions[T]],
) -> list[R | ItemError]:
    """Call `process` with microbatches of `items`; one result per item, in the items' order.

    The arguments, and what becomes of errors: see `map_batches_iter`; this one holds all results.
    """
    results: list[Any] = []
    async with _Taking(process, items, Options(**limits), stop_on_error, progress) as taking:
        while (taken := await taking.take()) is not None:
            slots, values = taken
            end = max(slot.seq for slot in slots) + 1
            results += [None] * (end - len(results))
            for slot, value in zip(slots, values, strict=True):
                results[slot.seq] = value
    return results


@overload
def map_batches_iter(
    process: ListFunction[T, R],
    items: Items[T],
    *,
    ordered: Literal[True] = ...,
    **limits: Unpack[LimitOptions[T]],
) -> AsyncGenerator[R | ItemError, None]: ...


@overload
def map_batches_iter(
    process: ListFunction[T, R],
    items: Items[T],
    *,
    ordered: Literal[False],
    **limits: Unpack[LimitOptions[T]],
) -> AsyncGenerator[tuple[int, R | ItemError], None]: ...


async def map_batches_iter(
    process: ListFunction[T, R],
    items: Items[T],
    *,
    ordered: bool = True,
    stop_on_error: bool = False,
    progress: Shown = False,
    **limits: Unpack[LimitOptions[T]],
) -> AsyncGenerator[Any, None]:
    """Call `process` with microbatches of `items`; gives each result as soon as it is ready.

    `process`: an async function that takes a list of items, in their order, and returns one answer
    for each, in the same order; or an operation (`streams.classify(...)` and its like), which asks
    again and splits as a task does. `items`: an iterable or async iterable, also one without end,
    drawn no faster than calls start and results are taken. `ordered`: in the items' order; False:
    as they come, as (index, result). `stop_on_error`: raise the first `ItemError`. `progress`: True
    shows a bar on stderr; a function gets `Counts`. `limits`: see `streams.running.work.Options`.

    A failed item has an `ItemError` in its place: one that `process` returned or raised, or
    "function_error" or "timeout" for each item of a call that failed for good; what was raised is
    its `__cause__`. Errors that `process` returns among its answers (as `asyncio.gather` does) are
    "function_error" too. `streams.Retry(after_s)`, raised by `process`, makes the same call again
    after that time, as often as it is raised.

    Cancelled, left early, or when drawing an item raises: the calls under way are cancelled, and
    have ended when this ends. Raises ValueError (an argument out of range) and TypeError (`process`
    is not callable, or not async; `items` cannot be iterated) before any call.
    """
    options = Options(order="partition" if ordered else "none", **limits)
    async with _Taking(process, items, options, stop_on_error, progress) as taking:
        while (taken := await taking.take()) is not None:
            slots, values = taken
            if ordered:
                for value in values:
                    yield value
            else:
                for slot, value in zip(slots, values, strict=True):
                    yield slot.seq, value


class _Taking:
    """Takes the lists of one run, and shows and judges them on their way."""

    def __init__(
        self,
        process: ListFunction[Any, Any] | OwnWork,
        items: Items[Any],
        options: Options,
        stop_on_error: bool,
        progress: Shown,
    ) -> None:
        max_wait_s = STREAM_WAIT_S if isinstance(items, AsyncIterable) else inf
        options = replace(options, max_wait_s=max_wait_s)
        self._stops = stop_on_error
        self._shown = shown(progress, len(items) if isinstance(items, Sized) else None)
        self._show: Show | None = None
        source = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._run = MapRun(work_of(process, options), source)

    async def __aenter__(self) -> Self:
        self._show = self._shown.__enter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await self._run.close()
        finally:
            self._shown.__exit__(*raised)

    async def take(self) -> tuple[list[Slot], list[Any]] | None:
        taken = await self._run.take()
        if taken is not None:
            if self._stops and (error := first_error(taken[1])) is not None:
                raise error
            if self._show is not None:
                self._show(taken[1], self._run.runner.tally)
        return taken
