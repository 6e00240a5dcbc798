"""What batches leave goes through live calls, by the house's runner: it asks again, splits, waits
and pauses as ever.

An answer counts once it is recorded (`record`): a kill pays for none twice. Calls keep the items
that the batches have put together to find a bad one; what was not answered at all is packed anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from streams.batches.batch_operation import BatchOperation
from streams.codec.answers import paid_slots
from streams.core.call import PENDING, Call, Slot, State
from streams.core.events import Arrived, Flush, Opened, Paused, Replied, Resumed
from streams.errors import Fault
from streams.running.call_task import Ended
from streams.running.runner import Runner

AT_ONCE: Final = 1_000
"""Slots that arrive in one turn of the loop."""

Record = Callable[[list[Slot]], Coroutine[Any, Any, None]]


class LiveCalls:
    """One use. `on_answered`: news for the progress. `calls`: how many were made."""

    def __init__(
        self,
        task: BatchOperation,
        call_prefix: str,
        record: Record,
        *,
        on_pause: Callable[[Paused | Resumed, float], None],
        on_answered: Callable[[int], None],
    ) -> None:
        self._record = record
        self._on_answered = on_answered
        self._open = 0
        self._recording: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._runner = Runner(
            task.call,
            replace(task.limits, order="none", max_wait_s=0.0, max_beyond_bytes=None),
            timeout_s=task.timeout_s,
            account=task.account,
            has_price=task.has_price,
            call_prefix=call_prefix,
            on_release=lambda *_: None,  # its slots stay ours: it never hears of a delivery
            on_ended=self._ended,
            on_defect=self._fail,
            on_pause=on_pause,
        )

    async def run(self, calls: Sequence[Call]) -> None:
        """Returns when all slots of these calls have their outcome, and it is recorded. Raises what
        recording raises."""
        slots = _arriving(calls)
        self._open = len(slots)
        try:
            for lane in dict.fromkeys(slot.lane for slot in slots):
                self._runner.handle(Opened(lane))
            await self._arrive(slots)
            while self._open or self._recording:
                self._changed.clear()
                await self._changed.wait()
                if self._error is not None:
                    raise self._error
        finally:
            await self._runner.stop()
            for task in self._recording:
                task.cancel()
            if self._recording:
                await asyncio.wait(self._recording)

    async def _arrive(self, slots: list[Slot]) -> None:
        now = self._runner.now()
        start = 0
        for end in range(1, len(slots) + 1):
            whole = end == len(slots) or slots[end].lane != slots[start].lane
            if whole or end - start >= AT_ONCE:
                for slot in slots[start:end]:
                    slot.arrived_at = now
                self._runner.handle(Arrived(slots[start:end]))
                start = end
                await asyncio.sleep(0)
        self._runner.handle(Flush())

    def _ended(self, call: Call, slots: Sequence[Slot], event: Ended) -> None:
        answers = event.answers if isinstance(event, Replied) else ()
        paid = paid_slots(call, slots, answers)
        if paid:
            task = asyncio.get_running_loop().create_task(self._record(paid))
            self._recording.add(task)
            task.add_done_callback(lambda task: self._recorded(task, len(paid)))

    def _recorded(self, task: asyncio.Task[None], count: int) -> None:
        self._recording.discard(task)
        self._open -= count
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)
        self._on_answered(count)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._changed.set()


def _place(slot: Slot) -> Any:
    return slot.lane, slot.seq


def _arriving(calls: Sequence[Call]) -> list[Slot]:
    """The slots as new ones, lane by lane, in order. Those that were divided or asked again keep to
    their company (`call_key`)."""
    slots: list[Slot] = []
    for number, call in enumerate(calls):
        keeps = call.cause != "new" and call.reason != Fault.RETRY.value
        for slot in call.slots:
            if keeps:
                slot.call_key = slot.call_key, number
            slot.state, slot.outcome = State.WAITING, PENDING
        slots += call.slots
    slots.sort(key=_place)
    return slots
