"""What holds for every door, since one runner stands behind them: a topic's task, and a list."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest

from streams import ItemError, Retry, map_batches
from streams.providers.functions import function_caller
from tests.worker.shell import Shell

pytestmark = pytest.mark.timeout(30)

Process = Callable[[list[Any]], Awaitable[Sequence[Any]]]
Run = Callable[..., Awaitable[list[Any]]]


async def _over_a_list(process: Process, count: int, **limits: Any) -> list[Any]:
    return await map_batches(process, range(count), split=True, **limits)


async def _over_a_topic(process: Process, count: int, **limits: Any) -> list[Any]:
    """The same numbers as items of a task: the results in its sink, else error codes."""

    async def function(items: list[Any]) -> Sequence[Any]:
        numbers = [item.offset for item in items]
        try:
            answers = await process(numbers)
        finally:
            del items[len(numbers) :]  # as `process` has left its list
        return [each if isinstance(each, ItemError) else {"of": each} for each in answers]

    shell = Shell()
    shell.caller = function_caller(function)
    await shell.start(**limits)
    try:
        (lane,) = await shell.assign(0)
        shell.arrive(lane, count)
        await shell.until(lambda: shell.committed == {0: count})
        counts = shell.task.call_tally
        assert sum(counts.by_status.values()) == sum(counts.items.counts) > 0
        assert shell.task.statistics().in_flight == 0
        dead = [dict(each.headers) for each in shell.broker.logs["dead", 0]]
        errors = {
            int(each["streams-source-offset"]): each["streams-error-code"].decode() for each in dead
        }
        results = iter(shell.written())
        return [ItemError(errors[n]) if n in errors else next(results) for n in range(count)]
    finally:
        await shell.stop()


@pytest.fixture(params=[_over_a_list, _over_a_topic], ids=["list", "topic"])
def run(request: pytest.FixtureRequest) -> Run:
    door: Run = request.param
    return door


def codes(results: Sequence[Any]) -> list[Any]:
    return [each.code if isinstance(each, ItemError) else each for each in results]


@pytest.fixture(autouse=True)
async def no_call_left() -> AsyncIterator[None]:
    yield
    assert [each for each in asyncio.all_tasks() if each.get_name().startswith("streams-")] == []


async def test_answers_come_to_their_items_whatever_the_order_of_the_calls(run: Run) -> None:
    turn = asyncio.Event()

    async def process(items: list[int]) -> list[int]:
        if items[0] == 0:
            await turn.wait()
        turn.set()
        return [-item for item in items]

    assert await run(process, 20, max_items=5, max_in_flight=2) == [-n for n in range(20)]


async def test_no_more_than_max_in_flight_calls_are_under_way(run: Run) -> None:
    under_way = most = 0

    async def process(items: list[int]) -> list[int]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return items

    await run(process, 30, max_items=2, max_in_flight=3)
    assert most == 3


async def test_a_function_may_empty_its_list_and_its_answers_still_count(run: Run) -> None:
    """Until 2026-11-29 they were "3 answers for 0 items"."""

    async def process(items: list[int]) -> list[int]:
        return [items.pop(0) for _ in range(len(items))]

    assert await run(process, 6, max_items=3) == [*range(6)]


async def test_a_function_that_empties_its_list_and_raises_is_repeated_with_its_items(
    run: Run,
) -> None:
    seen = []

    async def process(items: list[int]) -> list[int]:
        seen.append(list(items))
        items.clear()
        if len(seen) == 1:
            raise OSError
        return seen[-1]

    assert await run(process, 2, max_items=2) == [0, 1]
    assert seen == [[0, 1], [0], [1]]


async def test_what_a_call_sets_in_its_context_no_other_call_sees(run: Run) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    async def process(items: list[int]) -> list[int]:
        seen.append(tenant.get())
        tenant.set(f"tenant {items[0]}")
        await asyncio.sleep(0)
        return items

    outside = tenant.set("everybody")
    await run(process, 6, max_items=1, max_in_flight=2)
    tenant.reset(outside)
    assert seen == ["everybody"] * 6


async def test_one_item_that_raises_is_a_function_error_and_spoils_no_other(run: Run) -> None:
    async def process(items: list[int]) -> list[int]:
        if 5 in items:
            raise ValueError("five")
        return items

    assert codes(await run(process, 8, max_items=8)) == [0, 1, 2, 3, 4, "function_error", 6, 7]


async def test_a_function_that_takes_longer_than_its_time_is_cancelled_and_times_out() -> None:
    """(A list only: a task's time limit is at least a second.)"""
    cancelled = []

    async def process(items: list[int]) -> list[int]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(items[0])
            raise
        return items

    assert codes(await _over_a_list(process, 1, timeout_s=0.01)) == ["timeout"]
    assert cancelled == [0]


@pytest.mark.parametrize(("door", "calls"), [(_over_a_list, 3), (_over_a_topic, 1)])
async def test_what_a_function_raises_is_an_attempt_of_a_list_and_final_in_a_topic(
    door: Run, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Limits.function_errors`: whoever calls `map_batches` says how often to try."""
    monkeypatch.setattr("streams.running.runner.random", lambda: 0.0)  # no back-off
    seen = []

    async def process(items: list[int]) -> list[int]:
        seen.append(list(items))
        raise OSError("down")

    assert codes(await door(process, 1, max_attempts=3)) == ["function_error"]
    assert seen == [[0]] * calls


# -- a function that cancels itself ----------------------------------------------------------------


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def by_hand() -> None:
    raise asyncio.CancelledError


async def its_own_task() -> None:
    this_task().cancel()
    await asyncio.sleep(0)


async def its_own_task_again_and_again() -> None:
    for _ in range(3):
        this_task().cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            continue
    this_task().cancel()
    await asyncio.Event().wait()


async def by_a_timer() -> None:
    asyncio.get_running_loop().call_soon(this_task().cancel)
    await asyncio.Event().wait()


async def by_a_child() -> None:
    async with asyncio.TaskGroup() as group:
        parent = this_task()

        async def child() -> None:
            parent.cancel()

        group.create_task(child())
        await asyncio.Event().wait()


async def by_a_child_that_was_cancelled() -> None:
    child = asyncio.ensure_future(asyncio.Event().wait())
    child.cancel()
    await child


async def by_a_time_limit_that_is_never_left() -> None:
    await asyncio.timeout(0).__aenter__()
    await asyncio.Event().wait()


async def by_a_cancel_scope_that_is_never_left() -> None:
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()
    await asyncio.Event().wait()


WAYS = [
    by_hand,
    its_own_task,
    its_own_task_again_and_again,
    by_a_timer,
    by_a_child,
    by_a_child_that_was_cancelled,
    by_a_time_limit_that_is_never_left,
    by_a_cancel_scope_that_is_never_left,
]


@pytest.mark.parametrize("cancel", WAYS, ids=lambda way: way.__name__)
async def test_a_call_that_cancels_itself_is_halved_down_to_the_item_that_does_it(
    run: Run, cancel: Callable[[], Awaitable[None]]
) -> None:
    """It was repeated without pause or count: 72,636 calls in 4 s, and the partition stood."""
    calls = 0

    async def process(items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if 5 in items:
            await cancel()
        return items

    results = await run(process, 8, max_items=8, max_in_flight=2)
    assert codes(results) == [0, 1, 2, 3, 4, "function_error", 6, 7]
    assert calls == 1 + 2 * 3


async def test_an_answer_counts_though_its_call_cancelled_itself_in_the_last_step(
    run: Run,
) -> None:
    """It is paid, and no await came where the cancellation could be raised."""
    calls = 0

    async def process(items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        this_task().cancel()
        return items

    assert codes(await run(process, 4, max_items=2)) == [0, 1, 2, 3]
    assert calls == 2


async def test_a_time_limit_is_a_timeout_whatever_the_function_makes_of_it() -> None:
    async def its_own_error(items: list[int]) -> list[int]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("I was interrupted") from None
        return items

    async def cancelled_before(items: list[int]) -> list[int]:
        try:
            await its_own_task()
        except asyncio.CancelledError:
            await asyncio.Event().wait()
        return items

    for process in (its_own_error, cancelled_before):
        assert codes(await _over_a_list(process, 1, timeout_s=0.01)) == ["timeout"]


# -- a function whose parts run in a task group ----------------------------------------------------


async def test_a_retry_in_an_exception_group_is_a_retry(run: Run) -> None:
    seen = []

    async def one(item: int) -> int:
        if len(seen) == 1 and item:
            raise Retry(0.001 * item)
        return item

    async def process(items: list[int]) -> list[int]:
        seen.append(list(items))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
        return [task.result() for task in tasks]

    assert await run(process, 3, max_items=3) == [0, 1, 2]
    assert seen == [[0, 1, 2]] * 2


async def test_an_item_error_in_an_exception_group_is_its_items_once_it_is_alone(run: Run) -> None:
    async def process(items: list[int]) -> list[int]:
        if 2 in items:
            raise ExceptionGroup("parts", [ExceptionGroup("inner", [ItemError("too_rude")])])
        return items

    assert codes(await run(process, 4, max_items=4)) == [0, 1, "too_rude", 3]
