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
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._stopped = False
        self.tally = CallTally()

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, batch: Batch) -> None:
        self._tally.called_items += batch.size
        self.tally.started(batch)
        self._calls[batch.id] = asyncio.ensure_future(self._call(batch))

    def cancel(self, batch_id: str) -> None:
        """End a call; it says so."""
        if call := self._calls.get(batch_id):
            call.cancel()

    async def stop(self) -> None:
        """End all of them; nothing comes of them."""
        self._stopped = True
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _call(self, batch: Batch) -> None:
        event: Ended
        slots = batch.slots
        began = self._loop.time()
        deadline = asyncio.timeout(self._timeout_s)
        try:
            async with deadline:
                reply = await self._caller(batch.items)
            event = Replied(batch.id, reply.answers, reply.usage)
            self._tally.call_s += self._loop.time() - began
            self._tally.answered_calls += 1
        except CallError as error:
            event = Failed(batch.id, error)
        except asyncio.CancelledError:
            event = Cancelled(batch.id)
        except Exception as error:
            event = Failed(batch.id, self._unexpected(error, deadline.expired()))
        self._calls.pop(batch.id, None)
        self.tally.ended(event, self._loop.time() - began)
        if not self._stopped and not self._loop.is_closed():
            self._on_ended(batch, slots, event)

    def _unexpected(self, error: Exception, timed_out: bool) -> CallError:
        if timed_out and isinstance(error, TimeoutError):
            return CallError(Fault.TIMEOUT, f"no reply within {self._timeout_s:g} s")
        # The traceback may hold an item's text, which is for DEBUG alone (contract G10).
        logger.error("task %s: the call raised %s", self._name, type(error).__name__)
        logger.debug("task %s: the call raised", self._name, exc_info=error)
        return CallError(Fault.FUNCTION, type(error).__name__)
