"""100,000 pending callers: time and memory grow in line with them, whoever leaves."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

from streams import Coalescer

FEW, MANY = 10_000, 100_000


async def cpu_us_a_caller(callers: int) -> float:
    """They enter, every second one leaves before its call, and the others get their answers."""
    go = asyncio.Event()

    async def process(items: Sequence[int]) -> Sequence[int]:
        await go.wait()
        return items

    gc.collect()
    gc.disable()  # it goes through all that lives, which is no matter of ours
    begin = time.process_time()
    try:
        async with Coalescer(process, max_items=100, max_pending=callers) as coalescer:
            tasks = [asyncio.create_task(coalescer.submit(n)) for n in range(callers)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert coalescer.statistics().pending == callers
            for task in tasks[1::2]:
                task.cancel()
            go.set()
            for n, task in enumerate(tasks[::2]):
                assert await task == n * 2
            assert coalescer.statistics().pending == 0
    finally:
        gc.enable()
    return (time.process_time() - begin) / callers * 1e6


async def bytes_a_caller(callers: int) -> float:
    go = asyncio.Event()

    async def process(items: Sequence[int]) -> Sequence[Any]:
        await go.wait()
        return items

    async with Coalescer(process, max_items=100, max_pending=callers) as coalescer:
        gc.collect()
        tracemalloc.start()
        try:
            many = asyncio.create_task(coalescer.submit_many(range(callers)))
            await asyncio.sleep(0)  # all enter in one turn of the loop
            assert coalescer.statistics().pending == callers
            size = tracemalloc.get_traced_memory()[0] / callers
        finally:
            tracemalloc.stop()
        go.set()
        assert await many == list(range(callers))
    return size


async def test_the_time_of_100_000_pending_callers_is_linear() -> None:
    few, many = await cpu_us_a_caller(FEW), await cpu_us_a_caller(MANY)
    assert many < few * 3, f"{few:.1f} us a caller, of many {many:.1f} us"


async def test_the_memory_of_100_000_pending_callers_is_linear() -> None:
    few, many = await bytes_a_caller(FEW), await bytes_a_caller(MANY)
    assert many < few * 1.2, f"{few:.0f} bytes a caller, of many {many:.0f}"
    assert many < 3_072
