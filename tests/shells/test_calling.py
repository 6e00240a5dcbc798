"""Every call that starts ends in one event, whatever becomes of it, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from streams.core.events import Cancelled, Failed, Replied
from streams.core.slot import Batch, Slot
from streams.errors import CallError, Fault, ItemError
from streams.model import Item, Reply
from streams.providers.functions import function_caller
from streams.shells.calling import Calls
from streams.shells.tally import Tally
from tests.contract.providers.conftest import call, simulate, task_of
from tests.operations.conftest import items_of

__all__ = ["call", "simulate"]


class Panic(BaseException):
    """As pyo3_runtime.PanicException: what Rust code raises is no Exception."""


class Ended:
    """What has become of calls."""

    def __init__(self) -> None:
        self.events: list[Replied | Failed | Cancelled] = []

    def __call__(self, batch: Batch, slots: Sequence[Slot], event: Any) -> None:
        self.events.append(event)


def calls_of(caller: Any, ended: Ended, timeout_s: float = 5.0) -> Calls:
    return Calls("task", caller, timeout_s, Tally(), ended)


def batch() -> Batch:
    texts = [f"text {n}" for n in range(3)]
    made = Batch([Slot("lane", n, item) for n, item in enumerate(items_of(texts))], "new", "count")
    made.id = "b1"
    return made


async def one(caller: Any, **limits: Any) -> Replied | Failed | Cancelled:
    ended = Ended()
    made = calls_of(caller, ended, **limits)
    started = batch()
    made.start(started)
    async with asyncio.timeout(10):
        while not ended.events:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.001)
    assert len(made) == 0
    started.slots = []  # as the engine does
    (event,) = ended.events
    return event


async def test_a_call_that_is_cancelled_before_it_ran_at_all_says_so():
    async def never(items: Sequence[Item]) -> Reply:
        raise AssertionError("it ran")

    ended = Ended()
    made = calls_of(never, ended)
    made.start(batch())
    made.cancel("b1")
    for _ in range(5):
        await asyncio.sleep(0)
    assert ended.events == [Cancelled("b1")]
    assert len(made) == 0


@pytest.mark.parametrize("in_loop", [True, False], ids=["async", "in a thread"])
async def test_a_function_that_panics_is_a_failed_call(in_loop: bool):
    def panics(items: Sequence[Item]) -> Any:
        raise Panic("in Rust")

    async def also_panics(items: Sequence[Item]) -> Any:
        raise Panic("in Rust")

    event = await one(function_caller(also_panics if in_loop else panics))
    assert isinstance(event, Failed)
    assert event.error.fault is Fault.FUNCTION
    assert event.error.message == "Panic"


# -- nothing is left ---------------------------------------------------------------------------


@contextmanager
def garbage(of: type) -> Iterator[list[Any]]:
    """Afterwards: what only the collector of cycles would have found of this type."""
    found: list[Any] = []
    gc.freeze()  # what is there by now is not looked at: that takes half a second each time
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [each for each in gc.garbage if isinstance(each, of)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


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
    with garbage(Item) as found:
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
    with garbage(Item) as found:
        for _ in range(3):
            await one(caller)
    assert found == []


async def test_the_items_of_a_call_out_of_time_are_not_kept(simulate, call):
    simulator = await simulate({"fault": "hang"})
    with garbage(Item) as found:
        event = await one(call(task_of("classify"), simulator), timeout_s=0.1)
    assert isinstance(event, Failed)
    assert found == []
