"""`map_batches`: which calls are made of which items, how many at once, and where results stand."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streams import Retry, map_batches
from streams.running.map_run import ROOM_CALLS
from tests.library.steered import Steered, answering, settled

pytestmark = pytest.mark.timeout(20)


async def test_results_stand_in_the_order_of_the_items_whatever_the_order_of_the_answers() -> None:
    process = Steered()
    run = asyncio.ensure_future(map_batches(process, range(7), max_items=2, max_in_flight=4))
    calls = await process.started(4)
    for call in reversed(calls):
        call.answer([-item for item in call.items])
    assert await run == [0, -1, -2, -3, -4, -5, -6]


async def test_a_call_gets_items_in_their_order_and_all_calls_but_the_last_are_full() -> None:
    calls, process = answering(str)
    assert await map_batches(process, range(5), max_items=2) == ["0", "1", "2", "3", "4"]
    assert calls == [[0, 1], [2, 3], [4]]


async def test_as_many_calls_as_the_limit_are_under_way_and_never_one_more() -> None:
    process = Steered()
    run = asyncio.ensure_future(map_batches(process, range(12), max_items=1, max_in_flight=3))
    for ended in range(12):
        calls = await process.started(min(12, ended + 3))
        await settled()
        assert process.under_way == min(3, 12 - ended)
        calls[ended].answer()
    assert await run == list(range(12))
    assert process.most == 3


async def test_nothing_waits_behind_a_slow_call() -> None:
    process = Steered()
    run = asyncio.ensure_future(map_batches(process, range(6), max_items=1, max_in_flight=2))
    calls = await process.started(2)
    for place in range(1, 6):
        (await process.started(place + 1))[place].answer()
    await settled()
    assert not run.done()
    calls[0].answer()
    assert await run == list(range(6))


async def test_no_items_make_no_call_and_an_empty_list() -> None:
    calls, process = answering(str)
    assert await map_batches(process, []) == []
    assert await map_batches(process, iter(())) == []
    assert calls == []


async def test_a_full_last_call_is_not_followed_by_an_empty_one() -> None:
    calls, process = answering(str)
    await map_batches(process, range(4), max_items=2)
    assert calls == [[0, 1], [2, 3]]


async def test_none_and_falsy_answers_are_results() -> None:
    _, process = answering(lambda item: [None, 0, "", False][item])
    assert await map_batches(process, range(4)) == [None, 0, "", False]


async def test_the_answers_may_be_any_sequence() -> None:
    async def process(items: Sequence[int]) -> tuple[int, ...]:
        return tuple(items)

    assert await map_batches(process, range(3)) == [0, 1, 2]


async def test_a_generator_is_drawn_no_faster_than_calls_start() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    process = Steered()
    run = asyncio.ensure_future(map_batches(process, items(), max_items=4, max_in_flight=2))
    for ended in range(25):
        await process.started(min(25, ended + 2))
        await settled()
        assert len(drawn) <= (ended + 2) * 4
        process.calls[ended].answer()
    assert await run == list(range(100))


async def test_an_item_is_let_go_once_it_has_its_result() -> None:
    class Item:
        pass

    living: weakref.WeakSet[Item] = weakref.WeakSet()

    def items() -> Iterator[Item]:
        for _ in range(40):
            item = Item()
            living.add(item)
            yield item

    async def process(items: Sequence[Item]) -> list[int]:
        assert len(living) <= 2 * 3
        return [1] * len(items)

    assert await map_batches(process, items(), max_items=3, max_in_flight=2) == [1] * 40
    assert not living


async def test_a_slow_call_keeps_no_item_but_its_own() -> None:
    class Item:
        pass

    living: weakref.WeakSet[Item] = weakref.WeakSet()

    def items() -> Iterator[Item]:
        for _ in range(40):
            item = Item()
            living.add(item)
            yield item

    process = Steered()
    run = asyncio.ensure_future(map_batches(process, items(), max_items=2, max_in_flight=2))
    for place in range(1, 20):
        call = (await process.started(place + 1))[place]
        call.answer([place] * 2)
        call.items.clear()
    await settled()
    assert len(living) == 2
    process.calls[0].answer([0, 0])
    assert await run == [place for place in range(20) for _ in range(2)]


async def test_items_that_wait_to_be_tried_again_bound_how_many_more_are_drawn() -> None:
    drawn, room = 0, ROOM_CALLS * 5 * 3
    full = asyncio.Event()

    def items() -> Iterator[int]:
        nonlocal drawn
        while True:
            drawn += 1
            if drawn == room:
                full.set()
            yield drawn

    async def process(items: Sequence[int]) -> list[int]:
        raise Retry(3600)

    run = asyncio.ensure_future(map_batches(process, items(), max_items=5, max_in_flight=3))
    await full.wait()
    await settled()
    assert drawn == room
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_call_sees_the_callers_context_and_nothing_that_another_call_has_set() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    seen = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        seen.append(name.get())
        name.set("a call")
        return items

    name.set("the caller")
    await map_batches(process, range(10), max_items=1, max_in_flight=2)
    assert seen == ["the caller"] * 10
    assert name.get() == "the caller"


# -- tokens ----------------------------------------------------------------------------------------


async def test_a_call_holds_at_most_max_tokens() -> None:
    calls, process = answering(str)
    weights = [3, 3, 3, 6, 4, 4, 1, 1]
    await map_batches(
        process, range(8), max_items=3, max_tokens=6, max_in_flight=1, tokens=weights.__getitem__
    )
    assert [place for call in calls for place in call] == list(range(8))
    assert all(sum(weights[place] for place in call) <= 6 for call in calls)
    assert [0, 1] in calls


async def test_an_item_above_max_tokens_alone_is_too_large_and_stops_no_other() -> None:
    _, process = answering(str)
    results: list[Any] = await map_batches(
        process, [1, 9, 2, 9], max_tokens=5, tokens=lambda item: item
    )
    assert [results[0], results[2]] == ["1", "2"]
    assert [results[1].code, results[3].code] == ["too_large", "too_large"]


async def test_nothing_but_items_that_are_too_large_ends_too() -> None:
    calls, process = answering(str)
    results: list[Any] = await map_batches(
        process, [9] * 50, max_items=5, max_tokens=5, tokens=lambda item: item
    )
    assert [error.code for error in results] == ["too_large"] * 50
    assert calls == []


@pytest.mark.parametrize(("weight", "error"), [(-1, ValueError), (1.5, TypeError)])
async def test_tokens_that_are_no_count_end_the_run(weight: Any, error: type[Exception]) -> None:
    _, process = answering(str)
    with pytest.raises(error):
        await map_batches(process, [1, 2], max_tokens=5, tokens=lambda item: weight)


async def test_strings_are_estimated_where_nobody_counts_their_tokens() -> None:
    calls, process = answering(len)
    await map_batches(process, ["word " * 30] * 4, max_tokens=110)
    assert [len(call) for call in calls] == [2, 2]


async def test_other_items_than_strings_need_someone_to_count_their_tokens() -> None:
    _, process = answering(str)
    with pytest.raises(TypeError, match="give tokens"):
        await map_batches(process, [{"text": "a"}], max_tokens=100)


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_items": 0},
        {"max_items": -1},
        {"max_in_flight": 0},
        {"max_tokens": 0, "tokens": len},
        {"max_attempts": 0},
        {"timeout_s": 0},
        {"timeout_s": -1.0},
        {"timeout_s": float("nan")},
        {"tokens": len},
    ],
    ids=str,
)
async def test_an_argument_out_of_range_is_a_value_error_before_anything_is_drawn(
    wrong: dict[str, Any],
) -> None:
    calls, process = answering(str)
    items = iter(range(3))
    with pytest.raises(ValueError):
        await map_batches(process, items, **wrong)
    assert list(items) == [0, 1, 2]
    assert calls == []


@pytest.mark.parametrize(
    "wrong", [{"max_items": 2.5}, {"max_in_flight": "5"}, {"max_attempts": "2"}], ids=str
)
async def test_an_argument_of_another_type_is_a_type_error(wrong: dict[str, Any]) -> None:
    _, process = answering(str)
    with pytest.raises(TypeError):
        await map_batches(process, [1], **wrong)


async def test_a_process_that_cannot_be_called_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="process must be an async function"):
        await map_batches("process", [1])  # type: ignore[arg-type]


async def test_items_that_cannot_be_iterated_are_a_type_error() -> None:
    _, process = answering(str)
    with pytest.raises(TypeError):
        await map_batches(process, 5)  # type: ignore[arg-type]
