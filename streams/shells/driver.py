"""Drives one engine for an async function of this program: its calls and its timer.

    Arrived ─► engine ─► StartCall ─► process(items) ─► Replied | Failed ─► engine
                  └────► Release ─► on_release(slots) ─► Delivered ─► engine

Rules of this file:
1. Every decision is the engine's, but for one: an error that `process` raises for a call that may
   not be divided further counts as an attempt (`_fault_of`). In a topic the same function's error
   is final at once; here the caller has said how often to try (`max_attempts`).
2. Every call that starts ends in exactly one event, and in its own copy of the context that the
   driver was made in, so that no call sees what another has set.
3. What a call raised is the `__cause__` of its items' errors: nothing is logged, nothing is lost.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from random import random
from typing import Any, NamedTuple

from streams.core.engine import Engine
from streams.core.events import (
    Action,
    CancelCall,
    Cancelled,
    Delivered,
    Event,
    Failed,
    Release,
    Replied,
    StartCall,
    Tick,
)
from streams.core.limits import Limits
from streams.core.slot import Batch, Slot
from streams.errors import CallError, Fault, ItemError, Retry, plain, raised_at

Process = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class Failure(NamedTuple):
    """A call that failed; what its items' errors say, if it failed for good."""

    fault: Fault
    message: str
    cause: BaseException | None = None
    retry_after_s: float | None = None


