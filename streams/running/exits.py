"""`sys.exit()` in a task that a function starts (`gather`, `wait_for`, a task group) is the
function's error, as it is in the function itself.

asyncio ends the loop for a SystemExit out of any task, and cancels all others: also those of the
Kafka client, whose batches are then never acknowledged. The item that causes it would do the same
after every start.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from streams.user_code import TaskExitError

_in_call: contextvars.ContextVar[bool] = contextvars.ContextVar("streams_in_call", default=False)


def mark_call(context: contextvars.Context) -> None:
    """Tasks that are started in this context belong to a call."""
    context.run(_in_call.set, True)


def contain_exits(loop: asyncio.AbstractEventLoop) -> None:
    """Let no task of a call end this loop by a SystemExit. A loop whose tasks somebody else makes
    stays as it is."""
    if loop.get_task_factory() is None:
        loop.set_task_factory(_make_task)


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **keywords: Any
) -> asyncio.Task[Any]:
    if _in_call.get():
        coroutine = _Contained(coroutine)
    return asyncio.Task(coroutine, loop=loop, **keywords)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine whose SystemExit is a `TaskExitError`. No `async def` around it: that would leave
    it unawaited where its task is cancelled before it begins."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        try:
            return self._coroutine.send(value)
        except SystemExit as error:
            raise TaskExitError from error

    def throw(self, *error: Any) -> Any:
        try:
            return self._coroutine.throw(*error)
        except SystemExit as exit_error:
            raise TaskExitError from exit_error

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        """For debuggers: the name, the code and the frame."""
        return getattr(self._coroutine, name)
