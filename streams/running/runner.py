"""One engine at work: its clock, its timer, its calls, and one event for each call that ends.

    door ─► handle(event) ─► engine ─┬► StartCall ─► caller(items) ─► Replied | Failed ─► handle
                                     ├► Release ───► door ─► Delivered ─► handle
                                     └► Paused | Resumed ─► door

Rules of this file:
1. Every decision is the engine's. A door (a topic's task, a list, callers) supplies arrivals and
   takes outcomes; nothing else differs between them.
2. `Delivered` comes from the taker of the outcomes, at once or much later: that is back-pressure.
3. Every call that starts ends in exactly one event (`call_task.py`): also one that is cancelled
   before it ran, and one that raises a BaseException (a panic in a Rust extension).
4. Each call runs in its own copy of the context that the runner was made in: no call sees what
   another has set.
5. Nothing is awaited, made or logged per item.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import random
from typing import Any

from streams.core.account import Account
from streams.core.call import Call, Slot
from streams.core.call_money import CallMoney
from streams.core.engine import Engine
from streams.core.events import (
    Action,
    CancelCall,
    Event,
    Paused,
    Release,
    Resumed,
    StartCall,
    Tick,
)
from streams.core.limits import Limits
from streams.model import Reply
from streams.running.call_task import CallTask, Ended
from streams.running.tally import CallTally

CANCELLATIONS = 2
"""After the first a function can clean up, or its thread can return; the second leaves the thread
behind."""

CANCEL_WITHIN_S = 1.0
"""The time limit of each cancellation."""


class Runner:
    """Runs `caller` for each microbatch of its engine's choice; in the loop it was made in.

    `caller(items)`: gets a list of its own. `timeout_s`: of one call; None: as long as it takes.
    `on_release(lane, slots)`: these outcomes may leave, in this order; answered with `Delivered`,
    from inside the callback or later. `on_ended(call, slots, event)`: the engine knows how a call
    ended; `slots`: its items' as they were when it started. `on_pause(news, now)`: calls stop,
    or go on. `on_defect(error)`: a call raised something other than a CallError, which makes it a
    failed call with `Fault.FUNCTION`.
    `cancels`: whether a call ends when nobody owns its items any more. `account`: that of the API
    that `caller` calls, where others call it, too; None: one of its own. `has_price`: whether what
    a call costs can be known. `money`: what calls may cost; None: anything.
    """

    def __init__(
        self,
        caller: Callable[[list[Any]], Awaitable[Reply]],
        limits: Limits,
        *,
        timeout_s: float | None,
        on_release: Callable[[Any, list[Slot]], None],
        on_ended: Callable[[Call, Sequence[Slot], Ended], None],
        on_defect: Callable[[BaseException], None],
        on_pause: Callable[[Paused | Resumed, float], None] | None = None,
        call_prefix: str = "batch",
        cancels: bool = True,
        account: Account | None = None,
        has_price: bool = True,
        money: CallMoney | None = None,
    ) -> None:
        if timeout_s is not None and not timeout_s > 0:  # also refuses NaN
            raise ValueError(f"timeout_s must be above 0, not {timeout_s}")
        self._caller, self._timeout_s = caller, timeout_s
        self._on_release, self._on_ended = on_release, on_ended
        self._on_defect, self._on_pause = on_defect, on_pause
        self._cancels = cancels
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._calls: dict[str, CallTask] = {}
        self._actions: deque[Action] = deque()
        self._acting = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._wake_handle: asyncio.Handle | None = None
        self._ended = False
        self.engine = Engine(
            limits,
            call_prefix=call_prefix,
            random=random,
            account=account,
            wake=self._wake,
            money=money,
        )
        self.tally = CallTally(has_price=has_price)

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return len(self._calls)

    def now(self) -> float:
        """The clock of the engine's events, in seconds."""
        return self._loop.time()

    def handle(self, event: Event) -> None:
        """Give the engine an event and carry out its decisions. Called from a callback of the
        runner, it leaves that to the call in progress, so that actions keep their order."""
        if self._ended:
            return
        self._actions.extend(self.engine.handle(event, self._loop.time()))
        if self._acting:
            return
        self._acting = True
        try:
            while self._actions:
                self._act(self._actions.popleft())
        finally:
            self._acting = False
        self._set_timer()

    def cancel(self) -> None:
        """Cancel every call in flight. Their replies and all later events are ignored."""
        if not self._ended:
            self._ended = True
            self.engine.leave()
        for handle in (self._timer, self._wake_handle):
            if handle is not None:
                handle.cancel()
        for call in self._calls.values():
            call.cancel()

    async def stop(self) -> None:
        """`cancel`, and return when each call has ended. If this is cancelled in the meantime, it
        cancels the calls again, and raises when they have ended."""
        cancelled: asyncio.CancelledError | None = None
        self.cancel()
        while self._calls:
            try:
                await asyncio.wait(self._tasks())
            except asyncio.CancelledError as error:
                cancelled = error
                self.cancel()
            else:
                await asyncio.sleep(0)  # for the callbacks that empty `_calls`
        if cancelled is not None:
            raise cancelled

    async def abandon(self) -> int:
        """`cancel`, twice if necessary, and leave behind calls that do not end: a function that
        blocks its thread. Returns the number of those calls."""
        for _ in range(CANCELLATIONS):
            self.cancel()
            if self._calls:
                await asyncio.wait(self._tasks(), timeout=CANCEL_WITHIN_S)
                await asyncio.sleep(0)  # for the callbacks that empty `_calls`
        return len(self._calls)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [call.task for call in self._calls.values()]

    def _act(self, action: Action) -> None:
        match action:
            case StartCall(call):
                self._start(call)
            case Release(lane, slots):
                self._on_release(lane, slots)
            case CancelCall(call_id):
                if self._cancels and (task := self._calls.get(call_id)):
                    task.cancel()
            case Paused() | Resumed():
                self._tell_pause(action)

    def _tell_pause(self, action: Paused | Resumed) -> None:
        now = self._loop.time()
        if isinstance(action, Paused):
            self.tally.paused(action.reason, now)
        else:
            self.tally.resumed(now)
        if self._on_pause is not None:
            self._on_pause(action, now)

    # -- the timer -------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        due = self.engine.next_deadline()
        if due == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_at = None
        self.handle(Tick())

    def _wake(self) -> None:
        """The account has news: ask the engine again, in a later turn of the loop and only once."""
        if self._wake_handle is None and not self._ended:
            self._wake_handle = self._loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._wake_handle = None
        self.handle(Tick())

    # -- calls -----------------------------------------------------------------------------------

    def _start(self, call: Call) -> None:
        self.tally.started(call)
        task = self._calls[call.id] = CallTask(call, self._timeout_s)
        task.start(self._caller, self._context.copy(), self._end)

    def _end(self, task: CallTask) -> None:
        del self._calls[task.call.id]
        self.tally.ended(task.event, self._loop.time() - task.call.started_at)
        if task.defect is not None:
            self._on_defect(task.defect)
        if not self._ended and not self._loop.is_closed():
            self.handle(task.event)
            self._on_ended(task.call, task.slots, task.event)
