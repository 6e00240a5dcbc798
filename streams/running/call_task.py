"""One call under way: an asyncio task of its own, and the one event that it ends in.

Rules of this file:
1. Only a cancellation that `cancel` or the time limit asked for is ours. Any other, by a function
   that cancels its own task or misuses a time limit or a cancel scope, is the function's error.
2. Whatever is raised after the time limit is a timeout: our cancellation caused it.
3. A reply counts once the caller has returned it, also if its task is cancelled in the same step:
   it is paid.
4. Nothing leaves the task as an exception: KeyboardInterrupt and SystemExit would end the loop in
   the middle of whatever else it does. They are a `defect`, and the door decides.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

from streams.core.call import Call
from streams.core.events import Cancelled, Failed, Replied
from streams.errors import CallError, Fault
from streams.model import Reply
from streams.running.exits import mark_call
from streams.user_code import raised_at

Ended = Replied | Failed | Cancelled


class CallTask:
    """`slots`: of the call's items, as they were when it started. `defect`: what the caller raised,
    if it was no CallError."""

    def __init__(self, call: Call, timeout_s: float | None) -> None:
        self.call = call
        self.slots = call.slots
        self.defect: BaseException | None = None
        self._timeout_s = timeout_s
        self._event: Ended | None = None
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None

    def start(
        self,
        caller: Callable[[list[Any]], Awaitable[Reply]],
        context: contextvars.Context,
        on_ended: Callable[[CallTask], None],
    ) -> None:
        """`on_ended(self)`: called in a later turn of the loop, once. `context`: its own."""
        mark_call(context)
        self._task = asyncio.get_running_loop().create_task(
            self._run(caller, self.call.items), name=f"streams-{self.call.id}", context=context
        )
        self._task.add_done_callback(lambda _: on_ended(self))

    @property
    def task(self) -> asyncio.Task[None]:
        assert self._task is not None
        return self._task

    def cancel(self) -> None:
        self._cancelled = True
        self.task.cancel()

    @property
    def event(self) -> Ended:
        """How the call ended."""
        return self._event or Cancelled(self.call.id)  # cancelled before it ran

    async def _run(self, caller: Callable[[list[Any]], Awaitable[Reply]], items: list[Any]) -> None:
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                reply = await caller(items)
        except BaseException as error:
            self._event = self._after(error, timed_out=deadline.expired())
        else:
            self._event = Replied(self.call.id, reply.answers, reply.usage, reply.rate_limits)

    def _after(self, error: BaseException, *, timed_out: bool) -> Failed | Cancelled:
        """The event outlives the call. An error's frames hold the items, and some of them the
        error: a cycle that would stay until the collector runs."""
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled and self._cancelled:
            return Cancelled(self.call.id)
        if timed_out:
            failure = CallError(Fault.TIMEOUT, f"no reply within {self._timeout_s:g} s")
        elif isinstance(error, CallError):
            failure = error.with_traceback(None)
        elif cancelled:
            failure = CallError(Fault.FUNCTION, f"CancelledError{raised_at(error)}")
            failure.__cause__ = error.with_traceback(None)
        else:
            self.defect = error
            failure = CallError(Fault.FUNCTION, type(error).__name__)
        return Failed(self.call.id, failure)
