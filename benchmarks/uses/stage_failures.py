"""The failures of pipelines among the 18, each run against each library that has stages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import streams
from benchmarks.uses.failures import DEADLINE_S, Held, quick
from benchmarks.uses.stage_peers import OurStages, StagePeer

Peer = type[StagePeer]


class Missing(Exception):  # noqa: N818  # no error: the library has no word for what is asked
    """The failure needs what the library lacks."""


async def slow_head(peer: Peer) -> None:
    """The first item's call waits; others must go on in its stage meanwhile."""
    started: list[int] = []
    release, enough = asyncio.Event(), asyncio.Event()

    async def function(items: Sequence[int]) -> list[int]:
        started.extend(items)
        if len(started) >= 8:
            enough.set()
        if 0 in items:
            await release.wait()
        return list(items)

    async def take() -> list[int]:
        return [each async for each in peer(1, function, max_in_flight=2).results(range(10))]

    taking = asyncio.create_task(take())
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), DEADLINE_S / 2)
        assert len(started) >= 8, f"{len(started)} of 10 items started behind a slow head"
    finally:
        release.set()
        assert await taking == list(range(10))


async def consumer_stops(peer: Peer) -> None:
    before = asyncio.all_tasks()
    held = Held()

    async def function(items: Sequence[int]) -> list[int]:
        return await held(items) if items[0] > 2 else list(items)

    results: Any = peer(2, function, max_in_flight=2).results(count())
    async for each in results:
        if each == 1:
            break
    await results.aclose()
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == before, "tasks are left"


async def source_raises(peer: Peer) -> None:
    before = asyncio.all_tasks()

    def numbers() -> Iterator[int]:
        yield from range(10)
        raise LookupError("gone")

    try:
        await asyncio.wait_for(_all(peer(2, quick, max_items=2).results(numbers())), DEADLINE_S / 4)
    except LookupError:
        pass
    else:
        raise AssertionError("the error is lost")
    await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == before, "tasks are left"


async def parts(peer: Peer) -> None:
    if peer is not OurStages:
        raise Missing("gather")

    async def expanded(sizes: Sequence[int]) -> list[list[int]]:
        return [list(range(size)) for size in sizes]

    async def picky(numbers: Sequence[int]) -> list[Any]:
        return [streams.ItemError("five") if n == 5 else n for n in numbers]

    stages = [
        streams.expand(expanded),
        streams.stage(picky, max_items=1_000),
        streams.gather(errors="keep"),
    ]
    none, few, many = await streams.Pipeline(stages).run([0, 2, 100_000])
    assert (none, few, len(many)) == ([], [0, 1], 100_000)
    assert [n for n, each in enumerate(many) if isinstance(each, streams.ItemError)] == [5]


async def _all(results: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in results]


STAGE_FAILURES = {
    13: ("a slow head in an ordered stage", slow_head),
    14: ("the consumer stops iterating", consumer_stops),
    15: ("the source raises half-way", source_raises),
    16: ("expand gives 0 or 100,000 parts, a part fails", parts),
}


def stage_verdict(number: int, peer: Peer) -> str:
    """ "passes", "-: what it lacks", "hangs" or "fails: why"."""
    _, failure = STAGE_FAILURES[number]

    async def within() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _about: None)
        await asyncio.wait_for(failure(peer), DEADLINE_S)

    try:
        asyncio.run(within())
    except Missing as missing:
        return f"-: no {missing}"
    except TimeoutError:
        return "hangs"
    except Exception as error:
        return f"fails: {error or type(error).__name__}"
    return "passes"
