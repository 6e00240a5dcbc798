"""Pipelines: how far stages overlap, what an item costs, how much memory many take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import psutil

import streams
from benchmarks.bars import Bar, Report
from benchmarks.uses.callers import quick
from benchmarks.uses.measure import Effort, cpu_us_per_item, median_seconds
from benchmarks.uses.stage_peers import STAGE_PEERS, OurStages

ITEMS, N = 10_000, 100
DOCUMENTS, CALL_S = 100, 0.02
MANY, PARTS = 100_000, 10


def taking(seconds: float, slow: dict[Any, float] | None = None) -> Any:
    async def work(items: Sequence[Any]) -> list[Any]:
        await asyncio.sleep(max((slow or {}).get(item, seconds) for item in items))
        return list(items)

    return work


async def overlap(effort: Effort) -> Report:
    """Three equal stages of one item and one call each; and one item ten times slower."""
    three = streams.Pipeline([taking(CALL_S)] * 3)

    async def after_another() -> None:
        for _ in range(3):
            await streams.map_batches(
                taking(CALL_S), range(DOCUMENTS), max_items=1, max_in_flight=1
            )

    def wide(slow: dict[Any, float]) -> streams.Pipeline:
        stage = streams.stage(taking(CALL_S, slow), max_in_flight=5)
        return streams.Pipeline([stage, taking(0.0)])

    repeat = min(3, effort.repeat)
    one_s = await median_seconds(after_another, repeat)
    three_s = await median_seconds(lambda: three.run(range(DOCUMENTS)), repeat)
    even_s = await median_seconds(lambda: wide({}).run(range(500)), repeat)
    slow_s = await median_seconds(lambda: wide({100: 10 * CALL_S}).run(range(500)), repeat)
    # fmt: off
    bars = [
        Bar("three stages beside one after the other", one_s / three_s, "at least", 2.9, "x"),
        Bar("one item ten times slower: longer by", 100 * (slow_s / even_s - 1), "at most", 5, "%"),
    ]
    # fmt: on
    figures = {"after_another_s": one_s, "three_s": three_s, "even_s": even_s, "slow_s": slow_s}
    rows = [("", "seconds"), *((name, f"{value:.2f}") for name, value in figures.items())]
    return Report(f"stages overlap: {CALL_S * 1000:.0f} ms a call", bars, figures, rows)


async def ten_parts(items: Sequence[int]) -> list[list[int]]:
    return [[item * PARTS + part for part in range(PARTS)] for item in items]


async def many(effort: Effort) -> Report:
    """A million parts of 100,000 items through three stages of no latency."""
    # fmt: off
    pipeline = streams.Pipeline([
        streams.expand(ten_parts, max_items=10),
        streams.stage(quick, max_items=N),
        streams.stage(quick, max_items=N),
    ])
    # fmt: on
    process = psutil.Process()
    await pipeline.run(range(1_000))
    before, most, due = process.memory_info().rss, 0, 0
    begin, cpu = time.perf_counter(), time.process_time()
    async for part in pipeline.stream(range(MANY)):
        assert part == due, f"{part} came, {due} was due"
        due += 1
        if due % 10_000 == 0:
            most = max(most, process.memory_info().rss)
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - cpu
    assert due == MANY * PARTS
    rate, over_mb = due / seconds, (most - before) / 1e6
    bars = [
        Bar("parts per second", rate, "at least", 60_000),
        Bar("memory over the start", over_mb, "at most", 30, "MB"),
    ]
    figures = {"parts_per_s": rate, "parts_per_cpu_s": due / cpu_s, "memory_over_start_mb": over_mb}
    rows = [("", ""), *((name, f"{value:,.1f}") for name, value in figures.items())]
    return Report("a million parts through three stages", bars, figures, rows)


def of_a_stage(effort: Effort) -> Report:
    """CPU time of an item in one stage and in each further one, beside what people use."""
    works: dict[str, Callable[[], Awaitable[Any]]] = {}
    for peer in STAGE_PEERS:
        for stages in (1, 3):
            works[f"{peer.name}, {stages}"] = partial(_through, peer, stages)
    cpu_us = cpu_us_per_item(works, ITEMS, effort.repeat)
    further = {
        peer.name: (cpu_us[f"{peer.name}, 3"] - cpu_us[f"{peer.name}, 1"]) / 2
        for peer in STAGE_PEERS
    }
    best = min(us for name, us in further.items() if name != OurStages.name)
    bars = [
        Bar("an item in one stage", cpu_us[f"{OurStages.name}, 1"], "at most", 6, "us"),
        Bar("an item in each further stage", further[OurStages.name], "at most", 6, "us"),
        Bar("a further stage, of the best's", further[OurStages.name] / best, "at most", 1, "x"),
    ]  # fmt: skip
    rows = [("", "one stage", "each further")]
    rows += [
        (peer.name, f"{cpu_us[f'{peer.name}, 1']:.2f} us", f"{further[peer.name]:.2f} us")
        for peer in STAGE_PEERS
    ]
    figures = {"cpu_us_an_item": cpu_us, "further_us": further}
    return Report("stages side by side: no latency, N=100", bars, figures, rows)


async def _through(peer: type[Any], stages: int) -> None:
    results = [each async for each in peer(stages, quick, max_items=N).results(range(ITEMS))]
    assert results == list(range(ITEMS))
