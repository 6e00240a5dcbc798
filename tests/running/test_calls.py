"""Every call that starts ends in one event, whatever becomes of it, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from streams.core.events import Cancelled, Closed, Failed
from streams.errors import CallError, Fault, ItemError
from streams.model import Item, Reply
from streams.providers.functions import function_caller
from streams.running.call_task import Ended
from tests.contract.providers.conftest import call, simulate, task_of
from tests.library.steered import settled
from tests.operations.conftest import items_of
from tests.running.doors import Door

__all__ = ["call", "simulate"]


class Panic(BaseException):
    """As pyo3_runtime.PanicException: what Rust code raises is no Exception."""


doors: list[Door] = []
"""Those of a test, since an engine is itself what only the collector of cycles finds."""


async def one(caller: Any, *, timeout_s: float = 5.0) -> Ended:
    """The event of one call of three items, which its door forgets."""
    door = Door(caller, timeout_s=timeout_s, split=False)
    doors.append(door)
    door.arrive(items_of([f"text {n}" for n in range(3)]))
    await door.until_ended(1)
    await door.runner.stop()  # no repeat
    assert door.runner.in_flight == 0
    (event,) = door.events
    door.events.clear()
    door.released.clear()
    door.outcomes.clear()
    return event


async def test_a_call_that_is_cancelled_before_it_ran_at_all_says_so() -> None:
    async def never(items: Sequence[Item]) -> Reply:
        raise AssertionError("it ran")

    door = Door(never)
    door.arrive("abc")
    door.runner.handle(Closed("lane"))
    await door.until_ended(1)
    assert door.events == [Cancelled("batch-1")]
    assert door.runner.in_flight == 0
    assert door.runner.engine.statistics().in_flight == 0


async def test_a_caller_that_panics_is_a_failed_call_and_the_door_hears_of_it() -> None:
    async def panics(items: Sequence[Item]) -> Reply:
        raise Panic("in Rust")

    door = Door(panics)
    door.arrive("a")
    await door.until_ended(1)
    (event,) = door.events
    assert isinstance(event, Failed)
    assert (event.error.fault, event.error.message) == (Fault.FUNCTION, "Panic")
    assert [type(error) for error in door.defects] == [Panic]
    assert [error.code for error in door.outcomes] == ["function_error"]


BASE_ERRORS = [Panic, GeneratorExit, SystemExit, MemoryError, BaseException, asyncio.CancelledError]


@pytest.mark.parametrize("in_loop", [True, False], ids=["async", "in a thread"])
@pytest.mark.parametrize("kind", BASE_ERRORS, ids=lambda kind: kind.__name__)
async def test_whatever_a_function_raises_is_its_error_with_its_place(
    kind: type[BaseException], in_loop: bool
) -> None:
    def raises(items: Sequence[Item]) -> Any:
        raise kind("x")

    async def raises_in_the_loop(items: Sequence[Item]) -> Any:
        raise kind("x")

    door = Door(function_caller(raises_in_the_loop if in_loop else raises))
    door.arrive("abcd")
    await door.until_ended(7)
    assert [error.code for error in door.outcomes] == ["function_error"] * 4
    assert f"{kind.__name__} at test_calls.py:" in door.outcomes[0].message
    assert door.defects == []


@pytest.mark.parametrize("in_loop", [True, False], ids=["async", "in a thread"])
async def test_a_keyboard_interrupt_in_a_function_is_for_the_door_to_decide(in_loop: bool) -> None:
    """In the call's own task it would end the loop in the middle of all else."""

    def interrupted(items: Sequence[Item]) -> Any:
        raise KeyboardInterrupt

    async def in_the_loop(items: Sequence[Item]) -> Any:
        raise KeyboardInterrupt

    door = Door(function_caller(in_the_loop if in_loop else interrupted), split=False)
    door.arrive("ab")
    await door.until_ended(1)
    assert [type(error) for error in door.defects] == [KeyboardInterrupt]


# -- a stop ------------------------------------------------------------------------------------


async def test_a_function_that_blocks_its_thread_is_left_behind_by_a_second_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its call is cancelled once for every other reason, and then waits for the thread."""
    monkeypatch.setattr("streams.running.runner.CANCEL_WITHIN_S", 0.05)
    began, end = threading.Event(), threading.Event()

    def blocks(items: Sequence[Item]) -> list[int]:
        began.set()
        end.wait(60)
        return [1] * len(items)

    door = Door(function_caller(blocks))
    door.arrive("abc")
    await asyncio.to_thread(began.wait, 30)
    try:
        async with asyncio.timeout(5):
            assert await door.runner.abandon() == 0
    finally:
        end.set()


async def test_a_call_that_takes_no_cancellation_is_left_behind_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.running.runner.CANCEL_WITHIN_S", 0.05)
    end = asyncio.Event()

    async def deaf(items: Sequence[Item]) -> list[int]:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()
        return [1] * len(items)

    door = Door(function_caller(deaf))
    door.arrive("abc")
    await settled()
    async with asyncio.timeout(5):
        assert await door.runner.abandon() == 1
    end.set()
    await settled()
    assert door.runner.in_flight == 0
    assert door.events == []


# -- nothing is left ---------------------------------------------------------------------------


def holds_items(each: Any) -> bool:
    return isinstance(each, Item) or (isinstance(each, CallError) and bool(each.__traceback__))


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """Afterwards: the items, and the errors whose frames hold them, that only the collector of
    cycles would have found."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [each for each in gc.garbage if holds_items(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        doors.clear()


def raises(error: Exception) -> Callable[[Sequence[Item]], Any]:
    def function(items: Sequence[Item]) -> Any:
        raise error

    return function


def raises_in_the_loop(error: Exception) -> Callable[[Sequence[Item]], Any]:
    async def function(items: Sequence[Item]) -> Any:
        raise error

    return function


@pytest.mark.parametrize("made", [raises, raises_in_the_loop])
@pytest.mark.parametrize(
    "error", [ValueError("x"), CallError(Fault.SERVER), ItemError("refused")], ids=repr
)
async def test_the_items_of_a_function_that_failed_are_not_kept_by_its_error(made, error):
    with garbage() as found:
        await one(function_caller(made(error)))
        error.__traceback__ = None  # the test's own
    assert found == []


@pytest.mark.parametrize(
    "rule",
    [
        {"fault": "rate_limited"},
        {"fault": "overloaded"},
        {"fault": "reset"},
        {"fault": "truncated_body"},
        {"fault": "bad_request"},
        {"fault": "max_tokens"},
    ],
    ids=lambda rule: rule["fault"],
)
@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_the_items_of_a_call_that_failed_are_not_kept_by_its_error(
    operation, rule, simulate, call
):
    """They were until 2026-11-28: a worker whose API throttled it grew by a megabyte a minute."""
    simulator = await simulate(rule)
    caller = call(task_of(operation), simulator)
    await one(caller)  # what the SDK imports and sets up with its first call is not meant
    with garbage() as found:
        for _ in range(3):
            await one(caller)
    assert found == []


async def test_the_items_of_a_call_out_of_time_are_not_kept(simulate, call):
    simulator = await simulate({"fault": "hang"})
    with garbage() as found:
        event = await one(call(task_of("classify"), simulator), timeout_s=0.1)
    assert isinstance(event, Failed)
    assert found == []
