"""The rules at the top of `streams/running/runner.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streams.core.account import Account
from streams.core.events import Arrived, Closed, Delivered, Failed, Paused, Resumed
from streams.errors import CallError, Fault
from streams.model import Quota, RateLimits, Reply
from streams.policies.retry import Backoff
from tests.library.steered import settled
from tests.running.doors import Door

pytestmark = pytest.mark.timeout(20)


async def echo(items: Sequence[Any]) -> Reply:
    return Reply(list(items))


class Steered:
    """A caller whose calls end when, and as, the test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Any], asyncio.Future[Reply]]] = []

    async def __call__(self, items: list[Any]) -> Reply:
        ended: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.calls.append((items, ended))
        return await ended

    def answer(self, place: int) -> None:
        items, ended = self.calls[place]
        ended.set_result(Reply(items))


def timers() -> list[Any]:
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled()]


async def test_outcomes_that_nobody_has_taken_yet_are_not_delivered() -> None:
    """Back-pressure: `Delivered` is the taker's word, not the runner's."""
    door = Door(echo, delivers=False, order="none")
    door.arrive("abc")
    await door.until_ended(1)
    assert door.outcomes == ["a", "b", "c"]
    statistics = door.runner.engine.statistics()
    assert statistics.delivering == 3
    assert door.runner.engine.watermark("lane") == 0
    door.deliver()
    assert door.runner.engine.watermark("lane") == 3


async def test_outcomes_that_are_delivered_as_they_are_released_do_not_nest() -> None:
    """One released for each delivered: a thousand of them would be as many frames."""
    depth = deepest = 0
    steered = Steered()
    door = Door(
        steered, max_items=1, max_in_flight=1000, order="none", max_beyond_bytes=4, delivers=True
    )
    release = door._release

    def counting(lane: str, slots: list[Any]) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        release(lane, slots)
        depth -= 1

    door.runner._on_release = counting
    door.arrive(range(200))
    await settled()
    for place in range(199, 0, -2):
        steered.answer(place)
    await door.until_ended(100)
    assert len(door.released) < 20, "they wait for the watermark"
    for place in range(0, 200, 2):
        steered.answer(place)
    await door.until_ended(200)
    assert sorted(door.outcomes) == [*range(200)]
    assert deepest == 1


async def test_a_failed_calls_error_says_what_its_items_errors_say() -> None:
    cause = LookupError("why")

    async def fails(items: Sequence[Any]) -> Reply:
        raise CallError(Fault.REJECTED, "no such thing") from cause

    door = Door(fails, split=False)
    door.arrive("ab")
    await door.until_ended(1)
    first, second = door.outcomes
    assert first is not second
    for error in (first, second):
        assert (error.code, error.message) == ("rejected", "no such thing")
        assert error.__cause__ is cause


async def test_a_window_that_is_due_is_cut_by_the_one_timer() -> None:
    door = Door(echo, max_wait_s=0.02)
    door.arrive("a")
    door.arrive("b")
    assert len(timers()) == 1
    assert door.runner.in_flight == 0
    await door.until_ended(1)
    assert door.outcomes == ["a", "b"]
    assert timers() == []


async def test_a_call_out_of_time_is_a_timeout_and_the_callers_own_timeout_is_a_defect() -> None:
    async def hangs(items: Sequence[Any]) -> Reply:
        if items == ["hang"]:
            await asyncio.Event().wait()
        raise TimeoutError

    door = Door(hangs, timeout_s=0.01, max_items=1, max_in_flight=1)
    door.arrive(["hang", "raise"])
    await door.until_ended(2)
    faults = [event.error.fault for event in door.events if isinstance(event, Failed)]
    assert faults == [Fault.TIMEOUT, Fault.FUNCTION]
    assert [type(error) for error in door.defects] == [TimeoutError]


async def test_a_call_whose_items_have_lost_their_owner_is_cancelled_unless_it_is_paid() -> None:
    for cancels in (True, False):
        steered = Steered()
        door = Door(steered, cancels=cancels)
        door.arrive("a")
        await settled()
        door.runner.handle(Closed("lane"))
        await settled()
        assert steered.calls[0][1].cancelled() is cancels
        assert door.runner.in_flight == (0 if cancels else 1)
        await door.runner.stop()


async def test_after_a_cancel_no_call_starts_no_timer_is_set_and_nothing_is_released() -> None:
    steered = Steered()
    door = Door(steered, max_items=1)
    door.arrive("a")
    await settled()
    door.runner.cancel()
    door.arrive("b")
    door.runner.handle(Delivered("lane", []))
    await settled()
    assert (len(steered.calls), door.events, door.released, timers()) == (1, [], [], [])
    assert door.runner.in_flight == 0
    await door.runner.stop()


