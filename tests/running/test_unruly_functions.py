"""A function may cancel its task, call sys.exit() in a part of it, or raise groups: through both
doors it is its own error, and no item is lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from streams import ItemError, Retry
from streams.running.exits import contain_exits
from tests.running.doors import Run, codes, over_a_list

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("no_call_left")]


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
        assert codes(await over_a_list(process, 1, timeout_s=0.01)) == ["timeout"]


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


# -- a function whose parts call sys.exit() --------------------------------------------------------


@pytest.fixture
async def worker_loop() -> AsyncIterator[None]:
    """As an App has it: no task of a call ends it."""
    loop = asyncio.get_running_loop()
    contain_exits(loop)
    yield
    loop.set_task_factory(None)


async def exits() -> None:
    await asyncio.sleep(0)
    sys.exit(3)


async def in_a_gather() -> None:
    await asyncio.gather(exits(), exits())


async def in_a_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(exits())


async def in_a_task_of_a_task() -> None:
    await asyncio.create_task(in_a_gather())


async def within_a_time_limit() -> None:
    await asyncio.wait_for(exits(), 60)


PARTS = [in_a_gather, in_a_task_group, in_a_task_of_a_task, within_a_time_limit]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
async def test_sys_exit_in_a_task_of_a_function_is_its_error_and_the_loop_goes_on(
    run: Run, part: Callable[[], Awaitable[None]], worker_loop: None
) -> None:
    """asyncio ended the loop and cancelled the Kafka client's tasks: no batch that was written
    after that was ever acknowledged."""

    async def process(items: list[int]) -> list[int]:
        if 1 in items:
            await part()
        return items

    assert codes(await run(process, 4, max_items=4)) == [0, "function_error", 2, 3]


async def test_the_error_of_a_task_that_called_sys_exit_says_where(worker_loop: None) -> None:
    async def process(items: list[int]) -> list[int]:
        await in_a_gather()
        return items

    (error,) = await over_a_list(process, 1)
    assert error.message.startswith("SystemExit at test_unruly_functions.py:")
    assert error.message.endswith(" in exits")


async def test_a_task_that_is_cancelled_before_it_begins_leaves_no_coroutine_behind(
    worker_loop: None,
) -> None:
    async def process(items: list[int]) -> list[int]:
        task = asyncio.create_task(exits())
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert "exits" in repr(task)
        return items

    assert await over_a_list(process, 1) == [0]
