"""A user's own function: whether it is async, and what it means that it raises or returns.

It may do anything. Only two things that it raises are not its own error: a cancellation, of which
`streams.running.call_task` knows whether we asked for it, and KeyboardInterrupt, which ends the
program.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final

from streams import errors
from streams.errors import CallError, Fault, ItemError, Retry, plain

PASSES: Final = (asyncio.CancelledError, KeyboardInterrupt)
"""Passes through whoever calls a user's code. SystemExit does not: the item that causes it would
end the worker after every start."""

_DEFAULT_WAIT_S: Final = 1.0


class TaskExitError(Exception):
    """A task that a function started has called `sys.exit()`; `__cause__`: the SystemExit
    (`streams.running.exits`)."""


def is_async(function: Any) -> bool:
    """Whether a call returns something to await, told without a call: an `async def`, an object
    with an async `__call__`, or either behind `functools.partial` or a decorator with `wraps`."""
    while isinstance(function, functools.partial):
        function = function.func
    if not callable(function):
        return False
    candidates = (function, inspect.unwrap(function), type(function).__call__)
    return any(inspect.iscoroutinefunction(each) for each in candidates)


def contained(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but SystemExit and its like are its own error, a `TaskExitError`."""
    if not is_async(function):

        def plain_one(*arguments: Any) -> Any:
            with _contained():
                returned = function(*arguments)
            return _await(returned) if inspect.isawaitable(returned) else returned

        return plain_one

    async def async_one(*arguments: Any) -> Any:
        with _contained():
            return await function(*arguments)

    return async_one


async def _await(returned: Any) -> Any:
    with _contained():
        return await returned


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    try:
        yield
    except (Exception, *PASSES):
        raise
    except BaseException as error:
        raise TaskExitError from error


def failure_of(error: BaseException) -> CallError:
    """What a function raised, as the failure of its call.

    A `Retry`, also one inside an exception group (`asyncio.TaskGroup` makes them), asks for the
    same call again, after the longest of their times. Anything else has its type and place alone:
    its message may quote an item.
    """
    leaves = list(_leaves(error))
    retries = [each for each in leaves if isinstance(each, Retry)]
    if retries:
        after_s = max(_after_s(each) for each in retries)
        return CallError(Fault.RETRY, f"try again after {after_s:g} s", retry_after_s=after_s)
    if len(leaves) == 1:
        (error,) = leaves
    if isinstance(error, ItemError):
        return CallError(Fault.FUNCTION, f"ItemError {plain(error).code} for the whole call")
    if isinstance(error, TaskExitError) and error.__cause__ is not None:
        error = error.__cause__
    return CallError(Fault.FUNCTION, f"{type(error).__name__}{raised_at(error)}")


def item_error_in(error: BaseException) -> ItemError | None:
    """The `ItemError` that a function raised, also as the only one in an exception group."""
    leaves = list(_leaves(error))
    if len(leaves) == 1 and isinstance(leaves[0], ItemError):
        return leaves[0]
    return None


def raised_at(error: BaseException) -> str:
    """Where the error was raised, as " at app.py:12 in topics"; empty if it was never raised. Its
    message is left out: it may quote an item. An invalid code is the caller's error."""
    frames = [
        (frame.f_code, line)
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename != errors.__file__
    ]
    if not frames:
        return ""
    code, line = frames[-1]
    return f" at {Path(code.co_filename).name}:{line} in {code.co_name}"


def wrong_answers(returned: object, items: int) -> str | None:
    """What is wrong with what a function returned for so many items; None: one answer for each."""
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes | bytearray):
        what = f"{type(returned).__name__}, not a sequence with one answer for each of"
    elif len(returned) != items:
        what = f"{len(returned)} answers for"
    else:
        return None
    return f"the function returned {what} {items} items"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in an exception group, however deep; else the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _after_s(retry: Retry) -> float:
    """A subclass may never call __init__, and a caller may give anything."""
    try:
        return max(0.0, float(retry.after_s))
    except (AttributeError, TypeError, ValueError, OverflowError):
        return _DEFAULT_WAIT_S
