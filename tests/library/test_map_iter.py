"""`map_batches_iter`, and what `map_batches` has of it: streams in, results as they are ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from streams import ItemError, map_batches, map_batches_iter
from streams.running.bar import Counts
from streams.running.map_run import ROOM_CALLS
from tests.library.steered import Steered, answering, settled


async def stream(numbers: Any) -> AsyncIterator[int]:
    for number in numbers:
        yield number


async def collect(results: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in results]


async def test_results_come_in_the_items_order_as_they_are_ready() -> None:
    process = Steered()
    results = map_batches_iter(process, range(4), max_items=1, max_in_flight=4)
    first = asyncio.ensure_future(anext(results))
    calls = await process.started(4)
    calls[1].answer(["one"])
    await settled()
    assert not first.done()
    calls[0].answer(["zero"])
    assert [await first, await anext(results)] == ["zero", "one"]
    calls[2].answer(["two"])
    calls[3].answer(["three"])
    assert await collect(results) == ["two", "three"]


async def test_unordered_results_come_with_their_index_as_completed() -> None:
    process = Steered()
    results = map_batches_iter(process, "ab", ordered=False, max_items=1)
    first = asyncio.ensure_future(anext(results))
    calls = await process.started(2)
    calls[1].answer()
    assert await first == (1, "b")
    calls[0].answer()
    assert await collect(results) == [(0, "a")]


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_input_without_end_takes_bounded_memory(ordered: bool) -> None:
    drawn = 0

    def numbers() -> Iterator[int]:
        nonlocal drawn
        for drawn in count():  # noqa: UP028
            yield drawn

    _, process = answering(lambda n: n)
    taken = 0
    results = map_batches_iter(process, numbers(), ordered=ordered, max_items=3, max_in_flight=2)  # type: ignore[call-overload]
    async for _ in results:
        taken += 1
        assert drawn - taken <= ROOM_CALLS * 3 * 2 + 3
        if taken == 1_000:
            break
    await results.aclose()


async def test_a_slow_taker_holds_back_the_drawing() -> None:
    drawn: list[int] = []

    async def numbers() -> AsyncIterator[int]:
        for n in count():
            drawn.append(n)
            yield n

    _, process = answering(lambda n: n)
    async with contextlib.aclosing(
        map_batches_iter(process, numbers(), max_items=2, max_in_flight=1)
    ) as results:
        assert await anext(results) == 0
        await settled()
        before = len(drawn)
        await settled()
        assert len(drawn) == before <= ROOM_CALLS * 2 + 2


async def test_an_async_iterable_is_an_input_of_both() -> None:
    _, process = answering(lambda n: n * 2)
    assert await map_batches(process, stream(range(50)), max_items=7) == [n * 2 for n in range(50)]
    results = map_batches_iter(process, stream(range(50)), max_items=7)
    assert await collect(results) == [n * 2 for n in range(50)]


async def test_a_lone_item_of_a_quiet_stream_does_not_wait_for_others() -> None:
    """Its window closes after a moment, while a call may start."""
    more = asyncio.Event()

    async def quiet() -> AsyncIterator[int]:
        yield 1
        await more.wait()
        yield 2

    _, process = answering(lambda n: n)
    results = map_batches_iter(process, quiet(), max_items=20)
    assert await anext(results) == 1
    more.set()
    assert await collect(results) == [2]


async def test_an_empty_source_gives_nothing_and_calls_nothing() -> None:
    calls, process = answering(lambda n: n)
    assert await collect(map_batches_iter(process, [])) == []
    assert await collect(map_batches_iter(process, stream([]))) == []
    assert await map_batches(process, stream([])) == []
    assert calls == []


@pytest.mark.parametrize("ordered", [True, False])
async def test_who_stops_half_way_leaves_no_task_and_no_call(ordered: bool) -> None:
    before = asyncio.all_tasks()
    process = Steered()
    closed = False

    async def numbers() -> AsyncIterator[int]:
        nonlocal closed
        try:
            for n in count():
                yield n
        finally:
            closed = True

    results = map_batches_iter(process, numbers(), ordered=ordered, max_items=1, max_in_flight=2)  # type: ignore[call-overload]
    first = asyncio.ensure_future(anext(results))
    calls = await process.started(2)
    calls[0].answer()
    await first
    await results.aclose()
    assert process.under_way == 0
    assert asyncio.all_tasks() == before
    assert closed


async def test_a_break_without_closing_leaves_nothing_either() -> None:
    """The event loop closes what the garbage collector finds."""
    before = asyncio.all_tasks()
    _, process = answering(lambda n: n)
    async for _ in map_batches_iter(process, count()):
        break
    await settled()
    assert asyncio.all_tasks() == before


@pytest.mark.filterwarnings("error")
def test_an_event_loop_that_ends_meanwhile_leaves_no_warning() -> None:
    _, process = answering(lambda n: n)

    async def half() -> None:
        results = map_batches_iter(process, stream(count()), max_items=2)
        assert await anext(results) == 0

    asyncio.run(half())


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_source_that_raises_half_way_ends_the_run_with_its_error(
    asynchronous: bool,
) -> None:
    before = asyncio.all_tasks()
    process = Steered()

    def numbers() -> Iterator[int]:
        yield from range(3)
        raise LookupError("the file ends here")

    source: Any = stream(numbers()) if asynchronous else numbers()
    with pytest.raises(LookupError, match="the file ends here"):
        await collect(map_batches_iter(process, source, max_items=1, max_in_flight=5))
    assert process.under_way == 0
    assert asyncio.all_tasks() == before


async def test_a_run_that_is_cancelled_has_ended_its_calls_and_its_source() -> None:
    before = asyncio.all_tasks()
    process = Steered()
    run = asyncio.create_task(collect(map_batches_iter(process, stream(count()), max_items=2)))
    await process.started(5)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert process.under_way == 0
    assert all(call.cancelled for call in process.calls)
    assert asyncio.all_tasks() == before


async def test_stop_on_error_raises_the_first_error_at_its_place() -> None:
    _, process = answering(lambda n: ItemError("odd", "seven") if n == 7 else n)
    taken: list[Any] = []

    async def take() -> None:
        async for result in map_batches_iter(process, range(100), max_items=1, stop_on_error=True):
            taken.append(result)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(ItemError, match="odd: seven"):
        await take()
    assert taken == list(range(7))
    with pytest.raises(ItemError, match="odd: seven"):
        await map_batches(process, range(100), stop_on_error=True)


async def test_progress_gives_the_counts_to_a_function() -> None:
    _, process = answering(lambda n: ItemError("odd") if n == 1 else n)
    seen: list[Counts] = []
    await map_batches(process, range(10), max_items=3, progress=seen.append)
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert (seen[-1].done, seen[-1].failed, seen[-1].total, seen[-1].calls) == (10, 1, 10, 4)


async def test_progress_true_shows_a_bar_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    _, process = answering(lambda n: n)
    await map_batches(process, range(10), max_items=3, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "10/10" in err


@pytest.mark.parametrize("wrong", [{"max_items": 0}, {"max_in_flight": 0}, {"timeout_s": 0}])
async def test_a_limit_of_zero_is_a_value_error(wrong: dict[str, Any]) -> None:
    _, process = answering(lambda n: n)
    with pytest.raises(ValueError):
        await collect(map_batches_iter(process, [1], **wrong))


async def test_tokens_that_raises_ends_a_stream_with_its_error() -> None:
    def tokens(item: int) -> int:
        return abs(1 // (item - 3))

    _, process = answering(lambda n: n)
    with pytest.raises(ZeroDivisionError):
        await collect(map_batches_iter(process, stream(range(9)), tokens=tokens, max_tokens=100))


async def test_a_function_that_raises_shows_nobody_elses_results_late() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        if 2 in items:
            raise ValueError("two")
        return items

    results = await collect(map_batches_iter(process, range(4), max_items=1))
    assert [isinstance(result, ItemError) for result in results] == [False, False, True, False]
