"""An async function of this program as a caller: `process(items)` returns one answer for each.

Its error is the `__cause__` of its items' errors: nothing is logged, nothing is lost.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from streams.errors import CallError, Fault, ItemError, plain
from streams.model import Reply
from streams.user_code import failure_of, is_async, item_error_in, raised_at, wrong_answers

Raised = TypeVar("Raised", bound=BaseException)

Process = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class UserFunction:
    """`split`: whether a call that fails is divided, so that an `ItemError` raised for several
    items is not the outcome of each yet. TypeError where `process` is not async, without a call."""

    def __init__(self, process: Process, *, split: bool) -> None:
        if not is_async(process):
            raise _not_async(process)
        self._process = process
        self._split = split

    async def __call__(self, items: list[Any]) -> Reply:
        """Raises CallError for an error of `process`. A BaseException passes: it ends the run."""
        size = len(items)  # a list of its own: the function may change it
        try:
            returned = await self._process(items)
            wrong = wrong_answers(returned, size)
            answers = [] if wrong else [_answer(value) for value in returned]
        except Exception as error:
            item_error = item_error_in(error)
            if item_error is not None and (size == 1 or not self._split):
                return Reply([_copy(_own(item_error)) for _ in range(size)])
            failure = failure_of(error)
            raise failure from None if failure.fault is Fault.RETRY else _own(error)
        if wrong:
            raise CallError(Fault.FUNCTION, wrong)
        return Reply(answers)


def _not_async(process: Any) -> TypeError:
    """The error says what to do instead."""
    what = type(process).__name__
    if inspect.isasyncgenfunction(process):
        what = "an async generator; return one list instead of yielding"
    elif callable(process):
        name = getattr(process, "__name__", what)
        what = (
            f"{name}, which is not async. If it blocks, wrap it: async def process(items): "
            f"return await asyncio.to_thread({name}, items)"
        )
    return TypeError(f"process must be an async function, not {what}")


def _answer(value: Any) -> Any:
    """Exceptions among the answers (`asyncio.gather` returns them) as `ItemError`s."""
    if not isinstance(value, BaseException) or isinstance(value, ItemError):
        return value
    error = ItemError(Fault.FUNCTION.value, f"{type(value).__name__}{raised_at(value)}")
    error.__cause__ = value
    return error


def _copy(error: ItemError) -> ItemError:
    plain_error = plain(error)
    copy = ItemError(plain_error.code, plain_error.message)
    copy.__cause__ = error
    return copy


def _own(error: Raised) -> Raised:
    """The error without this file's frame, which would keep the runner alive."""
    traceback = error.__traceback__
    if traceback is None or traceback.tb_frame.f_code.co_filename != __file__:
        return error
    return error.with_traceback(traceback.tb_next)
