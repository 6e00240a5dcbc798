"""`map_batches`: what stands in the place of what failed, what is tried again, and how it ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streams import ItemError, Retry, map_batches
from streams.running import runner
from tests.library.steered import Steered, answering, settled

pytestmark = pytest.mark.timeout(20)


def codes(results: Sequence[Any]) -> list[Any]:
    """Results as they are, errors by their code."""
    return [each.code if isinstance(each, ItemError) else each for each in results]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off draws its waits from 0 to a ceiling: draw 0."""
    monkeypatch.setattr(runner, "random", lambda: 0.0)


async def test_an_error_among_the_answers_stands_in_its_items_place() -> None:
    _, process = answering(lambda item: ItemError("odd", "no odd ones") if item % 2 else item)
    results: list[Any] = await map_batches(process, range(4))
    assert codes(results) == [0, "odd", 2, "odd"]
    assert results[1].message == "no odd ones"


async def test_any_other_exception_among_the_answers_is_a_function_error_with_its_cause() -> None:
    async def one(item: int) -> float:
        return 1 / item

    async def process(items: Sequence[int]) -> list[Any]:
        return await asyncio.gather(*map(one, items), return_exceptions=True)

    results: list[Any] = await map_batches(process, [1, 0, 2])
    assert codes(results) == [1, "function_error", 0.5]
    assert isinstance(results[1].__cause__, ZeroDivisionError)


async def test_a_call_that_raises_gives_each_of_its_items_an_error_and_no_other() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        if 3 in items:
            raise KeyError("secret text")
        return items

    results: list[Any] = await map_batches(process, range(6), max_items=2)
    assert codes(results) == [0, 1, "function_error", "function_error", 4, 5]
    assert results[2] is not results[3]


async def test_a_function_error_says_what_was_raised_where_and_its_cause_says_the_rest() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        raise KeyError("secret text")

    (error,) = await map_batches(process, [1])
    assert isinstance(error, ItemError)
    assert error.message.startswith("KeyError at test_map_errors.py:")
    assert error.message.endswith(" in process")
    assert "secret" not in str(error)
    assert repr(error.__cause__) == "KeyError('secret text')"


@pytest.mark.parametrize("reply", [[], [1], [1, 2, 3], None, 5, "ab", b"ab", {"a": 1, "b": 2}])
async def test_a_reply_that_is_not_one_answer_per_item_is_an_error_of_the_call(reply: Any) -> None:
    async def process(items: Sequence[int]) -> Any:
        return reply

    results: list[Any] = await map_batches(process, [7, 8])
    assert codes(results) == ["function_error"] * 2
    assert "2 items" in results[0].message


async def test_one_call_without_an_answer_for_each_item_spoils_no_other_call() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        return items[1:] if 0 in items else items

    assert codes(await map_batches(process, range(4), max_items=2)) == [
        "function_error",
        "function_error",
        2,
        3,
    ]


async def test_an_item_error_that_is_raised_is_that_of_each_item() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        raise ItemError("no_credit", "top up")

    results: list[Any] = await map_batches(process, [1, 2])
    assert [(each.code, each.message) for each in results] == [("no_credit", "top up")] * 2
    assert results[0] is not results[1]


# -- tried again -----------------------------------------------------------------------------------


async def test_without_being_asked_to_nothing_is_tried_again() -> None:
    calls = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        calls.append(items)
        raise OSError

    assert codes(await map_batches(process, range(3))) == ["function_error"] * 3
    assert len(calls) == 1


async def test_a_call_that_fails_is_made_max_attempts_times(no_waiting: None) -> None:
    calls: list[list[int]] = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        calls.append(list(items))
        raise OSError("down")

    results: list[Any] = await map_batches(process, range(3), max_attempts=4)
    assert calls == [[0, 1, 2]] * 4
    assert codes(results) == ["function_error"] * 3
    assert isinstance(results[0].__cause__, OSError)


async def test_a_call_that_succeeds_at_its_last_attempt_has_succeeded(no_waiting: None) -> None:
    failures = iter((OSError(), ValueError()))

    async def process(items: Sequence[int]) -> Sequence[int]:
        for error in failures:
            raise error
        return items

    assert await map_batches(process, range(3), max_attempts=3) == [0, 1, 2]


async def test_retry_makes_the_same_call_again_and_costs_no_attempt() -> None:
    calls: list[list[int]] = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        calls.append(list(items))
        if len(calls) < 8:
            raise Retry(0)
        return items

    assert await map_batches(process, range(3), max_items=3) == [0, 1, 2]
    assert calls == [[0, 1, 2]] * 8


async def test_a_call_that_is_to_be_tried_again_gives_its_place_to_others_meanwhile() -> None:
    process = Steered()
    run = asyncio.ensure_future(map_batches(process, range(3), max_items=1, max_in_flight=1))
    (await process.started(1))[0].fail(Retry(0.05))
    for place in (1, 2, 3):
        (await process.started(place + 1))[place].answer()
    made = [call.items for call in process.calls]
    assert made[:2] == [[0], [1]]
    assert sorted(made[2:]) == [[0], [2]]
    assert await run == [0, 1, 2]
    assert process.most == 1


