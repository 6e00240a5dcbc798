"""Custom functions as callers: what each way of answering or failing becomes."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from streams.errors import CallError, Fault, ItemError, Retry
from streams.model import DROP, Item
from streams.providers import FunctionCaller, function_caller
from tests.operations.conftest import items_of

ITEMS = items_of(["secret one", "secret two", "secret three"])


def both(answer: Any) -> list[FunctionCaller]:
    """The same function twice: async, and not. An exception is raised, anything else returned."""

    def sync(items: Sequence[Item]) -> Any:
        if isinstance(answer, BaseException) or (
            isinstance(answer, type) and issubclass(answer, BaseException)
        ):
            raise answer
        return answer(items) if callable(answer) else answer

    async def in_loop(items: Sequence[Item]) -> Any:
        return sync(items)

    return [function_caller(in_loop), function_caller(sync)]


async def fault_of(caller: FunctionCaller, items: Sequence[Item] = ITEMS) -> CallError:
    with pytest.raises(CallError) as caught:
        await caller(items)
    await caller.aclose()
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None
    return caught.value


async def test_answers_stand_in_the_items_order_and_none_drops_an_item():
    error = ItemError("too_rude", "no")
    for caller in both(lambda items: [{"n": 1}, None, error]):
        reply = await caller(ITEMS)
        assert reply.answers == [{"n": 1}, DROP, error]
        assert reply.usage is None
        await caller.aclose()


@pytest.mark.parametrize("value", ["text", [1, 2], 7, 1.5, True, {}])
async def test_a_result_of_any_json_type_is_taken_as_it_is(value):
    for caller in both([value] * 3):
        assert (await caller(ITEMS)).answers == [value] * 3
        await caller.aclose()


async def test_a_tuple_is_a_sequence():
    for caller in both((1, 2, 3)):
        assert (await caller(ITEMS)).answers == [1, 2, 3]
        await caller.aclose()


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([1, 2], "2 answers for 3 items"),
        ([], "0 answers for 3 items"),
        ([1] * 4, "4 answers for 3 items"),
        (None, "returned NoneType"),
        ("abc", "returned str"),
        (b"abc", "returned bytes"),
        ({"a": 1, "b": 2, "c": 3}, "returned dict"),
        ({1, 2, 3}, "returned set"),
    ],
)
async def test_what_is_not_one_answer_for_each_item_is_an_error_of_the_call(returned, said):
    for caller in both(returned):
        error = await fault_of(caller)
        assert error.fault is Fault.FUNCTION
        assert said in error.message


async def test_a_retry_asks_for_the_same_items_later():
    for caller in both(Retry(2.5)):
        error = await fault_of(caller)
        assert (error.fault, error.retry_after_s) == (Fault.RETRY, 2.5)


@pytest.mark.parametrize(
    "raised", [ValueError("x one"), TimeoutError(), StopIteration("x"), SystemExit(0)]
)
async def test_any_other_error_is_told_by_type_and_place_never_by_its_message(raised):
    """A TimeoutError of the function's own is no timeout of the call, and its sys.exit() no end of
    the worker (which was wedged by it: the same item came again after every start)."""
    for caller in both(raised):
        error = await fault_of(caller)
        assert error.fault is Fault.FUNCTION
        assert error.retry_after_s is None
    assert "ValueError at test_functions.py:" in (await fault_of(both(ValueError())[0])).message


async def test_an_item_error_for_a_whole_microbatch_is_divided_and_for_one_item_is_its_outcome():
    """Alone, the item keeps the function's own code."""
    for caller in both(ItemError("too_rude")):
        error = await fault_of(caller)
        assert (error.fault, "too_rude" in error.message) == (Fault.FUNCTION, True)
    for caller in both(ItemError("too_rude")):
        [answer] = (await caller(ITEMS[:1])).answers
        assert answer.code == "too_rude"
        await caller.aclose()


class ListedError(ItemError):
    code: Any = ("no", "code")

    def __init__(self):
        pass


async def test_an_item_error_with_a_code_that_is_none_is_a_function_error_of_its_items():
    """A list as a code ended the worker: it cannot be counted."""
    for caller in both(lambda items: [ItemError([1, 2]) for _ in items]):
        assert "InvalidCodeError at test_functions.py:" in (await fault_of(caller)).message
    for caller in both(lambda items: [ListedError(), 2, 3]):
        answers = (await caller(ITEMS)).answers
        assert (answers[0].code, answers[1:]) == ("function_error", [2, 3])
        await caller.aclose()
    for caller in both(ListedError()):
        [answer] = (await caller(ITEMS[:1])).answers
        assert answer.code == "function_error"
        await caller.aclose()


async def test_another_error_in_an_items_place_is_that_items_alone():
    """As `asyncio.gather(..., return_exceptions=True)` gives them."""
    for caller in both([1, ValueError("secret"), 3]):
        answers = (await caller(ITEMS)).answers
        assert (answers[0], answers[2]) == (1, 3)
        assert isinstance(answers[1], ItemError)
        assert (answers[1].code, "secret" in answers[1].message) == ("function_error", False)
        await caller.aclose()


async def test_a_cancellation_passes_whoever_asked_for_it():
    """Whose it is, the call's own task knows (`tests/running/test_both_doors.py`)."""

    async def endless(items: Sequence[Item]) -> Any:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await function_caller(endless)(ITEMS)
    for caller in both(asyncio.CancelledError()):
        with pytest.raises(asyncio.CancelledError):
            await caller(ITEMS)
        await caller.aclose()


class StrangeRetry(Retry):
    def __init__(self, after_s: Any = None):
        if after_s is not None:
            self.after_s = after_s


