"""One task at work: feeds its engine with records and replies, and carries out what it decides.

    records ─► decode ─► Arrived ─► engine ─► StartCall ─► caller ─► Replied | Failed ─► engine
                                       └────► Release ─► encode ─► sink ─► Delivered ─► engine

Every decision is the engine's. This file owns the clock, the calls under way and one timer, and
turns every finished action into exactly one event. It runs in the worker's loop only.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from random import random
from typing import Any

from streams.committed import Committed
from streams.core.engine import Engine
from streams.core.events import (
    Action,
    Arrived,
    CancelCall,
    Closed,
    Delivered,
    Event,
    Halt,
    Opened,
    Passed,
    Paused,
    Release,
    Replied,
    Resume,
    Resumed,
    StartCall,
    Tick,
)
from streams.core.limits import Limits
from streams.core.ranges import covered
from streams.core.slot import PENDING, Batch, Slot
from streams.core.views import Blocking, Statistics
from streams.kafka.parcels import Outlet, Record
from streams.ledger import restore
from streams.model import Caller
from streams.records import Decoder, estimate_tokens, held_bytes, text_bytes
from streams.results import Encoder
from streams.shells.calling import Calls, Ended
from streams.shells.calls import CallTally
from streams.shells.lane import Lane
from streams.shells.ledger import Ledger
from streams.shells.outcomes import Outcomes, Route
from streams.shells.pauses import PauseLog
from streams.shells.tally import Tally

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskParts:
    """What a task is made of; `timeout_s` is per call. `fingerprint`: see `streams.fingerprint`."""

    name: str
    source: str
    limits: Limits
    timeout_s: float
    decoder: Decoder
    encoder: Encoder
    caller: Caller
    fingerprint: str = ""


class TaskShell:
    """`on_room(lane)` is called when outcomes of a lane were delivered. `ledger`: None where paid
    answers are not recorded."""

    def __init__(
        self,
        parts: TaskParts,
        route: Route,
        sink: Outlet,
        on_room: Callable[[Lane], None],
        ledger: Ledger | None = None,
    ) -> None:
        self.parts = parts
        self.route = route
        self.tally = Tally()
        self._outcomes = Outcomes(parts.encoder, route, sink, self.delivered)
        self._on_room = on_room
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._engine = Engine(
            parts.limits, batch_prefix=f"{parts.name}-{secrets.token_hex(4)}", random=random
        )
        self._calls = Calls(parts.name, parts.caller, parts.timeout_s, self.tally, self._call_ended)
        self._pauses = PauseLog(parts.name, parts.source)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None

    @property
    def call_tally(self) -> CallTally:
        """What its calls took, and came to."""
        return self._calls.tally

    # -- lanes ---------------------------------------------------------------------------------

    def open(self, lane: Lane) -> None:
        lane.moved_at = self._loop.time()
        if self._ledger is not None:
            self._ledger.open(lane)
        self._handle(Opened(lane, lane.next_offset, lane.done_before))

    def hold(self, lane: Lane) -> None:
        """What is released from now on is kept: the last commit would not tell of it."""
        lane.holding = True

    def suspend(self, lane: Lane) -> None:
        """The lane's partition is revoked: nothing more of it goes to the sink, its calls go on."""
        lane.open, lane.holding = False, True

    def can_resume(self, lane: Lane, start: Committed) -> bool:
        """Whether a suspended lane may go on: not where its partition was committed otherwise, or
        where records of it were on their way to the sink when it was suspended."""
        known = self._engine.lanes[lane]
        kept = sum(len(slots) for slots in lane.kept)
        return start[:2] == self.progress(lane)[:2] and known.delivering == kept

    def resume(self, lane: Lane, start: Committed) -> bool:
        """The partition is back. True: the lane goes on as it was, and what was released meanwhile
        goes to the sink. False: it cannot; it has to be closed."""
        if not self.can_resume(lane, start):
            return False
        lane.open, lane.holding = True, False
        lane.committed = start
        released, lane.kept = lane.kept, []
        for slots in released:
            self._release(lane, slots)
        self._handle(Resume((lane,)))
        return True

    def close(self, lane: Lane) -> None:
        """Drop what the lane holds; its late replies find nobody."""
        lane.open = False
        if self._ledger is not None:
            self._ledger.close(lane)
        self._handle(Closed(lane))

    def halt(self, lanes: Collection[Lane] | None = None) -> None:
        """Start no new microbatch with items of these lanes; None: of any."""
        self._handle(Halt(lanes))

    def watermark(self, lane: Lane) -> int:
        """The offset below which every item of the lane has a durable outcome."""
        offset = self._engine.watermark(lane)
        return lane.next_offset if offset is None else offset

    def progress(self, lane: Lane, also: Collection[Slot] = ()) -> Committed:
        """What may be committed of the lane now; `also`: when these slots are delivered with it."""
        offset, beyond = self._engine.progress(lane, also)
        ledger = None if self._ledger is None else self._ledger.begin(lane, offset)
        return Committed(offset, tuple(beyond), ledger)

    def held(self, lane: Lane) -> int:
        """Bytes of the lane's items that are not settled."""
        return self._engine.held(lane)

    def statistics(self) -> Statistics:
        return self._engine.statistics()

    def blocking(self, lane: Lane) -> Blocking | None:
        """What holds the lane's watermark back, and why."""
        return self._engine.blocking(lane)

    def watermark_age_s(self, lane: Lane) -> float:
        """For how long the lane's watermark has stood still while an item waited behind it."""
        known = self._engine.lanes.get(lane)
        if known is None or not known.unsettled:
            return 0.0
        return self._loop.time() - max(lane.moved_at, known.unsettled[0].arrived_at)

    @property
    def busy(self) -> bool:
        """Whether a call is under way, the sink has not got yet what was released, or the ledger
        what was answered."""
        recording = self._ledger is not None and self._ledger.writing
        return bool(self._calls) or self._outcomes.pending or recording

    @property
    def writing(self) -> bool:
        """Whether the sink has not got yet what was released."""
        return self._outcomes.pending

    async def stop(self) -> None:
        """End the calls under way and the timer; nothing comes of them, not even another try."""
        if self._timer is not None:
            self._timer.cancel()
        await self._calls.stop()

    # -- events --------------------------------------------------------------------------------

    def arrived(self, lane: Lane, records: Sequence[Any], position: int) -> None:
        """Take records of a lane, in offset order; those already taken are skipped. `position`: the
        lane has been read to there. Behind its last record may be what is none, and is committed
        all the same: else it would be missed when the log has let go of it."""
        if records and records[0].offset < lane.next_offset:
            records = [record for record in records if record.offset >= lane.next_offset]
        if position <= lane.next_offset:
            return
        now = self._loop.time()
        if records and self.tally.first_arrival_s is None:
            self.tally.first_arrival_s = now
        lane.next_offset = position
        if lane.done_before:
            records = [record for record in records if not covered(record.offset, lane.done_before)]
        if records:
            self._handle(Arrived(self._slots(lane, records, now)))
        if not records or records[-1].offset + 1 < position:
            self._handle(Passed(lane, position))
        if lane.done_before and lane.done_before[-1][1] < position:
            lane.done_before = []

    def _slots(self, lane: Lane, records: Sequence[Any], now: float) -> list[Slot]:
        decoded = self.parts.decoder.decode(records)
        settled, total = decoded.settled, 0
        slots: list[Slot] = []
        append, result_bytes = slots.append, int(self._outcomes.result_bytes)
        for index, item in enumerate(decoded.items):
            text = item.text
            memory = held_bytes(item) + result_bytes
            total += memory
            outcome = settled.get(index, PENDING) if settled else PENDING
            append(
                Slot(
                    lane, item.offset, item, estimate_tokens(text), text_bytes(text), memory, now,
                    outcome=outcome,
                )
            )  # fmt: skip
        if lane.known:
            self._recall(lane, slots)
        lane.mean_bytes += 0.2 * (total / len(slots) - lane.mean_bytes)
        lane.measured = True
        if self.parts.limits.order == "key":
            for slot in slots:
                slot.order_key = slot.item.key
        return slots

    def _recall(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """Give those that were answered before, by whoever had the lane then, their outcome."""
        known = lane.known
        for slot in slots:
            record = known.pop(slot.seq, None)
            if record is not None and slot.outcome is PENDING and restore(slot, record):
                self.tally.from_ledger += 1

    def delivered(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """The sink has these outcomes, durable."""
        if not lane.open:
            return
        self.tally.delivered(slots, int(time.time() * 1000), self._loop.time())
        before = self._engine.watermark(lane)
        self._handle(Delivered(lane, slots))
        if self._engine.watermark(lane) != before:
            lane.moved_at = self._loop.time()
        self._on_room(lane)

    def too_large(self, lane: Lane, slot: Slot, topic: str, record: Record) -> Record | None:
        """The broker refused a record for its size: see `Outcomes.too_large`."""
        return self._outcomes.too_large(lane, slot, topic, record)

    def _handle(self, event: Event) -> None:
        actions = self._engine.handle(event, self._loop.time())
        for action in actions:
            self._act(action)
        self._set_timer()

    def _act(self, action: Action) -> None:
        match action:
            case StartCall(batch):
                self._calls.start(batch)
            case Release(lane, slots):
                self._release(lane, slots)  # type: ignore[arg-type]
            case CancelCall(batch_id):
                # With a ledger it runs on: it is paid, and whoever has the items now may need it.
                if self._ledger is None:
                    self._calls.cancel(batch_id)
            case Paused(reason, until, message):
                now = self._loop.time()
                self.call_tally.paused(reason, now)
                self._pauses.paused(reason, max(0.0, until - now), message)
            case Resumed():
                self.call_tally.resumed(self._loop.time())
                self._pauses.resumed()

    def _release(self, lane: Lane, slots: list[Slot]) -> None:
        if lane.holding:  # they wait for `resume`
            lane.kept.append(slots)
            return
        self._outcomes.release(lane, slots)

    def _set_timer(self) -> None:
        due = self._engine.next_deadline()
        if due == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, None
        self._handle(Tick())

    def _call_ended(self, batch: Batch, slots: Sequence[Slot], event: Ended) -> None:
        self._handle(event)
        if self._ledger is not None:
            answers = event.answers if isinstance(event, Replied) else ()
            self._ledger.record(batch, slots, answers)
