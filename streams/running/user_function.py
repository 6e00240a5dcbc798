"""An async function of this program as a caller: `process(items)` returns one answer for each.

Its error is the `__cause__` of its items' errors: nothing is logged, nothing is lost.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from streams.errors import CallError, Fault, ItemError, Retry, plain, raised_at, wrong_answers
from streams.model import Reply

Raised = TypeVar("Raised", bound=BaseException)

Process = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class UserFunction:
    """`split`: whether a call that fails is divided, so that an `ItemError` raised for several
    items is not the outcome of each yet. TypeError where `process` cannot be called."""

    def __init__(self, process: Process, *, split: bool) -> None:
        if not callable(process):
            raise TypeError(f"process must be an async function, not {type(process).__name__}")
        self._process = process
        self._split = split

    async def __call__(self, items: list[Any]) -> Reply:
        """Raises CallError for an error of `process`, TypeError if it is not async."""
        size = len(items)  # a list of its own: the function may change it
        try:
            awaitable = self._process(items)
            if not inspect.isawaitable(awaitable):
                raise _not_async(awaitable)
            returned = await awaitable
        except asyncio.CancelledError as error:
            if _cancelled_from_outside():
                raise
            message = "CancelledError inside the function"
            raise CallError(Fault.FUNCTION, message) from _own(error)
        except NotAsyncError:
            raise
        except Retry as error:
            after_s = max(0.0, error.after_s)
            raise CallError(Fault.RETRY, str(error), retry_after_s=after_s) from None
        except ItemError as error:
            if size == 1 or not self._split:
                return Reply([_copy(_own(error)) for _ in range(size)])
            message = f"ItemError {plain(error).code} for the whole call"
            raise CallError(Fault.FUNCTION, message) from _own(error)
        except Exception as error:
            if isinstance(error, TimeoutError) and _cancelled_from_outside():
                raise  # the call's time is over, and the function raised its own error for that
            raise _failure(error) from _own(error)
        if wrong := wrong_answers(returned, size):
            raise CallError(Fault.FUNCTION, wrong)
        return Reply([_answer(value) for value in returned])


class NotAsyncError(TypeError):
    """`process` is not an async function: a call has no effect."""


def _not_async(returned: Any) -> NotAsyncError:
    return NotAsyncError(
        f"process must be an async function; it returned {type(returned).__name__}. A function "
        "that blocks can be wrapped: async def process(items): "
        "return await asyncio.to_thread(function, items)"
    )


def _answer(value: Any) -> Any:
    """Exceptions among the answers (`asyncio.gather` returns them) as `ItemError`s."""
    if not isinstance(value, BaseException) or isinstance(value, ItemError):
        return value
    failure = _failure(value)
    failure.__cause__ = value
    return failure.item_error()


def _failure(error: BaseException) -> CallError:
    return CallError(Fault.FUNCTION, f"{type(error).__name__}{raised_at(error)}")


def _copy(error: ItemError) -> ItemError:
    plain_error = plain(error)
    copy = ItemError(plain_error.code, plain_error.message)
    copy.__cause__ = error
    return copy


def _own(error: Raised) -> Raised:
    """The error without this file's frame, which would keep the runner alive."""
    traceback = error.__traceback__
    return error if traceback is None else error.with_traceback(traceback.tb_next)


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