class Driver:
    """Runs `process` for each microbatch of the engine's choice.

    `timeout_s`: of one call; None: as long as it takes. `on_release(slots)`: these slots have their
    outcomes; called in the loop, in the engine's order. `on_change()`: a call has ended. `defect`:
    the error that must end the whole run.
    """

    def __init__(
        self,
        process: Process,
        limits: Limits,
        *,
        timeout_s: float | None,
        on_release: Callable[[Sequence[Slot]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._process = process
        self._limits = limits
        self._timeout_s = timeout_s
        self._on_release = on_release
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._engine = Engine(limits, batch_prefix="batch", random=random)
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._stopped = False
        self.defect: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._calls)

    def handle(self, event: Event) -> None:
        """Give the engine an event and carry out what it decides."""
        if not self._stopped:
            self._act(self._engine.handle(event, self._loop.time()))

    async def stop(self) -> None:
        """Cancel the calls under way and return when each has ended; being cancelled meanwhile
        cancels them again, and goes on waiting."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        while self._calls:
            calls = list(self._calls.values())
            for call in calls:
                call.cancel()
            try:
                await asyncio.wait(calls)
            except asyncio.CancelledError:
                continue
            await asyncio.sleep(0)  # their done callbacks, which empty `_calls`

    def _act(self, actions: list[Action]) -> None:
        todo = deque(actions)
        while todo:
            match todo.popleft():
                case StartCall(batch):
                    self._start(batch)
                case Release(lane, slots):
                    self._on_release(slots)
                    todo.extend(self._delivered(lane, slots))
                case CancelCall(batch_id):
                    if call := self._calls.get(batch_id):
                        call.cancel()
        self._set_timer()

    def _delivered(self, lane: Hashable, slots: list[Slot]) -> list[Action]:
        return self._engine.handle(Delivered(lane, slots), self._loop.time())

    def _set_timer(self) -> None:
        due = self._engine.next_deadline()
        if due == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = self._timer_at = None
        self.handle(Tick())

    # -- calls ---------------------------------------------------------------------------------

    def _start(self, batch: Batch) -> None:
        task = self._loop.create_task(
            self._call(batch), name=f"streams-{batch.id}", context=self._context.copy()
        )
        self._calls[batch.id] = task
        task.add_done_callback(lambda done: self._ended(batch.id, done))

    def _ended(self, batch_id: str, task: asyncio.Task[None]) -> None:
        self._calls.pop(batch_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.defect = self.defect or error
        self._on_change()

    async def _call(self, batch: Batch) -> None:
        slots = batch.slots
        try:
            answers = await self._answers(batch.items)
        except asyncio.CancelledError:
            self._calls.pop(batch.id, None)
            self.handle(Cancelled(batch.id))
            raise
        self._calls.pop(batch.id, None)
        if self._stopped:
            return
        if not isinstance(answers, Failure):
            self.handle(Replied(batch.id, answers))
            return
        error = CallError(
            self._fault_of(answers, batch.size),
            answers.message,
            retry_after_s=answers.retry_after_s,
        )
        actions = self._engine.handle(Failed(batch.id, error), self._loop.time())
        for slot in slots:
            if isinstance(slot.outcome, ItemError):
                slot.outcome = _error_of(answers)
        self._act(actions)

    def _fault_of(self, failure: Failure, size: int) -> Fault:
        """What to tell the engine. A raised error is the fault of an item, which the engine finds
        by halving. Where there is nothing to halve it is tried again as a timeout is: counted,
        with back-off."""
        if failure.fault is Fault.FUNCTION and (size == 1 or not self._limits.split):
            return Fault.TIMEOUT
        return failure.fault

    async def _answers(self, items: list[Any]) -> Sequence[Any] | Failure:
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                awaitable = self._process(items)
                if not inspect.isawaitable(awaitable):
                    raise _not_async(awaitable)
                returned = await awaitable
        except asyncio.CancelledError as error:
            if _cancelled_from_outside():
                raise
            return Failure(Fault.FUNCTION, "CancelledError inside the function", _own(error))
        except _NotAsyncError:
            raise
        except Retry as error:
            return Failure(Fault.RETRY, str(error), None, max(0.0, error.after_s))
        except ItemError as error:
            if len(items) > 1 and self._limits.split:
                what = f"ItemError {plain(error).code} for the whole call"
                return Failure(Fault.FUNCTION, what, error)
            return [_copy(error) for _ in items]
        except Exception as error:
            if deadline.expired() and isinstance(error, TimeoutError):
                return Failure(Fault.TIMEOUT, f"no reply within {self._timeout_s:g} s")
            return Failure(Fault.FUNCTION, f"{type(error).__name__}{raised_at(error)}", _own(error))
        return _checked(items, returned)


class _NotAsyncError(TypeError):
    """`process` is no async function: nothing that it is given can be called."""


def _not_async(returned: Any) -> _NotAsyncError:
    return _NotAsyncError(
        f"process must be an async function; it returned {type(returned).__name__}. A function "
        "that blocks can be wrapped: async def process(items): "
        "return await asyncio.to_thread(function, items)"
    )


def _checked(items: Sequence[Any], returned: Any) -> Sequence[Any] | Failure:
    """The answers, one per item; exceptions among them (`asyncio.gather`) as `ItemError`s."""
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes | bytearray):
        what = f"the function returned {type(returned).__name__}, not a sequence with one answer "
        return Failure(Fault.FUNCTION, f"{what}for each of {len(items)} items")
    if len(returned) != len(items):
        what = f"the function returned {len(returned)} answers for {len(items)} items"
        return Failure(Fault.FUNCTION, what)
    return [_answer(value) if isinstance(value, BaseException) else value for value in returned]


def _answer(error: BaseException) -> ItemError:
    if isinstance(error, ItemError):
        return error
    return _error_of(Failure(Fault.FUNCTION, f"{type(error).__name__}{raised_at(error)}", error))


def _error_of(failure: Failure) -> ItemError:
    error = ItemError(failure.fault.value, failure.message)
    error.__cause__ = failure.cause
    return error


def _copy(error: ItemError) -> ItemError:
    known = plain(error)
    copy = ItemError(known.code, known.message)
    copy.__cause__ = error
    return copy


def _own(error: BaseException) -> BaseException:
    """The error without this file's frame, which would keep the driver alive."""
    traceback = error.__traceback__
    return error if traceback is None else error.with_traceback(traceback.tb_next)


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
