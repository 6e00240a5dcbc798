"""What an item costs: CPU time, on a function that takes no time, beside what people use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import streams
from benchmarks.bars import Bar, Report
from benchmarks.uses.callers import all_of, quick
from benchmarks.uses.measure import Effort, cpu_us_per_item
from benchmarks.uses.peers import PEERS, Ours, Peer

ITEMS, N = 10_000, 100


def of_map_batches(effort: Effort) -> Report:
    """`map_batches` beside an ordinary gather over chunks with a semaphore."""
    cpu_us = cpu_us_per_item(
        {"map_batches": _map_batches, "gather over chunks": _gather}, ITEMS, effort.repeat
    )
    bars = [Bar("map_batches, CPU time an item", cpu_us["map_batches"], "at most", 6, "us")]
    rows = [("", "CPU time an item"), *((name, f"{us:.2f} us") for name, us in cpu_us.items())]
    return Report("map_batches: no latency, N=100", bars, {"cpu_us_an_item": cpu_us}, rows)


def beside_others(effort: Effort) -> Report:
    """10,000 callers, a task each, on each library; and as one list where it takes lists."""
    works: dict[str, Callable[[], Awaitable[Any]]] = {
        peer.name: partial(_callers, peer) for peer in PEERS
    }
    works["streams.Coalescer, submit_many"] = _list
    cpu_us = cpu_us_per_item(works, ITEMS, effort.repeat)
    others = {peer.name: cpu_us[peer.name] for peer in PEERS if peer is not Ours}
    bars = [
        Bar(f"a caller's item, of {name}'s", cpu_us[Ours.name] / us, "at most", 1, "x")
        for name, us in others.items()
    ]
    of_list = cpu_us["streams.Coalescer, submit_many"] / min(others.values())
    bars.append(Bar("an item of a list, of the best other's", of_list, "at most", 1, "x"))
    rows = [("", "CPU time an item"), *((name, f"{us:.2f} us") for name, us in cpu_us.items())]
    title = "coalescers side by side: 10,000 callers, no latency, N=100"
    return Report(title, bars, {"cpu_us_an_item": cpu_us}, rows)


async def _callers(peer: type[Peer]) -> None:
    coalescer = peer(quick, max_items=N)  # type: ignore[call-arg]
    async with coalescer:
        await all_of(coalescer.submit, ITEMS)


async def _list() -> None:
    async with Ours(quick, max_items=N) as ours:
        assert await ours.submit_many(range(ITEMS)) == list(range(ITEMS))


async def _map_batches() -> None:
    assert await streams.map_batches(quick, range(ITEMS), max_items=N) == list(range(ITEMS))


async def _gather() -> None:
    places = asyncio.Semaphore(5)

    async def call(items: Sequence[int]) -> Sequence[int]:
        async with places:
            return await quick(items)

    chunks = [list(range(start, start + N)) for start in range(0, ITEMS, N)]
    results = await asyncio.gather(*(call(chunk) for chunk in chunks))
    assert [each for some in results for each in some] == list(range(ITEMS))
