"""The calls of a task that are under way. Each that starts ends in exactly one event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from streams.core.events import Cancelled, Failed, Replied
from streams.core.slot import Batch, Slot
from streams.errors import CallError, Fault
from streams.model import Caller
from streams.shells.calls import CallTally
from streams.shells.tally import Tally

logger = logging.getLogger(__name__)

Ended = Replied | Failed | Cancelled

CANCELLATIONS = 2
"""The first lets a function clean up, or its thread return; the second leaves the thread behind."""

CANCEL_WITHIN_S = 1.0
"""How long each may take."""


class Calls:
    """`name`: the task's. `timeout_s`: of one call. `on_ended(batch, slots, event)`: a call has
    ended; `slots`: its items' as they were when it began."""

    def __init__(
        self,
        name: str,
        caller: Caller,
        timeout_s: float,
        tally: Tally,
        on_ended: Callable[[Batch, Sequence[Slot], Ended], None],
    ) -> None:
        self._name = name
        self._caller = caller
        self._timeout_s = timeout_s
        self._tally = tally
        self._on_ended = on_ended
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, asyncio.Task[Ended]] = {}
        self._stopped = False
        self.tally = CallTally()

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, batch: Batch) -> None:
        self._tally.called_items += batch.size
        self.tally.started(batch)
        slots, began = batch.slots, self._loop.time()
        call = asyncio.ensure_future(self._call(batch))
        self._calls[batch.id] = call

        def ended(call: asyncio.Task[Ended]) -> None:
            self._end(batch, slots, self._event(batch, call), self._loop.time() - began)

        call.add_done_callback(ended)

    def cancel(self, batch_id: str) -> None:
        """End a call; it says so."""
        if call := self._calls.get(batch_id):
            call.cancel()

    async def stop(self) -> None:
        """End all of them; nothing comes of them. What does not end is left behind: a function that
        blocks its thread would keep the producers open and the group waiting."""
        self._stopped = True
        calls = set(self._calls.values())
        for _ in range(CANCELLATIONS):
            for call in calls:
                call.cancel()
            if calls:
                _, calls = await asyncio.wait(calls, timeout=CANCEL_WITHIN_S)
        if calls:
            logger.warning("task %s: %d calls do not end; left behind", self._name, len(calls))

    async def _call(self, batch: Batch) -> Ended:
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                reply = await self._caller(batch.items)
        except CallError as error:
            # The event outlives the call. Frames that the error went through hold the items, and
            # some of them the error: a cycle that would stay until the collector comes by.
            return Failed(batch.id, error.with_traceback(None))
        except asyncio.CancelledError:
            return Cancelled(batch.id)
        except Exception as error:
            return Failed(batch.id, self._unexpected(error, deadline.expired()))
        return Replied(batch.id, reply.answers, reply.usage)

    def _event(self, batch: Batch, call: asyncio.Task[Ended]) -> Ended:
        """What the call came to. It may have been cancelled before it ran at all, or have raised
        what is no Exception (a panic of Rust code)."""
        if call.cancelled():
            return Cancelled(batch.id)
        error = call.exception()
        if error is not None:
            return Failed(batch.id, self._unexpected(error, timed_out=False))
        return call.result()

    def _end(self, batch: Batch, slots: Sequence[Slot], event: Ended, took_s: float) -> None:
        self._calls.pop(batch.id, None)
        if isinstance(event, Replied):
            self._tally.call_s += took_s
            self._tally.answered_calls += 1
            self._tally.paid(event.usage)
        elif isinstance(event, Failed):
            self._tally.paid(event.error.usage)  # a refusal is billed
        self.tally.ended(event, took_s)
        if not self._stopped and not self._loop.is_closed():
            self._on_ended(batch, slots, event)

    def _unexpected(self, error: BaseException, timed_out: bool) -> CallError:
        if timed_out and isinstance(error, TimeoutError):
            return CallError(Fault.TIMEOUT, f"no reply within {self._timeout_s:g} s")
        # The traceback may hold an item's text, which is for DEBUG alone (contract G10).
        logger.error("task %s: the call raised %s", self._name, type(error).__name__)
        logger.debug("task %s: the call raised", self._name, exc_info=error)
        return CallError(Fault.FUNCTION, type(error).__name__)
