"""What a stage that makes parts of a task's items takes in, so that there is room for the parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from streams import Item, Retry, expand, gather, stage
from tests.library.steered import Steered, settled
from tests.running.test_pipeline_caller import MB, item, outcome, running, same

ROOM = 16 * MB


def parts_of(mb: float) -> list[str]:
    """That take so much memory by the estimate."""
    return ["x" * 10_000] * int(mb * 100)


class Making:
    """A function of `expand`: what each call made, in items; `mb(item)` of each."""

    def __init__(self, mb: Any) -> None:
        self.calls: list[int] = []
        self._mb = mb

    async def __call__(self, items: Sequence[Any]) -> list[list[str]]:
        self.calls.append(len(items))
        return [parts_of(self._mb(each)) for each in items]

    @property
    def made(self) -> int:
        return sum(self.calls)


def started(caller: Any, count: int, partition: int = 0, first: int = 0) -> list[Any]:
    numbers = range(first, first + count)
    return [asyncio.create_task(outcome(caller, item(n, partition=partition))) for n in numbers]


def leave(waiting: Sequence[asyncio.Task[Any]]) -> None:
    for each in waiting:
        each.cancel()


# -- at the start --------------------------------------------------------------------------------


@pytest.mark.parametrize("max_in_flight", [1, 4])
@pytest.mark.parametrize("mb", [0.3, 1, 4])
async def test_a_thousand_at_the_start_make_no_more_than_there_is_room_for(
    mb: float, max_in_flight: int
) -> None:
    """200 were in the first call, before any had been measured."""
    making, stored = Making(lambda _: mb), Steered()
    parting = expand(making, max_items=200, max_in_flight=max_in_flight)
    async with running(parting, gather(), stage(stored, max_items=20)) as caller:
        waiting = started(caller, 1_000)
        await settled()
        assert making.calls[0] <= 4
        made_mb = making.made * mb
        assert 8 <= made_mb <= max(16, 8 * mb) + mb, making.calls
        leave(waiting)


async def test_calls_grow_to_their_full_size_while_parts_are_small() -> None:
    making = Making(lambda _: 0.01)
    parting = expand(making, max_items=200)
    async with running(parting, gather(), stage(same, max_items=100)) as caller:
        await asyncio.gather(*started(caller, 3_000))
    assert making.calls[0] == 4
    assert max(making.calls) == 200
    assert len(making.calls) < 30, making.calls


async def test_a_slow_first_item_holds_back_no_other_partition() -> None:
    """Hundreds of its own wait behind it: what was measured takes no place of those that were
    not."""
    parted, last = Steered(), Steered()
    async with running(expand(parted, max_in_flight=2), gather(), last) as caller:
        waiting = [*started(caller, 300), *started(caller, 1, partition=1)]
        for n in range(1, 301):
            call = (await parted.started(n + 1))[n]
            call.answer([[each.partition] for each in call.items])
        (call,) = await last.started(1)
        assert call.items == [[1]]
        leave(waiting)


async def test_a_first_call_that_fails_again_and_again_holds_back_no_other() -> None:
    async def parted(items: Sequence[Item]) -> list[list[str]]:
        if any(each.offset == 0 and each.partition == 0 for each in items):
            raise Retry(60)
        return [[each.text] for each in items]

    async with running(expand(parted, max_items=10), gather(), same) as caller:
        waiting = started(caller, 50)
        others = started(caller, 200, partition=1)
        await asyncio.wait_for(asyncio.gather(*others), 10)
        assert not any(each.done() for each in waiting)
        leave(waiting)


# -- later ---------------------------------------------------------------------------------------


async def test_sizes_may_rise_by_what_two_rounds_of_calls_make_and_no_more() -> None:
    making, stored = Making(lambda each: 0.01 if each.offset < 200 else 1), Steered()
    parting = expand(making, max_items=10)
    async with running(parting, gather(), stage(stored, max_items=20)) as caller:
        waiting = started(caller, 1_000)
        await settled()
        assert making.made > 200
        large = making.made - 200
        assert large <= 16 + 2 * 10, making.calls
        leave(waiting)


async def test_what_waits_for_its_turn_counts() -> None:
    """Behind a slow head nothing is released, and all of it is in memory."""
    parted = Steered()
    async with running(expand(parted, max_in_flight=4), gather(), same) as caller:
        waiting = started(caller, 100)
        made = 0
        for _ in range(100):
            await settled()
            for call in [each for each in parted.calls[1:] if not each.ended.done()]:
                call.answer([parts_of(1)])
                made += 1
        assert 10 <= made <= 17
        parted.calls[0].answer([parts_of(1)])
        while not all(each.done() for each in waiting):
            await settled()
            for call in [each for each in parted.calls if not each.ended.done()]:
                call.answer([parts_of(1)])


async def test_items_that_another_stage_made_large_are_expanded_several_at_a_time() -> None:
    """What waits before the stage fills the room, and its parts take hardly more than that."""

    async def read(items: Sequence[Item]) -> list[str]:
        return ["x" * MB for _ in items]

    making = Making(lambda _: 1.02)
    parting = expand(making, max_items=20)
    async with running(stage(read, max_items=200), parting, gather(), counted) as caller:
        await asyncio.gather(*started(caller, 300))
    assert making.made == 300
    assert len(making.calls) < 100, making.calls


async def counted(lists: Sequence[list[str]]) -> list[int]:
    return [len(each) for each in lists]


async def test_what_is_dropped_with_its_partition_leaves_room_for_others() -> None:
    parted = Steered()
    async with running(expand(parted), gather(), same) as caller:
        lost = started(caller, 20)
        await parted.started(1)
        leave(lost)
        kept = started(caller, 20, partition=1)
        while not all(each.done() for each in kept):
            await settled()
            for call in [each for each in parted.calls if not each.ended.done()]:
                call.answer([["part"] for _ in call.items])


async def test_everything_passes_however_little_room_there_is(seed: int) -> None:
    """Also through an expansion within another, and with slow ones and failures among them."""
    random = Random(seed)

    async def split(items: Sequence[Any]) -> list[Any]:
        await asyncio.sleep(random.random() / 1_000)
        if random.random() < 0.1:
            raise ValueError
        return [["x" * random.randrange(2_000)] * random.randrange(4) for _ in items]

    async def look(items: Sequence[Any]) -> list[Any]:
        await asyncio.sleep(random.random() / 1_000)
        return list(items)

    for _ in range(5):
        seats, again = random.randint(1, 4), random.randint(1, 4)
        stages = [
            expand(split, max_items=random.randint(1, 9), max_in_flight=seats),
            stage(look, max_in_flight=2, order=random.choice(["none", "partition"])),
            expand(split, max_items=random.randint(1, 9), max_in_flight=again),
            stage(look, max_items=3),
            gather(),
            stage(look, max_items=2),
            gather(),
            counted,
        ]
        room = random.choice([1, 3_000, 100_000])
        async with running(*stages, room_bytes=room) as caller:
            waiting = [each for n in range(3) for each in started(caller, 20, partition=n)]
            await asyncio.wait_for(asyncio.gather(*waiting), 30)
            assert caller._load.bytes == 0