@pytest.mark.parametrize(
    ("raised", "after_s"),
    [
        (ExceptionGroup("g", [Retry(2.5)]), 2.5),
        (ExceptionGroup("g", [Retry(1), ExceptionGroup("h", [Retry(4), ValueError()])]), 4.0),
        (BaseExceptionGroup("g", [Retry(3), GeneratorExit()]), 3.0),
        (Retry(-1), 0.0),
        (StrangeRetry(), 1.0),
        (StrangeRetry("soon"), 1.0),
        (StrangeRetry("2"), 2.0),
    ],
    ids=repr,
)
async def test_a_retry_is_one_wherever_it_stands_and_whatever_it_holds(raised, after_s):
    for caller in both(raised):
        error = await fault_of(caller)
        assert (error.fault, error.retry_after_s) == (Fault.RETRY, after_s)
        assert error.message == f"try again after {after_s:g} s"


async def test_a_call_error_of_the_functions_own_pauses_no_account():
    for caller in both(CallError(Fault.ACCOUNT, "secret")):
        assert (await fault_of(caller)).fault is Fault.FUNCTION


async def test_a_sequence_that_cannot_be_read_is_an_error_of_the_call():
    class Broken(Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, place):
            raise RuntimeError("secret")

    for caller in both(lambda items: Broken()):
        assert (await fault_of(caller)).message.startswith("RuntimeError at test_functions.py:")


async def test_callables_of_every_kind_are_taken_for_what_they_are():
    class Labeller:
        async def __call__(self, items: Sequence[Item]) -> list[int]:
            return [threading.get_ident()] * len(items)

        def elsewhere(self, items: Sequence[Item], extra: int = 0) -> list[int]:
            return [threading.get_ident()] * len(items)

    async def in_loop(items: Sequence[Item], extra: int = 0) -> list[int]:
        return [threading.get_ident()] * len(items)

    here = threading.get_ident()
    for function, inside in [
        (in_loop, True),
        (functools.partial(in_loop, extra=1), True),
        (Labeller(), True),
        (Labeller().elsewhere, False),
        (functools.partial(Labeller()), True),
        (functools.partial(Labeller().elsewhere, extra=1), False),
    ]:
        caller = function_caller(function)
        answers = (await caller(ITEMS)).answers
        assert (answers == [here] * 3) is inside, function
        await caller.aclose()


async def test_a_plain_function_that_returns_a_coroutine_is_awaited():
    async def in_loop(items: Sequence[Item]) -> list[int]:
        return [1] * len(items)

    caller = function_caller(lambda items: in_loop(items))
    assert (await caller(ITEMS)).answers == [1, 1, 1]
    await caller.aclose()


async def test_context_variables_are_seen_inside_the_thread():
    """Tracing and log correlation hang on them."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")
    caller = function_caller(lambda items: [variable.get()] * len(items))
    assert (await caller(ITEMS)).answers == ["seen"] * 3
    await caller.aclose()


async def test_a_plain_function_holds_its_slot_until_it_returns_also_after_its_timeout():
    """So no more than max_in_flight ever run: a thread cannot be stopped."""
    started, end = threading.Event(), threading.Event()

    def slow(items: Sequence[Item]) -> list[int]:
        started.set()
        assert end.wait(30)
        return [1] * len(items)

    caller = function_caller(slow)
    call = asyncio.create_task(caller(ITEMS))
    await asyncio.to_thread(started.wait, 30)
    call.cancel()
    done, _ = await asyncio.wait([call], timeout=0.05)
    assert not done, "the call was over while the function still ran"
    end.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    await caller.aclose()


async def test_a_second_cancellation_leaves_the_function_behind():
    """A worker that stops must not wait for a function that never returns."""
    started, end = threading.Event(), threading.Event()

    def slow(items: Sequence[Item]) -> None:
        started.set()
        end.wait(30)

    caller = function_caller(slow)
    call = asyncio.create_task(caller(ITEMS))
    await asyncio.to_thread(started.wait, 30)
    for _ in range(2):
        call.cancel()
        done, _ = await asyncio.wait([call], timeout=0.02)
    assert done
    end.set()
    await caller.aclose()


async def test_threads_are_used_again_and_never_keep_the_interpreter():
    """What a function keeps for its thread, a session or a connection, serves the next call."""
    seen: list[threading.Thread] = []

    def notes(items: Sequence[Item]) -> list[int]:
        seen.append(threading.current_thread())
        return [1] * len(items)

    caller = function_caller(notes, max_in_flight=4)
    for _ in range(40):
        await caller(ITEMS)
    await asyncio.gather(*(caller(ITEMS) for _ in range(40)))  # more than there are threads
    assert len(seen) == 80
    assert 1 <= len(set(seen)) <= 4
    assert all(thread.daemon for thread in seen)
    await caller.aclose()
    for thread in set(seen):
        thread.join(10)
    assert not any(thread.is_alive() for thread in seen)


async def test_as_many_threads_run_as_calls_may_be_in_flight():
    """The loop's own executor has 6 threads on two cores."""
    meeting = threading.Barrier(24, timeout=30)

    def meet(items: Sequence[Item]) -> list[int]:
        meeting.wait()
        return [1] * len(items)

    caller = function_caller(meet, max_in_flight=24)
    replies = await asyncio.gather(*(caller(ITEMS) for _ in range(24)))
    assert len(replies) == 24
    await caller.aclose()


def test_the_description_is_the_version():
    """The function's text is not comparable: what it calls may change without it."""
    assert function_caller(len, version="2").describe() == {"provider": "custom", "version": "2"}