async def test_a_stop_that_is_cancelled_ends_when_the_calls_have_and_says_so() -> None:
    closing, closed = asyncio.Event(), asyncio.Event()

    async def slow_to_end(items: Sequence[Any]) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()
            while not closed.is_set():  # also when it is cancelled again
                try:
                    await closed.wait()
                except asyncio.CancelledError:
                    continue
        return Reply([])

    door = Door(slow_to_end)
    door.arrive("a")
    await settled()
    stop = asyncio.ensure_future(door.runner.stop())
    await closing.wait()
    stop.cancel()
    await settled()
    assert not stop.done()
    closed.set()
    with pytest.raises(asyncio.CancelledError):
        await stop
    assert door.runner.in_flight == 0


async def test_a_pause_and_its_end_are_told_to_the_door_and_counted() -> None:
    failures = iter([CallError(Fault.THROTTLED, "slow down", retry_after_s=0.01)])

    async def throttled(items: Sequence[Any]) -> Reply:
        for error in failures:
            raise error
        return Reply(list(items))

    door = Door(throttled)
    door.arrive("a")
    await door.until_ended(2)
    paused, resumed = door.pauses
    assert isinstance(paused, Paused)
    assert isinstance(resumed, Resumed)
    assert (paused.reason, paused.message) == ("throttled", "slow down")
    assert door.runner.tally.throttled_s(door.runner.now()) > 0
    assert door.runner.tally.by_status == {"ok": 1, "throttled": 1}


async def test_an_illegal_event_raises_and_changes_nothing() -> None:
    door = Door(echo)
    door.arrive("a")
    slots = door.runner.engine.lanes["lane"].unsettled
    with pytest.raises(ValueError, match="1 is due"):
        door.runner.handle(Arrived([slots[0]]))
    await door.until_ended(1)
    assert door.outcomes == ["a"]


# -- an account that others use, too -----------------------------------------------------------


def shared() -> Account:
    return Account(Backoff(), Backoff(), random=lambda: 0.0)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.001)


async def test_a_429_of_one_keeps_all_of_the_account_from_calling_and_one_of_them_probes() -> None:
    account = shared()
    callers = [Steered(), Steered()]
    doors = [Door(each, max_items=1, max_in_flight=2, account=account) for each in callers]
    for door in doors:
        door.arrive("abcdef")
    await until(lambda: [len(each.calls) for each in callers] == [2, 2])
    now = doors[0].runner.now()
    callers[0].calls[0][1].set_exception(CallError(Fault.THROTTLED, retry_after_s=0.1))
    for caller, place in ((callers[0], 1), (callers[1], 0), (callers[1], 1)):
        caller.answer(place)  # they had begun before
    await until(lambda: sum(len(each.calls) for each in callers) == 5)
    assert doors[0].runner.now() - now >= 0.1
    await settled()
    assert sum(len(each.calls) for each in callers) == 5, "one probe, and nothing beside it"
    (probing,) = [each for each in callers if len(each.calls) == 3]
    probing.answer(2)
    for _ in range(20):
        await settled()
        for caller in callers:
            for place in range(len(caller.calls)):
                if not caller.calls[place][1].done():
                    caller.answer(place)
    assert [sorted(door.outcomes) for door in doors] == [[*"abcdef"]] * 2
    reasons = [[getattr(each, "reason", "resumed") for each in door.pauses] for door in doors]
    assert reasons == [["throttled", "resumed"]] * 2


async def test_a_runner_that_stops_while_it_probes_lets_another_of_its_account_probe() -> None:
    account = shared()
    callers = [Steered(), Steered()]
    doors = [Door(each, max_items=1, max_in_flight=1, account=account) for each in callers]
    for door in doors:
        door.arrive("ab")
    await settled()
    for caller in callers:
        caller.calls[0][1].set_exception(CallError(Fault.THROTTLED, retry_after_s=0.01))
    await until(lambda: sum(len(each.calls) for each in callers) == 3)
    probing, other = sorted(range(2), key=lambda n: -len(callers[n].calls))
    await doors[probing].runner.stop()
    await until(lambda: len(callers[other].calls) == 2)
    callers[other].answer(1)
    await until(lambda: len(callers[other].calls) == 3)
    callers[other].answer(2)
    await until(lambda: sorted(doors[other].outcomes) == ["a", "b"])
    assert account.statistics().members == 1


async def test_what_a_response_says_about_its_limits_reaches_the_account() -> None:
    account = shared()
    limits = RateLimits(requests=Quota(limit=50, remaining=49))

    async def told(items: Sequence[Any]) -> Reply:
        return Reply(list(items), rate_limits=limits)

    door = Door(told, account=account)
    door.arrive("a")
    await door.until_ended(1)
    assert account.statistics().rate_limits == limits
