"""What holds for every door, since one runner stands behind them: a topic's task, and a list."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from tests.running.doors import Run, codes, over_a_list, over_a_topic

pytestmark = [pytest.mark.timeout(30), pytest.mark.usefixtures("no_call_left")]


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

    assert codes(await over_a_list(process, 1, timeout_s=0.01)) == ["timeout"]
    assert cancelled == [0]


@pytest.mark.parametrize(("door", "calls"), [(over_a_list, 3), (over_a_topic, 1)])
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
