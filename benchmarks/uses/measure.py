"""How a use is measured: repeated, the median taken; CPU time where the machine's other work must
not count."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any, NamedTuple


class Effort(NamedTuple):
    """`repeat`: how often a use is measured. `whole`: whether one call per item is made for every
    item; else for `SAMPLE` of them, and multiplied."""

    repeat: int = 5
    whole: bool = False


SAMPLE = 20


async def seconds(work: Callable[[], Awaitable[Any]]) -> float:
    begin = time.perf_counter()
    await work()
    return time.perf_counter() - begin


async def median_seconds(work: Callable[[], Awaitable[Any]], repeat: int) -> float:
    return median([await seconds(work) for _ in range(repeat)])


async def one_by_one(
    call: Callable[[Any], Awaitable[Any]], items: Sequence[Any], effort: Effort
) -> float:
    """Seconds that one call per item takes, one after the other."""
    chosen = items if effort.whole else items[:SAMPLE]

    async def work() -> None:
        for item in chosen:
            await call(item)

    return await seconds(work) * len(items) / len(chosen)


def cpu_us_per_item(
    works: dict[str, Callable[[], Awaitable[Any]]], items: int, repeat: int
) -> dict[str, float]:
    """Microseconds of CPU time per item, each work in a loop of its own; the works take turns, so
    that what else the machine does falls on all of them alike. The median. What other uses have
    imported and left is frozen: the garbage collector would go through it."""
    taken: dict[str, list[float]] = {name: [] for name in works}

    async def timed(work: Callable[[], Awaitable[Any]]) -> float:
        begin = time.process_time()
        await work()
        return time.process_time() - begin

    for turn in range(repeat + 1):
        for name, work in works.items():
            gc.collect()
            gc.freeze()
            cpu_s = asyncio.run(timed(work))
            gc.unfreeze()
            if turn:  # the first is the warm-up
                taken[name].append(cpu_s / items * 1e6)
    return {name: median(values) for name, values in taken.items()}


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
