"""A pipeline that ends early, in every way: nothing is left, nothing hangs."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from streams import Pipeline, embed, expand, gather, stage
from streams.errors import ConfigError
from streams.running.bar import Counts
from tests.library.steered import Steered, answering, settled


async def same(items: Sequence[Any]) -> list[Any]:
    return list(items)


async def pairs(items: Sequence[Any]) -> list[list[Any]]:
    return [[item, item] for item in items]


def three(*functions: Any) -> Pipeline:
    """Stages with full queues around what a test steers."""
    first, second, third = functions
    return Pipeline(
        [expand(pairs), stage(first, max_items=2), gather(), stage(second, max_in_flight=2), third]
    )


def tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def test_a_taker_that_leaves_half_way_leaves_nothing_behind() -> None:
    steered = Steered()
    results = three(same, same, steered).stream(count())
    first = asyncio.ensure_future(anext(results))
    (await steered.started(1))[0].answer()
    assert await first == [0, 0]
    await steered.started(2)
    await results.aclose()
    assert steered.calls[1].cancelled
    assert tasks() == set()


async def test_a_cancelled_run_cancels_the_calls_of_every_stage() -> None:
    steered = [Steered(), Steered(), Steered()]
    running = asyncio.ensure_future(three(*steered).run(range(100)))
    for each in steered[:2]:
        for call in list(await each.started(1)):
            call.answer()
    await steered[2].started(1)
    await settled()
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert all(call.cancelled for each in steered for call in each.calls if not call.ended.done())
    assert sum(each.under_way for each in steered) == 0
    assert tasks() == set()


@pytest.mark.parametrize("how", ["timeout", "group"])
async def test_a_timeout_and_a_task_group_end_every_stage(how: str) -> None:
    steered = Steered()
    running = three(same, steered, same)
    if how == "timeout":
        with pytest.raises(TimeoutError):
            await within_a_limit(running, steered)
    else:
        with pytest.raises(ExceptionGroup, match="unhandled"):
            await beside_one_that_fails(running, steered)
    assert [call.cancelled for call in steered.calls] == [True, True]
    assert tasks() == set()


async def within_a_limit(pipeline: Pipeline, steered: Steered) -> None:
    """A time limit that is over once two calls are under way."""
    async with asyncio.timeout(None) as limit:
        running = asyncio.ensure_future(steered.started(2))
        now = asyncio.get_running_loop().time()
        running.add_done_callback(lambda _: limit.reschedule(now))
        await pipeline.run(range(10))


async def beside_one_that_fails(pipeline: Pipeline, steered: Steered) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.run(range(10)))
        await steered.started(2)
        raise ValueError("a sibling failed")


async def test_an_input_that_raises_ends_the_run_with_its_error() -> None:
    def numbers() -> Iterator[int]:
        yield from range(10)
        raise LookupError("the file is gone")

    with pytest.raises(LookupError, match="the file is gone"):
        await three(same, same, same).run(numbers())
    assert tasks() == set()


@pytest.mark.parametrize("error", [LookupError("gone"), asyncio.CancelledError()])
async def test_an_async_input_that_raises_ends_the_run_and_is_closed(error: BaseException) -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            raise error
        finally:
            closed.append(True)

    with pytest.raises((LookupError, RuntimeError), match=r"gone|cancelled"):
        await three(same, same, same).run(numbers())
    assert closed == [True]
    assert tasks() == set()


async def test_an_async_input_is_closed_when_the_taker_leaves() -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for n in count():
                yield n
        finally:
            closed.append(True)

    async for _ in (results := three(same, same, same).stream(numbers())):
        break
    await results.aclose()
    assert closed == [True]
    assert tasks() == set()


class Panic(BaseException):
    """As a Rust extension raises it."""


async def test_what_is_no_exception_ends_the_run() -> None:
    async def panics(items: Sequence[Any]) -> list[Any]:
        raise Panic

    steered = Steered()
    running = asyncio.ensure_future(Pipeline([stage(steered, max_in_flight=3), panics]).run("abc"))
    (await steered.started(3))[0].answer()
    with pytest.raises(Panic):
        await running
    assert steered.calls[1].cancelled
    assert tasks() == set()


async def test_a_stage_that_cannot_begin_closes_those_that_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VOYAGE_API_KEY", raising=False)
    pipeline = Pipeline([same, embed("voyage-4", dimension=1024)])
    with pytest.raises(ConfigError, match=r"VOYAGE_API_KEY"):
        await pipeline.run(["a"])
    assert tasks() == set()


async def test_a_blocking_function_is_waited_for_and_its_thread_ends() -> None:
    entered, go = threading.Event(), threading.Event()
    before = threading.active_count()

    def blocks(items: list[int]) -> list[int]:
        entered.set()
        assert go.wait(10)
        return items

    running = asyncio.ensure_future(Pipeline([stage(blocks, max_in_flight=2)]).run([1]))
    await asyncio.to_thread(entered.wait, 10)
    running.cancel()
    await settled()
    assert not running.done(), "the function's effects are not over"
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    deadline = asyncio.get_running_loop().time() + 10
    while threading.active_count() > before + 1:  # that of asyncio.to_thread stays
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0)


async def test_two_runs_at_the_same_time_have_calls_of_their_own() -> None:
    steered = Steered()
    pipeline = Pipeline([stage(steered, max_in_flight=1)])
    one, two = (asyncio.ensure_future(pipeline.run([item])) for item in "ab")
    calls = await steered.started(2)
    calls[1].answer()
    assert await two == ["b"]
    calls[0].answer()
    assert await one == ["a"]


def test_a_pipeline_runs_in_one_loop_after_the_other() -> None:
    pipeline = three(same, same, lambda items: items)
    for _ in range(2):
        assert asyncio.run(pipeline.run([1])) == [[1, 1]]


def test_a_loop_that_ends_in_the_middle_of_a_stream_leaves_nothing() -> None:
    async def half() -> None:
        results = three(same, same, same).stream(count())
        assert await anext(results) == [0, 0]

    asyncio.run(half())
    gc.collect()


class Counted:
    """`alive`: how many there are."""

    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


async def test_what_has_passed_a_stage_is_let_go() -> None:
    async def made(items: Sequence[int]) -> list[Counted]:
        return [Counted() for _ in items]

    async def numbers(items: Sequence[Counted]) -> list[int]:
        return [1 for _ in items]

    most = 0
    pipeline = Pipeline([stage(made, max_items=5), stage(numbers, max_items=5)])
    async for _ in pipeline.stream(range(2_000)):
        most = max(most, Counted.alive)
    assert 0 < most < 200
    assert Counted.alive == 0


async def test_progress_tells_how_far_it_is() -> None:
    told: list[Counts] = []
    _, process = answering(lambda item: item)
    results = await Pipeline([process, stage(process, max_items=2)]).run(
        [1, 2, 3], progress=told.append
    )
    assert results == [1, 2, 3]
    assert (told[-1].done, told[-1].total, told[-1].failed) == (3, 3, 0)
    assert told[-1].calls >= 5


async def test_a_bar_is_shown_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    await Pipeline([same]).run([1, 2], progress=True)
    shown = capsys.readouterr()
    assert "2/2" in shown.err
    assert shown.out == ""
