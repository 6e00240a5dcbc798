"""Custom functions as callers: `(Sequence[Item]) -> Sequence[result | ItemError | None]`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from streams.errors import CallError, Fault, ItemError, plain
from streams.model import DROP, Answer, Item, Reply
from streams.providers.threads import Threads
from streams.user_code import (
    PASSES,
    failure_of,
    is_async,
    item_error_in,
    raised_at,
    wrong_answers,
)  # fmt: skip

logger = logging.getLogger(__name__)

Answers = Sequence[Any]
"""One per item, in the items' order: a result (any JSON value), an `ItemError` (dead letter), or
None (the item is dropped)."""

CustomFunction = Callable[[Sequence[Item]], Awaitable[Answers] | Answers]

_MAX_THREADS: Final = 1_024


class FunctionCaller:
    """Calls a custom function for each microbatch.

    An async function runs in the loop. Any other runs in a thread, and its call ends only when it
    returns: cancelling the call (a timeout) waits for it, so that at most `max_in_flight` run at
    any time; a second cancellation (a worker that stops) leaves it behind.
    """

    account: Final = None
    """No API's limits count its calls."""

    def __init__(
        self, function: CustomFunction, *, version: str | None = None, max_in_flight: int = 64
    ) -> None:
        self._function = function
        self._version = version
        self._threads = Threads(min(max_in_flight, _MAX_THREADS), "streams-function")
        self._in_loop = is_async(function)

    async def __call__(self, items: Sequence[Item]) -> Reply:
        """Raises CallError: FUNCTION for an error or a wrong count, RETRY for a `Retry`."""
        size = len(items)  # a list of its own: the function may change it
        try:
            returned = await self._run(items)
            if wrong := wrong_answers(returned, size):
                failure = CallError(Fault.FUNCTION, wrong)
            else:
                answers = [
                    _answer(value) if value is None or isinstance(value, BaseException) else value
                    for value in returned
                ]
                return Reply(answers)
        except PASSES:
            raise
        except BaseException as error:
            item_error = item_error_in(error)
            if item_error is not None and size == 1:
                return Reply([plain(item_error).with_traceback(None)])
            logger.debug("the custom function raised", exc_info=True)
            failure = failure_of(error)
        raise failure  # outside the handlers: the function's error may hold an item's text

    def describe(self) -> dict[str, Any]:
        """The keywords of `streams.codec.fingerprint.fingerprint`."""
        return {"provider": "custom", "version": self._version}

    async def aclose(self) -> None:
        """Functions that still run in threads run on; nothing waits for them."""
        self._threads.close()

    async def _run(self, items: Sequence[Item]) -> Any:
        if self._in_loop:
            returned: Any = self._function(items)
        else:
            returned = await self._threads.call(self._function, items)
        return await returned if inspect.isawaitable(returned) else returned


def _answer(value: BaseException | None) -> Answer:
    if value is None:
        return DROP
    if isinstance(value, ItemError):
        return plain(value)
    return ItemError(Fault.FUNCTION.value, f"{type(value).__name__}{raised_at(value)}")


def function_caller(
    function: CustomFunction, *, version: str | None = None, max_in_flight: int = 64
) -> FunctionCaller:
    """A caller for a custom function.

    `version`: the input of its results' fingerprint. `max_in_flight`: the limit of threads for a
    function that is not async.
    """
    return FunctionCaller(function, version=version, max_in_flight=max_in_flight)
