"""`Coalescer`: callers share calls, and nobody is hurt by another.

The numbers in the names are those of the failures that other coalescers have had
(docs/benchmarks.md has the table)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import multiprocessing
import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError as ThreadCancelledError
from typing import Any

import pytest

import streams
from streams import Coalescer, ItemError, Overloaded
from streams.errors import StreamsError
from streams.running.coalescer import ClosedError
from tests.library.steered import Steered, answering, settled

LONG_MS = 3_600_000
"""A window that closes by itself only in an hour: the test closes it, or nothing does."""


def steered(**options: Any) -> tuple[Steered, Coalescer[Any, Any]]:
    process = Steered()
    options = {"max_items": 2, "max_wait_ms": LONG_MS, **options}
    return process, Coalescer(process, **options)


def caller(coalescer: Coalescer[Any, Any], item: Any, **more: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(coalescer.submit(item, **more))


# -- what it is for --------------------------------------------------------------------------------


async def test_callers_of_one_moment_share_calls() -> None:
    calls, process = answering(lambda n: n * 2)
    async with Coalescer(process, max_items=20, max_wait_ms=1) as coalescer:
        results = await asyncio.gather(*(coalescer.submit(n) for n in range(50)))
    assert results == [n * 2 for n in range(50)]
    assert [len(call) for call in calls] == [20, 20, 10]


async def test_a_full_window_does_not_wait() -> None:
    process, coalescer = steered()
    callers = [caller(coalescer, n) for n in range(2)]
    (call,) = await process.started(1)
    call.answer(["a", "b"])
    assert await asyncio.gather(*callers) == ["a", "b"]


async def test_no_more_calls_run_at_once_than_allowed() -> None:
    process, coalescer = steered(max_in_flight=2, max_items=1)
    callers = [caller(coalescer, n) for n in range(5)]
    await process.started(2)
    for n in range(5):
        await settled()
        assert process.under_way <= 2
        process.calls[n].answer()
    assert await asyncio.gather(*callers) == list(range(5))
    assert process.most == 2


async def test_submit_flush_closes_the_window_now() -> None:
    process, coalescer = steered(max_items=9)
    callers = [caller(coalescer, 1), caller(coalescer, 2, flush=True)]
    (call,) = await process.started(1)
    assert sorted(call.items) == [1, 2]
    call.answer()
    await asyncio.gather(*callers)
    assert coalescer.statistics().left == {"flush": 1}


async def test_submit_flush_of_an_item_whose_equal_waits_closes_the_window_of_that() -> None:
    process, coalescer = steered(max_items=9, unique=lambda item: item)
    first, other = caller(coalescer, "same"), caller(coalescer, "other")
    await settled()
    assert process.calls == []
    second = caller(coalescer, "same", flush=True)
    (call,) = await process.started(1)
    assert sorted(call.items) == ["other", "same"]
    call.answer()
    assert await asyncio.gather(first, second, other) == ["same", "same", "other"]
    assert coalescer.statistics().left == {"flush": 1}


async def test_submit_flush_in_the_turn_of_its_equal_closes_the_window_too() -> None:
    process, coalescer = steered(max_items=9, unique=lambda item: item)
    callers = [caller(coalescer, "same"), caller(coalescer, "same", flush=True)]
    (call,) = await process.started(1)
    late = caller(coalescer, "same", flush=True)  # of what is in flight: nothing is to be closed
    await settled()
    call.answer()
    assert await asyncio.gather(*callers, late) == ["same"] * 3


async def test_wait_idle_lets_a_lone_item_leave_at_once() -> None:
    process, coalescer = steered(wait="idle", max_in_flight=1, max_items=9)
    first = caller(coalescer, 1)
    (call,) = await process.started(1)
    assert call.items == [1]
    others = [caller(coalescer, n) for n in (2, 3, 4)]
    await settled()
    assert len(process.calls) == 1  # the slot is busy: they gather
    call.answer()
    (_, second) = await process.started(2)
    assert second.items == [2, 3, 4]
    second.answer()
    await asyncio.gather(first, *others)
    assert coalescer.statistics().left == {"idle": 2}


async def test_only_items_with_equal_keys_share_a_call() -> None:
    process, coalescer = steered(key=lambda item: item[0])
    callers = [caller(coalescer, item) for item in ("a1", "b1", "a2", "b2")]
    calls = await process.started(2)
    assert sorted(call.items for call in calls) == [["a1", "a2"], ["b1", "b2"]]
    for call in calls:
        call.answer()
    await asyncio.gather(*callers)


async def test_equal_items_in_flight_share_one_answer() -> None:
    process, coalescer = steered(unique=lambda item: item, max_items=1)
    callers = [caller(coalescer, "same") for _ in range(1000)]
    (call,) = await process.started(1)
    late = caller(coalescer, "same")
    await settled()
    call.answer(["one"])
    assert await asyncio.gather(*callers, late) == ["one"] * 1001
    assert len(process.calls) == 1


async def test_submit_many_gives_errors_in_place() -> None:
    _, process = answering(lambda n: ItemError("odd", "it is odd") if n % 2 else n)
    async with Coalescer(process, max_items=3, max_wait_ms=0) as coalescer:
        results = await coalescer.submit_many(range(4))
    assert results[0] == 0
    assert isinstance(results[1], ItemError)
    assert [type(result) for result in results] == [int, ItemError, int, ItemError]


async def test_submit_raises_what_stands_in_the_items_place() -> None:
    _, process = answering(lambda n: ItemError("odd", "it is odd"))
    async with Coalescer(process, max_wait_ms=0) as coalescer:
        with pytest.raises(ItemError, match="odd: it is odd"):
            await coalescer.submit(1)


async def test_each_caller_gets_an_error_object_of_its_own_with_the_cause_of_all() -> None:
    async def process(items: Sequence[Any]) -> list[Any]:
        raise LookupError("gone")

    async with Coalescer(process, max_wait_ms=0) as coalescer:
        errors = await asyncio.gather(
            *(coalescer.submit(n) for n in range(3)), return_exceptions=True
        )
    assert len({id(error) for error in errors}) == 3
    causes = {id(error.__cause__) for error in errors if isinstance(error, ItemError)}
    assert len(causes) == 1
    assert all(isinstance(error.__cause__, LookupError) for error in errors)  # type: ignore[union-attr]


# -- limits that change ----------------------------------------------------------------------------


async def test_the_size_may_change_and_what_waits_is_cut_by_it_at_once() -> None:
    process, coalescer = steered(max_items=9)
    callers = [caller(coalescer, n) for n in range(3)]
    await settled()
    assert process.calls == []
    coalescer.change(max_items=2)
    (call,) = await process.started(1)
    assert call.items == [0, 1]
    coalescer.change(max_items=1)
    (_, second) = await process.started(2)
    call.answer()
    second.answer()
    assert await asyncio.gather(*callers) == [0, 1, 2]


async def test_the_wait_may_change_for_what_waits_already() -> None:
    process, coalescer = steered(max_items=9)
    one = caller(coalescer, 1)
    await settled()
    coalescer.change(max_wait_ms=0)
    (call,) = await process.started(1)
    call.answer()
    assert await one == 1
    assert coalescer.statistics().left == {"time": 1}


async def test_more_calls_at_once_start_at_once_and_with_fewer_those_under_way_end() -> None:
    process, coalescer = steered(max_items=1, max_in_flight=1)
    callers = [caller(coalescer, n) for n in range(6)]
    await process.started(1)
    coalescer.change(max_in_flight=3)
    await process.started(3)
    coalescer.change(max_in_flight=1)
    for n in range(6):
        await settled()
        assert len(process.calls) == max(3, n + 1)
        process.calls[n].answer()
    assert await asyncio.gather(*callers) == list(range(6))
    assert not any(call.cancelled for call in process.calls)


async def test_limits_change_before_the_first_use_and_from_inside_a_call() -> None:
    sizes: list[int] = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        coalescer.change(max_items=3)
        return items

    coalescer: Coalescer[int, int] = Coalescer(process, max_items=9, max_in_flight=1)
    coalescer.change(max_items=2, max_wait_ms=0)
    async with coalescer:
        assert await coalescer.submit_many(range(5)) == list(range(5))
    assert sizes == [2, 3]


@pytest.mark.parametrize(
    "change",
    [{"max_items": 0}, {"max_in_flight": 0}, {"max_wait_ms": -1}, {"max_wait_ms": float("nan")}],
)
async def test_a_change_out_of_range_is_a_value_error_and_changes_nothing(change: Any) -> None:
    process, coalescer = steered(max_items=2)
    one = caller(coalescer, 1)
    await settled()
    with pytest.raises(ValueError, match=next(iter(change))):
        coalescer.change(**{"max_items": 1, **change})
    await settled()
    assert process.calls == []
    two = caller(coalescer, 2)
    (call,) = await process.started(1)
    call.answer()
    assert await asyncio.gather(one, two) == [1, 2]


async def test_a_change_of_nothing_or_after_the_end_is_told() -> None:
    _, coalescer = steered(wait="idle")
    with pytest.raises(ValueError, match="idle"):
        coalescer.change(max_wait_ms=5)
    await coalescer.close()
    with pytest.raises(ClosedError):
        coalescer.change(max_items=5)


# -- 1, 2: callers that leave ----------------------------------------------------------------------


async def test_1_a_caller_cancelled_before_the_call_takes_its_item_along() -> None:
    process, coalescer = steered(max_items=3)
    callers = [caller(coalescer, n) for n in range(2)]
    await settled()
    callers[0].cancel()
    await settled()
    callers += [caller(coalescer, n) for n in (2, 3)]
    (call,) = await process.started(1)
    assert call.items == [1, 2, 3]
    call.answer()
    assert await asyncio.gather(*callers[1:]) == [1, 2, 3]


async def test_1_a_caller_cancelled_during_the_call_disturbs_nobody() -> None:
    process, coalescer = steered()
    one, two = caller(coalescer, 1), caller(coalescer, 2)
    (call,) = await process.started(1)
    one.cancel()
    await settled()
    assert not call.cancelled
    call.answer(["one", "two"])
    assert await two == "two"
    assert one.cancelled()


async def test_1_a_caller_cancelled_as_its_answer_comes_disturbs_nobody() -> None:
    process, coalescer = steered()
    one, two = caller(coalescer, 1), caller(coalescer, 2)
    (call,) = await process.started(1)
    call.answer()
    one.cancel()
    assert await two == 2
    assert one.cancelled()
    assert coalescer.statistics().pending == 0


async def test_2_without_any_caller_the_call_is_not_made() -> None:
    process, coalescer = steered(max_items=9, max_wait_ms=0, max_in_flight=1)
    busy = caller(coalescer, 0)
    await process.started(1)
    gone = [caller(coalescer, n) for n in (1, 2)]
    await settled()
    for each in gone:
        each.cancel()
    await settled()
    process.calls[0].answer()
    assert await busy == 0
    await settled()
    assert len(process.calls) == 1
    assert coalescer.statistics().waiting == 0


async def test_2_without_any_caller_the_call_is_cancelled() -> None:
    process, coalescer = steered()
    callers = [caller(coalescer, n) for n in range(2)]
    (call,) = await process.started(1)
    for each in callers:
        each.cancel()
    await settled()
    assert call.cancelled
    assert coalescer.statistics() == coalescer.statistics()._replace(pending=0, in_flight=0)


async def test_2_a_caller_that_leaves_as_its_item_arrives_leaves_nothing_behind() -> None:
    process, coalescer = steered(max_wait_ms=0)
    one = caller(coalescer, 1)
    await asyncio.sleep(0)  # it has submitted, and the loop has not turned
    one.cancel()
    await settled()
    assert all(call.cancelled for call in process.calls)
    assert coalescer.statistics().pending == 0


# -- 3: unique -------------------------------------------------------------------------------------


async def test_3_the_first_of_equal_callers_is_cancelled_and_the_others_get_their_answer() -> None:
    process, coalescer = steered(unique=lambda item: item, max_items=1)
    callers = [caller(coalescer, "same") for _ in range(3)]
    (call,) = await process.started(1)
    callers[0].cancel()
    await settled()
    assert not call.cancelled
    call.answer(["one"])
    assert await asyncio.gather(*callers[1:]) == ["one", "one"]


async def test_3_when_the_last_of_equal_callers_leaves_the_call_is_cancelled() -> None:
    process, coalescer = steered(unique=lambda item: item, max_items=1)
    callers = [caller(coalescer, "same") for _ in range(3)]
    (call,) = await process.started(1)
    for each in callers:
        each.cancel()
    late = caller(coalescer, "same")  # in the same turn: it does not join what is being cancelled
    (_, second) = await process.started(2)
    assert call.cancelled
    second.answer(["two"])
    assert await late == "two"


# -- 4, 5: functions that raise, answers of another shape ------------------------------------------


@pytest.mark.parametrize(
    ("option", "function"),
    [
        ("key", lambda item: 1 / item),
        ("unique", lambda item: 1 / item),
        ("key", lambda item: [] if item == 0 else item),
        ("unique", lambda item: [] if item == 0 else item),
        ("tokens", lambda item: 1 / item and 1),
        ("tokens", lambda item: -1 if item == 0 else 1),
    ],
)
async def test_4_a_key_that_raises_or_is_unhashable_is_that_callers_error(
    option: str, function: Callable[[Any], Any]
) -> None:
    more: dict[str, Any] = {option: function}
    if option == "tokens":
        more["max_tokens"] = 10
    _, process = answering(lambda item: item)
    async with Coalescer(process, max_wait_ms=0, **more) as coalescer:
        wrong, right = await asyncio.gather(
            coalescer.submit(0), coalescer.submit(1), return_exceptions=True
        )
        assert isinstance(wrong, ZeroDivisionError | TypeError | ValueError)
        assert right == 1
        assert coalescer.statistics().pending == 0


@pytest.mark.parametrize(
    "answer",
    [[1], [1, 2, 3], None, (n for n in range(2)), "ab", {1: 1, 2: 2}, 7],
    ids=["short", "long", "None", "generator", "text", "dict", "number"],
)
async def test_5_an_answer_of_another_shape_is_an_error_of_the_call(answer: Any) -> None:
    async def process(items: Sequence[Any]) -> Any:
        return answer

    async with Coalescer(process, max_items=2, max_wait_ms=0) as coalescer:
        for result in await coalescer.submit_many([1, 2]):
            assert isinstance(result, ItemError)
            assert result.code == "function_error"


async def test_5_an_exception_among_the_answers_is_that_callers() -> None:
    async def process(items: Sequence[Any]) -> Any:
        return [LookupError("gone"), *items[1:]]

    async with Coalescer(process, max_items=2, max_wait_ms=0) as coalescer:
        wrong, right = await coalescer.submit_many([1, 2])
    assert isinstance(wrong, ItemError)
    assert isinstance(wrong.__cause__, LookupError)
    assert right == 2


# -- 6, 7: moments ---------------------------------------------------------------------------------


async def test_6_an_item_in_the_turn_of_the_close_has_its_outcome() -> None:
    _, process = answering(lambda item: item)
    coalescer = Coalescer(process, max_wait_ms=LONG_MS)
    one = caller(coalescer, 1)
    await asyncio.sleep(0)
    await coalescer.close()
    assert await one == 1


async def test_6_an_item_in_the_turn_of_the_timer_is_in_that_call_or_the_next() -> None:
    calls, process = answering(lambda item: item)
    async with Coalescer(process, max_items=9, max_wait_ms=1) as coalescer:
        loop = asyncio.get_running_loop()
        late: list[asyncio.Task[Any]] = []
        one = caller(coalescer, 1)
        await asyncio.sleep(0)
        loop.call_at(loop.time() + 0.001, lambda: late.append(caller(coalescer, 2)))
        assert await one == 1
        await asyncio.sleep(0.002)
        assert await late[0] == 2
    assert sorted(item for call in calls for item in call) == [1, 2]


async def test_6_the_timer_of_a_full_window_does_not_close_the_next_one_early() -> None:
    process, coalescer = steered(max_items=2)
    callers = [caller(coalescer, n) for n in range(3)]
    (call,) = await process.started(1)
    call.answer()
    await asyncio.gather(*callers[:2])
    due = coalescer._calls.runner.engine.next_deadline()  # type: ignore[union-attr]
    assert due is not None
    assert due > asyncio.get_running_loop().time() + 3_000
    callers[2].cancel()


async def test_7_after_a_long_idle_time_an_item_is_answered_as_before() -> None:
    _, process = answering(lambda item: item)
    async with Coalescer(process, max_wait_ms=0) as coalescer:
        assert await coalescer.submit(1) == 1
        gc.collect()
        await settled()
        assert await coalescer.submit(2) == 2


# -- 8: loops, threads, processes ------------------------------------------------------------------


def test_8_a_second_event_loop_is_refused_with_a_clear_error() -> None:
    _, process = answering(lambda item: item)
    coalescer = Coalescer(process, max_wait_ms=0)
    assert asyncio.run(coalescer.submit(1)) == 1
    with pytest.raises(RuntimeError, match="another event loop: make one in each loop"):
        asyncio.run(coalescer.submit(2))
    with pytest.raises(RuntimeError, match="loop is closed"):
        coalescer.submit_threadsafe(3)


async def test_8_a_thread_submits_and_may_cancel() -> None:
    process, coalescer = steered(max_items=2)
    async with coalescer:
        futures = await asyncio.to_thread(
            lambda: [coalescer.submit_threadsafe(n) for n in range(3)]
        )
        (call,) = await process.started(1)
        call.answer(["a", "b"])
        assert await asyncio.to_thread(lambda: [f.result(10) for f in futures[:2]]) == ["a", "b"]
        await asyncio.to_thread(futures[2].cancel)
        with pytest.raises(ThreadCancelledError):
            futures[2].result(0)
        await settled()
        assert coalescer.statistics().pending == 0


def test_8_a_thread_before_the_first_use_is_told_what_to_do() -> None:
    _, process = answering(lambda item: item)
    with pytest.raises(RuntimeError, match="enter it with `async with`"):
        Coalescer(process).submit_threadsafe(1)


def test_8_after_a_fork_it_is_refused() -> None:
    _, process = answering(lambda item: item)
    coalescer = Coalescer(process, max_wait_ms=0)

    def child() -> None:
        try:
            asyncio.run(coalescer.submit(1))
        except RuntimeError as error:
            os._exit(7 if "before a fork" in str(error) else 8)
        os._exit(9)

    forked = multiprocessing.get_context("fork").Process(target=child)
    forked.start()
    forked.join(60)
    assert forked.exitcode == 7


# -- 9, 10 -----------------------------------------------------------------------------------------


async def test_9_a_blocking_function_in_a_thread_does_not_freeze_the_timers() -> None:
    release = threading.Event()
    blocked = threading.Event()

    async def process(items: Sequence[Any]) -> list[Any]:
        if items[0] == "blocking":
            blocked.set()
            await asyncio.to_thread(release.wait, 60)
        return list(items)

    async with Coalescer(process, max_items=1, max_wait_ms=0) as coalescer:
        slow = caller(coalescer, "blocking")
        await asyncio.to_thread(blocked.wait, 60)
        assert await coalescer.submit("quick") == "quick"
        release.set()
        assert await slow == "blocking"


async def test_10_a_function_that_submits_to_its_own_coalescer_is_told_so() -> None:
    """It would wait for itself for ever once all slots hold such calls."""

    async def process(items: Sequence[Any]) -> list[Any]:
        return [await coalescer.submit(item - 1) if item else 0 for item in items]

    async with Coalescer(process, max_items=1, max_wait_ms=0, max_in_flight=1) as coalescer:
        with pytest.raises(ItemError) as caught:
            await coalescer.submit(3)
    assert "would wait for itself" in str(caught.value.__cause__)


# -- 11, 12: limits of callers ---------------------------------------------------------------------


async def test_11_submit_many_above_max_pending_enters_as_places_are_free() -> None:
    calls, process = answering(lambda item: item)
    async with Coalescer(process, max_items=2, max_wait_ms=0, max_pending=3) as coalescer:
        assert await coalescer.submit_many(range(10)) == list(range(10))
    assert all(len(call) <= 2 for call in calls)


async def test_11_when_full_callers_wait_in_line() -> None:
    process, coalescer = steered(max_items=1, max_in_flight=1, max_pending=1)
    callers = [caller(coalescer, n) for n in range(3)]
    for n in range(3):
        calls = await process.started(n + 1)
        assert coalescer.statistics().pending == 3 - n
        calls[n].answer()
        assert await callers[n] == n


async def test_11_when_full_raise_refuses_at_once() -> None:
    process, coalescer = steered(max_pending=1, when_full="raise")
    one = caller(coalescer, 1)
    await settled()
    with pytest.raises(Overloaded, match="1 callers wait already"):
        await coalescer.submit(2)
    with pytest.raises(Overloaded):
        await coalescer.submit_many([2])
    one.cancel()
    await settled()
    two = caller(coalescer, 2, flush=True)
    (call,) = await process.started(1)
    call.answer()
    assert await two == 2


async def test_11_a_caller_cancelled_in_line_takes_no_place() -> None:
    process, coalescer = steered(max_items=1, max_in_flight=1, max_pending=1)
    callers = [caller(coalescer, n) for n in range(3)]
    (call,) = await process.started(1)
    callers[1].cancel()
    await settled()
    call.answer()
    calls = await process.started(2)
    assert calls[1].items == [2]
    calls[1].answer()
    assert await callers[2] == 2


async def test_12_a_timeout_shorter_than_the_window_ends_the_wait_alone() -> None:
    process, coalescer = steered(max_items=2)
    with pytest.raises(TimeoutError):
        await coalescer.submit(1, timeout_s=0.001)
    callers = [caller(coalescer, n) for n in (2, 3)]
    (call,) = await process.started(1)
    assert call.items == [2, 3]
    call.answer()
    await asyncio.gather(*callers)


async def test_12_waiting_is_not_charged_to_the_calls_timeout() -> None:
    process, coalescer = steered(max_items=1, max_in_flight=1, timeout_s=3600)
    one, two = caller(coalescer, 1), caller(coalescer, 2)
    (call,) = await process.started(1)
    await settled()
    call.answer()
    calls = await process.started(2)
    calls[1].answer()
    assert await asyncio.gather(one, two) == [1, 2]


# -- 15, 17, 18, and the end -----------------------------------------------------------------------


async def test_17_a_limit_of_zero_is_a_value_error_at_once() -> None:
    _, process = answering(lambda item: item)
    for wrong in (
        {"max_items": 0}, {"max_in_flight": 0}, {"max_pending": 0}, {"max_attempts": 0},
        {"max_wait_ms": -1}, {"timeout_s": 0}, {"wait": "never"}, {"when_full": "drop"},
        {"max_tokens": 0}, {"tokens": len}, {"max_wait_ms": float("nan")},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            Coalescer(process, **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Coalescer("not a function")  # type: ignore[arg-type]


async def test_17_no_item_gives_no_call() -> None:
    calls, process = answering(lambda item: item)
    async with Coalescer(process) as coalescer:
        assert await coalescer.submit_many([]) == []
    assert calls == []


async def test_18_a_timeout_around_many_callers_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    process, coalescer = steered(max_items=2)

    async def callers() -> None:
        async with asyncio.timeout(0.01), asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(coalescer.submit(n))

    with pytest.raises(TimeoutError):
        await callers()
    await settled()
    assert all(call.cancelled for call in process.calls)
    await coalescer.close()
    assert asyncio.all_tasks() == before


async def test_left_by_an_exception_it_cancels_its_calls_and_tells_its_callers() -> None:
    process, coalescer = steered(max_items=1)
    one = caller(coalescer, 1)

    async def fail() -> None:
        async with coalescer:
            await process.started(1)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    with pytest.raises(ClosedError, match="closed before the item had its outcome"):
        await one
    assert process.calls[0].cancelled
    assert issubclass(ClosedError, StreamsError)


async def test_close_finishes_what_is_there_and_refuses_what_comes() -> None:
    process, coalescer = steered(max_items=2, max_pending=2, max_in_flight=1)
    callers = [caller(coalescer, n) for n in range(3)]  # the third stands in line
    await settled()
    closing = asyncio.create_task(coalescer.close())
    await settled()
    with pytest.raises(ClosedError):
        await coalescer.submit(4)
    process.calls[0].answer()
    (_, second) = await process.started(2)
    second.answer()
    await closing
    assert await asyncio.gather(*callers) == [0, 1, 2]
    await coalescer.close()


async def test_no_call_sees_what_a_caller_has_in_its_context() -> None:
    secret: contextvars.ContextVar[str] = contextvars.ContextVar("secret", default="")
    seen: list[str] = []

    async def process(items: Sequence[Any]) -> list[Any]:
        seen.append(secret.get())
        return list(items)

    async with Coalescer(process, max_wait_ms=1) as coalescer:

        async def tenant() -> None:
            secret.set("of one caller")
            await coalescer.submit(1)

        await asyncio.create_task(tenant())
    assert seen == [""]


async def test_a_key_that_never_ceases_does_not_starve_another() -> None:
    process, coalescer = steered(key=lambda item: item[0], max_items=1, max_in_flight=1)
    crowd = [caller(coalescer, f"a{n}") for n in range(5)]
    await settled()
    other = caller(coalescer, "b0")
    for n in range(20):
        crowd.append(caller(coalescer, f"a{n + 5}"))
        calls = await process.started(n + 1)
        calls[n].answer()
        await settled()
        assert other.done() == (n >= 5)
    await coalescer.cancel()
    await asyncio.gather(*crowd, other, return_exceptions=True)


async def test_a_storm_of_cancellations_and_timeouts_hangs_nobody(seed: int) -> None:
    """100,000 callers, of which most leave at random moments: each has its outcome or has left,
    the results are right, and nothing is left behind."""
    draw = random.Random(seed)
    before = asyncio.all_tasks()

    async def process(items: Sequence[int]) -> list[Any]:
        if draw.random() < 0.5:
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
        if draw.random() < 0.02:
            raise LookupError("gone")
        return [item * 2 for item in items]

    async def one(item: int) -> str:
        try:
            timeout_s = draw.choice((None, None, 0.0, 0.001))
            result = await coalescer.submit(item, timeout_s=timeout_s)
        except (TimeoutError, ItemError) as error:
            return type(error).__name__
        assert result == item * 2
        return "result"

    ends: dict[str, int] = {}
    # fmt: off
    async with Coalescer(
        process, max_items=7, max_wait_ms=0.1, max_in_flight=3, max_pending=400,
        unique=lambda item: item, key=lambda item: item % 3 == 0,
    ) as coalescer:
        # fmt: on
        for wave in range(100):
            tasks = [asyncio.create_task(one(draw.randrange(700))) for _ in range(1_000)]
            for task in draw.sample(tasks, 500):
                if draw.random() < 0.3:
                    await asyncio.sleep(0)
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                assert not isinstance(end, Exception), end
                name = end if isinstance(end, str) else "cancelled"
                ends[name] = ends.get(name, 0) + 1
            assert coalescer.statistics().pending == 0, wave
            coalescer._calls.runner.engine.check_invariants()  # type: ignore[union-attr]
    assert sum(ends.values()) == 100_000
    assert set(ends) == {"result", "cancelled", "TimeoutError", "ItemError"}
    assert asyncio.all_tasks() == before


# -- the decorator ---------------------------------------------------------------------------------


async def test_the_decorator_makes_a_function_of_one_item() -> None:
    sizes: list[int] = []

    @streams.coalesce(max_items=20, max_wait_ms=1)
    async def double(items: Sequence[int]) -> list[int]:
        """Doubles."""
        sizes.append(len(items))
        return [item * 2 for item in items]

    assert await asyncio.gather(double(1), double(2)) == [2, 4]
    assert sizes == [2]
    assert double.__doc__ == "Doubles."
    assert double.coalescer().statistics().calls == 1
    await double.coalescer().close()
    assert await double(3) == 6  # a new one follows a closed one


async def test_a_decorated_method_has_one_queue_for_each_instance() -> None:
    class Tenant:
        def __init__(self, name: str) -> None:
            self.name = name

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @streams.coalesce(max_wait_ms=1)
        async def label(self, items: Sequence[int]) -> list[str]:
            return [f"{self.name}{len(items)}" for _ in items]

    a, b = Tenant("a"), Tenant("b")
    assert await asyncio.gather(a.label(1), b.label(1), a.label(2)) == ["a2", "b1", "a2"]
    await asyncio.gather(a.label.coalescer().close(), b.label.coalescer().close())


def test_a_decorated_function_serves_one_event_loop_after_the_other() -> None:
    @streams.coalesce(max_wait_ms=0)
    async def same(items: Sequence[int]) -> Sequence[int]:
        return items

    async def use() -> int:
        return await same(1)

    assert [asyncio.run(use()) for _ in range(3)] == [1, 1, 1]
    assert len(same._coalescers) == 1


def test_wrong_options_of_the_decorator_are_errors_where_it_stands() -> None:
    with pytest.raises(ValueError, match="max_items"):

        @streams.coalesce(max_items=0)
        async def same(items: Sequence[int]) -> Sequence[int]:
            return items
