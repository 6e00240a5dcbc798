"""Callers that share calls: a `Coalescer` in each of its uses."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections.abc import Callable, Coroutine, Sequence
from statistics import median
from typing import Any

import streams
from benchmarks.bars import Bar, Report
from benchmarks.uses.apis import Waiting
from benchmarks.uses.measure import Effort, cpu_us_per_item, one_by_one, percentile, seconds

AT_ONCE = 10_000


async def quick(items: Sequence[Any]) -> Sequence[Any]:
    return items


async def fifty(effort: Effort) -> Report:
    """50 callers at once, 200 ms a call, 20 to a call, a window of 50 ms; calls one at a time."""
    alone = Waiting(0.2)
    alone_s = await one_by_one(lambda item: alone([item]), range(50), effort)
    taken, calls = [], 0
    for _ in range(effort.repeat):
        function = Waiting(0.2)
        async with streams.Coalescer(
            function, max_items=20, max_wait_ms=50, max_in_flight=1
        ) as coalescer:
            taken.append(await seconds(lambda c=coalescer: all_of(c.submit, 50)))
        calls = max(calls, function.calls)
    together_s = median(taken)
    bars = [
        Bar("50 callers, calls", calls, "at most", 3),
        Bar("50 callers, serial", alone_s / together_s, "at least", 15, "x"),
    ]
    rows = [
        ("", "one call per item", "shared, one call at a time"),
        ("50 callers", f"{alone_s:.2f} s", f"{together_s:.2f} s"),
    ]
    figures = {"one_call_per_item_s": alone_s, "shared_s": together_s, "calls": calls}
    return Report("50 concurrent callers, 200 ms a call, N=20, 50 ms", bars, figures, rows)


async def steady(effort: Effort) -> Report:
    """400 callers a second at random moments, 100 ms a call, 10 to a call, a window of 50 ms."""
    draw = random.Random(1)
    function = Waiting(0.1)
    latencies: list[float] = []
    loop = asyncio.get_running_loop()

    async def one(number: int) -> None:
        begin = loop.time()
        await coalescer.submit(number)
        latencies.append((loop.time() - begin) * 1000)

    callers = 400 * effort.repeat
    async with streams.Coalescer(
        function, max_items=10, max_wait_ms=50, max_in_flight=10
    ) as coalescer, asyncio.TaskGroup() as group:  # fmt: skip
        at = loop.time()
        for number in range(callers):
            at += draw.expovariate(400)
            await asyncio.sleep(max(0.0, at - loop.time()))
            group.create_task(one(number))
    items, p99 = callers / function.calls, percentile(latencies, 0.99)
    bars = [
        Bar("400 callers a second, items a call", items, "at least", 8),
        Bar("400 callers a second, p99", p99, "at most", 165, "ms"),
    ]
    rows = [
        ("", "calls", "items a call", "p50", "p99"),
        ("one call per item", f"{callers:,}", "1", "100 ms", "100 ms"),
        ("shared", f"{function.calls:,}", f"{items:.1f}", f"{median(latencies):.0f} ms",
         f"{p99:.0f} ms"),
    ]  # fmt: skip
    figures = {"callers": callers, "calls": function.calls, "p50_ms": median(latencies)}
    figures |= {"items_a_call": items, "p99_ms": p99}
    return Report("400 callers a second, 100 ms a call, N=10, 50 ms", bars, figures, rows)


def at_once(effort: Effort) -> Report:
    """10,000 callers at once on a function that takes no time, 100 to a call. CPU time: a task a
    caller; the same tasks on bare futures beside it; and one caller with as many items."""
    cpu_us = cpu_us_per_item(
        {"callers": _callers, "bare": _bare, "many": _many}, AT_ONCE, effort.repeat
    )
    size = asyncio.run(_bytes_a_caller())
    a_second = 1e6 / cpu_us["callers"]
    bars = [
        Bar("10,000 callers, submits a CPU second", a_second, "at least", 100_000),
        Bar("10,000 callers, memory of each", size, "at most", 3_072, "bytes"),
    ]
    rows = [
        ("", "CPU time an item", "items a second"),
        *(
            (name, f"{cpu_us[key]:.1f} us", f"{1e6 / cpu_us[key]:,.0f}")
            for key, name in (
                ("callers", "a task and a submit each"),
                ("bare", "a task and a bare future each"),
                ("many", "one submit_many"),
            )
        ),
    ]
    figures = {"cpu_us_an_item": cpu_us, "bytes_a_caller": size}
    return Report("10,000 callers at once, no latency, N=100", bars, figures, rows)


async def idle(effort: Effort) -> Report:
    """`wait="idle"`: what a lone item waits, and how full calls are when all slots are busy."""
    added: list[float] = []
    async with streams.Coalescer(quick, wait="idle") as coalescer:
        for number in range(200 * effort.repeat):
            added.append(await seconds(lambda n=number: coalescer.submit(n)) * 1000)
            await asyncio.sleep(0)
    function = Waiting(0.01)
    async with streams.Coalescer(
        function, max_items=20, max_in_flight=2, wait="idle"
    ) as coalescer:  # fmt: skip

        async def busy() -> None:
            for number in range(20):
                await coalescer.submit(number)

        await asyncio.gather(*(busy() for _ in range(200)))
        fill = coalescer.statistics().mean_batch_items / 20 * 100
    bars = [
        Bar("idle, a lone item's wait, median", median(added), "at most", 1, "ms"),
        Bar("idle, mean fill when slots are busy", fill, "at least", 95, "%"),
    ]
    rows = [
        ("", "median", "p99"),
        ("a lone item", f"{median(added):.3f} ms", f"{percentile(added, 0.99):.3f} ms"),
    ]
    figures = {"lone_ms": median(added), "lone_p99_ms": percentile(added, 0.99), "fill": fill}
    return Report('wait="idle": a lone item; 200 callers on two slots, N=20', bars, figures, rows)


async def equal(effort: Effort) -> Report:
    """1,000 equal items at once under `unique`; then the same, and the first caller leaves."""
    calls = []
    for leaves in (False, True):
        function = Waiting(0.05)
        async with streams.Coalescer(
            function, max_items=1, max_wait_ms=0, unique=lambda item: item
        ) as coalescer:
            callers = [asyncio.create_task(coalescer.submit("same")) for _ in range(1000)]
            await asyncio.sleep(0.01)
            if leaves:
                callers.pop(0).cancel()
            assert set(await asyncio.gather(*callers)) == {"same"}
        calls.append(function.calls)
    bars = [
        Bar("1,000 equal items, calls", calls[0], "at most", 1),
        Bar("1,000 equal, the first leaves, calls", calls[1], "at most", 1),
    ]
    rows = [("", "calls"), ("one call per item", "1,000"), ("unique", str(calls[0]))]
    figures = {"calls": calls[0], "calls_first_cancelled": calls[1]}
    return Report("1,000 equal items at once, unique", bars, figures, rows)


async def all_of(submit: Callable[[int], Coroutine[Any, Any, Any]], callers: int) -> None:
    """A task for each caller, at once; each gets its own item back. (`gather` would cost as much as
    a submit.)"""
    tasks = [asyncio.create_task(submit(number)) for number in range(callers)]
    for number, task in enumerate(tasks):
        assert await task == number


async def _callers() -> None:
    async with streams.Coalescer(quick, max_items=100) as coalescer:
        await all_of(coalescer.submit, AT_ONCE)


async def _many() -> None:
    async with streams.Coalescer(quick, max_items=100) as coalescer:
        assert await coalescer.submit_many(range(AT_ONCE)) == list(range(AT_ONCE))


async def _bare() -> None:
    """The least that a task for each caller costs: a future, and a call for each hundred."""
    loop = asyncio.get_running_loop()
    waiting: list[tuple[int, asyncio.Future[int]]] = []

    async def one(number: int) -> int:
        future = loop.create_future()
        waiting.append((number, future))
        return await future

    async def call(some: Sequence[tuple[int, asyncio.Future[int]]]) -> int:
        results = await quick([number for number, _ in some])
        for (_, future), result in zip(some, results, strict=True):
            future.set_result(result)
        return len(some)

    tasks = [asyncio.create_task(one(number)) for number in range(AT_ONCE)]
    await asyncio.sleep(0)
    tasks += [loop.create_task(call(waiting[n : n + 100])) for n in range(0, AT_ONCE, 100)]
    for task in tasks:
        await task


async def _bytes_a_caller() -> float:
    """Of callers that wait for a call, with their tasks."""
    go = asyncio.Event()

    async def slow(items: Sequence[Any]) -> Sequence[Any]:
        await go.wait()
        return items

    async with streams.Coalescer(slow, max_items=100) as coalescer:
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tasks = [asyncio.create_task(coalescer.submit(number)) for number in range(AT_ONCE)]
        for _ in range(5):
            await asyncio.sleep(0)
        size = (tracemalloc.get_traced_memory()[0] - before) / AT_ONCE
        tracemalloc.stop()
        go.set()
        await asyncio.gather(*tasks)
    return size