async def test_split_finds_the_item_that_breaks_its_call_and_spares_the_others() -> None:
    calls = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        calls.append(list(items))
        if 5 in items:
            raise ValueError("five")
        return items

    results: list[Any] = await map_batches(process, range(16), max_items=16, split=True)
    assert codes(results) == [*range(5), "function_error", *range(6, 16)]
    assert repr(results[5].__cause__) == "ValueError('five')"
    assert len(calls) == 1 + 2 * math.log2(16)


async def test_split_counts_attempts_for_the_item_that_is_alone(no_waiting: None) -> None:
    calls = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        calls.append(list(items))
        if 1 in items:
            raise ValueError
        return items

    results = await map_batches(process, range(2), split=True, max_attempts=3)
    assert codes(results) == [0, "function_error"]
    assert calls.count([1]) == 3


async def test_split_halves_a_call_that_raised_an_item_error_or_a_wrong_number_of_answers() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        if 1 in items:
            raise ItemError("is_one")
        return items[:-1] if 2 in items else items

    results = await map_batches(process, range(4), split=True)
    assert codes(results) == [0, "is_one", "function_error", 3]


async def test_a_call_that_takes_longer_than_timeout_s_is_cancelled_and_its_items_timed_out() -> (
    None
):
    process = Steered()
    results: list[Any] = await map_batches(process, [1, 2], timeout_s=0.01)
    assert codes(results) == ["timeout", "timeout"]
    assert results[0].message == "no reply within 0.01 s"
    assert process.calls[0].cancelled


async def test_a_timeout_of_the_functions_own_is_its_error_and_loses_no_item() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        raise TimeoutError

    assert codes(await map_batches(process, [1, 2], timeout_s=60)) == ["function_error"] * 2


async def test_a_cancellation_inside_the_function_is_its_error_not_the_callers() -> None:
    async def process(items: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    assert codes(await map_batches(process, [1, 2])) == ["function_error"] * 2


# -- how it ends -----------------------------------------------------------------------------------


async def test_cancelled_it_cancels_every_call_and_leaves_no_task_behind() -> None:
    process = Steered()
    run = asyncio.ensure_future(map_batches(process, range(100), max_items=1, max_in_flight=3))
    await process.started(3)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert [call.cancelled for call in process.calls] == [True] * 3
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelled_it_returns_when_the_calls_have_ended_even_if_they_take_their_time() -> (
    None
):
    closing, closed = asyncio.Event(), asyncio.Event()
    steps: list[str] = []

    async def process(items: Sequence[int]) -> Sequence[int]:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("closing")
            closing.set()
            await closed.wait()
            steps.append("closed")
        return items

    run = asyncio.ensure_future(map_batches(process, range(1)))
    await settled()
    run.cancel()
    await closing.wait()
    await settled()
    assert not run.done()
    closed.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert steps == ["closing", "closed"]


async def test_cancelled_twice_it_cancels_the_calls_twice_and_still_leaves_none_behind() -> None:
    cancelled = 0
    first = asyncio.Event()

    async def process(items: Sequence[int]) -> Sequence[int]:
        nonlocal cancelled
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                first.set()
        return items

    run = asyncio.ensure_future(map_batches(process, range(1)))
    await settled()
    run.cancel()
    await first.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cancelled == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelled_while_a_call_waits_to_be_tried_again_no_timer_makes_it() -> None:
    calls = 0

    async def process(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        raise Retry(3600)

    run = asyncio.ensure_future(map_batches(process, range(1)))
    await settled()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert calls == 1
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in scheduled if not timer.cancelled()] == []


async def test_an_iterable_that_raises_ends_the_run_with_its_error_and_no_call_under_way() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    process = Steered()
    with pytest.raises(LookupError, match="no more"):
        await map_batches(process, items(), max_items=2)
    assert process.under_way == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_error_that_is_no_exception_ends_the_run() -> None:
    class Abort(BaseException):
        pass

    steered = Steered()

    async def process(items: Sequence[int]) -> Any:
        if items[0] == 1:
            raise Abort
        return await steered(items)

    with pytest.raises(Abort):
        await map_batches(process, range(5), max_items=1)
    assert steered.under_way == 0


async def test_runs_do_not_know_of_each_other() -> None:
    first, second = Steered(), Steered()
    runs = [
        asyncio.ensure_future(map_batches(each, range(4), max_items=1, max_in_flight=2))
        for each in (first, second)
    ]
    await first.started(2)
    await second.started(2)
    runs[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await runs[0]
    for place in range(4):
        (await second.started(place + 1))[place].answer()
    assert await runs[1] == [0, 1, 2, 3]
