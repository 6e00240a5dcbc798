"""One task at work: the Kafka door of a runner (`streams.running.runner`).

    records ─► decode ─► Arrived ─► runner ─► Release ─► encode ─► sink ─► Delivered ─► runner

Every decision is the engine's. It runs in the worker's loop only.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from streams.codec.answers import restore
from streams.codec.committed import Committed
from streams.codec.records import weigh
from streams.codec.scripts import script_of
from streams.core.call import PENDING, Call, Slot
from streams.core.events import (
    Arrived,
    Closed,
    Delivered,
    Halt,
    Opened,
    Passed,
    Replied,
    Resume,
)
from streams.core.inspect import Blocking, Statistics
from streams.core.limit_view import LimitView, limit_view
from streams.core.ranges import covered
from streams.kafka.produce.parcels import Outlet
from streams.policies.budget import BudgetView
from streams.running.call_task import Ended
from streams.running.logs import PauseLog
from streams.running.runner import Runner
from streams.running.tally import CallTally, Tally, TaskCounts
from streams.worker.call_ledger import Ledger
from streams.worker.deadlines import set_flush_bys
from streams.worker.output import Outcomes, Route
from streams.worker.partition import Partition
from streams.worker.task_parts import TaskParts

logger = logging.getLogger(__name__)

RESULT_COPIES = 3
"""A result is in memory as its object, as its record, and in the batch that is sent."""


class TaskShell:
    """`on_room(partition)` is called when outcomes of a partition are delivered. `ledger`: None if
    paid answers are not recorded."""

    def __init__(
        self,
        parts: TaskParts,
        route: Route,
        sink: Outlet,
        on_room: Callable[[Partition], None],
        ledger: Ledger | None = None,
    ) -> None:
        self.parts = parts
        self.route = route
        self.tally = Tally()
        self._outcomes = Outcomes(parts.encoder, route, sink, self.delivered)
        self._on_room = on_room
        self._ledger = ledger
        self._pauses = PauseLog(f"task {parts.name}", parts.source)
        self._runner = Runner(
            parts.caller,
            parts.limits,
            timeout_s=parts.timeout_s,
            on_release=self._release,
            on_ended=self._record,
            on_defect=self._log_defect,
            on_pause=self._pauses.tell,
            call_prefix=f"{parts.name}-{secrets.token_hex(4)}",
            # With a ledger a call runs on: it is paid, and the new owner of its items may need it.
            cancels=ledger is None,
            account=parts.account,
            has_price=parts.has_price,
            money=parts.money,
        )
        self._engine = self._runner.engine

    @property
    def call_tally(self) -> CallTally:
        """Times and results of its calls; of a pipeline, of its stages' calls."""
        pipeline = self.parts.pipeline
        return self._runner.tally if pipeline is None else pipeline.tally

    # -- partitions ----------------------------------------------------------------------------

    def open(self, partition: Partition) -> None:
        partition.watermark_moved_at = self._runner.now()
        if self._ledger is not None:
            self._ledger.open(partition)
        self._runner.handle(Opened(partition, partition.next_offset, partition.done_before))
        self._share_budget()

    def suspend(self, partition: Partition) -> None:
        """The partition is revoked: no more outcomes go to the sink, its calls go on."""
        partition.open, partition.writes = False, False

    def can_resume(self, partition: Partition, start: Committed) -> bool:
        """Whether a suspended partition may go on: not if the group's commit differs from ours, or
        if records were on their way to the sink at the suspension."""
        waiting = sum(len(slots) for slots in partition.backlog)
        untouched = start[:2] == self.progress(partition)[:2]
        return untouched and self._engine.lanes[partition].delivering == waiting

    def resume(self, partition: Partition, start: Committed) -> bool:
        """The partition is back. True: it goes on as it was, and outcomes released in the meantime
        go to the sink. False: it cannot go on and has to be closed."""
        if not self.can_resume(partition, start):
            return False
        partition.open, partition.writes = True, True
        partition.committed = start
        released, partition.backlog = partition.backlog, []
        for slots in released:
            self._release(partition, slots)
        self._runner.handle(Resume((partition,)))
        return True

    def close(self, partition: Partition) -> None:
        """Drop what the partition holds; its late replies have no effect."""
        partition.open = False
        if self._ledger is not None:
            self._ledger.close(partition)
        self._runner.handle(Closed(partition))
        self._share_budget()

    def _share_budget(self) -> None:
        """Each worker of the group spends at the pace of its partitions."""
        if self.parts.money is not None:
            part = len(self._engine.lanes) / self.route.source_partitions
            self.parts.money.budget.share = min(1.0, max(part, 1e-6))

    def halt(self, partitions: Collection[Partition] | None = None) -> None:
        """Start no new microbatch with items of these partitions; None: of any."""
        self._runner.handle(Halt(partitions))

    def watermark(self, partition: Partition) -> int:
        """The offset below which every item of the partition has a durable outcome."""
        offset = self._engine.watermark(partition)
        return partition.next_offset if offset is None else offset

    def progress(self, partition: Partition, also: Collection[Slot] = ()) -> Committed:
        """What may be committed now; `also`: as if these slots were delivered too."""
        offset, beyond = self._engine.progress(partition, also)
        ledger = None if self._ledger is None else self._ledger.begin(partition, offset)
        return Committed(offset, tuple(beyond), ledger)

    def buffered_bytes(self, partition: Partition) -> int:
        """Bytes of the partition's items that are not settled."""
        return self._engine.lane_bytes(partition)

    def statistics(self) -> Statistics:
        statistics, pipeline = self._engine.statistics(), self.parts.pipeline
        return statistics if pipeline is None else pipeline.with_stages(statistics)

    def budget(self) -> BudgetView | None:
        """What its calls may cost yet; None: anything."""
        money = self.parts.money
        return None if money is None else money.budget.view(self._runner.now())

    def limits(self) -> LimitView:
        """What holds its calls back now, and what that lets through."""
        return limit_view(self._engine, self._runner.now())

    def counts(self) -> TaskCounts:
        return TaskCounts(self.tally, self.call_tally, self.statistics(), self.budget())

    def blocking(self, partition: Partition) -> Blocking | None:
        """What holds the partition's watermark back, and why."""
        return self._engine.blocking(partition)

    def watermark_age_s(self, partition: Partition) -> float:
        """How long the partition's watermark has stood still while an item waited behind it."""
        found = self._engine.lanes.get(partition)
        if found is None or not found.unsettled:
            return 0.0
        return self._runner.now() - max(partition.watermark_moved_at, found.unsettled[0].arrived_at)

    @property
    def busy(self) -> bool:
        """Whether a call is in flight, or a released outcome is not with the sink, or an answer is
        not in the ledger."""
        recording = self._ledger is not None and self._ledger.writing
        return bool(self._runner.in_flight) or self._outcomes.pending or recording

    @property
    def writing(self) -> bool:
        """Whether a released outcome is not with the sink yet."""
        return self._outcomes.pending

    async def stop(self) -> None:
        """End the calls in flight and the timer; no reply counts and no retry follows."""
        if left := await self._runner.abandon():
            logger.warning("task %s: %d calls do not end; left behind", self.parts.name, left)

    # -- events --------------------------------------------------------------------------------

    def arrived(self, partition: Partition, records: Sequence[Any], position: int) -> None:
        """Take records of a partition, in offset order; skip those already taken. `position`: the
        partition is read up to here. Offsets without a record (compacted, or a transaction's mark)
        may follow the last record; they are committed too, so that the commit does not fall out of
        the log."""
        if records and records[0].offset < partition.next_offset:
            records = [record for record in records if record.offset >= partition.next_offset]
        if position <= partition.next_offset:
            return
        now = self._runner.now()
        if records and self.tally.first_arrival_s is None:
            self.tally.first_arrival_s = now
        partition.next_offset = position
        if partition.done_before:
            records = [
                record for record in records if not covered(record.offset, partition.done_before)
            ]
        if records:
            self._runner.handle(Arrived(self._slots(partition, records, now)))
        if not records or records[-1].offset + 1 < position:
            self._runner.handle(Passed(partition, position))
        if partition.done_before and partition.done_before[-1][1] < position:
            partition.done_before = []

    def _slots(self, partition: Partition, records: Sequence[Any], now: float) -> list[Slot]:
        decoded = self.parts.decoder.decode(records, *partition.where)
        weights = weigh(decoded.items)
        result_bytes = int(RESULT_COPIES * self._outcomes.result_bytes)
        further_bytes = result_bytes + self.parts.call_bytes
        keys = self.parts.terms.call_keys(decoded.items)
        slots = [
            Slot(partition, item.offset, item, tokens, size, memory + further_bytes, now, key)
            for item, tokens, size, memory, key in zip(decoded.items, *weights, keys, strict=True)
        ]
        found = self.parts.terms.flush_bys(decoded.items)
        set_flush_bys(slots, found, now, self.tally, self.parts.name)
        if self.parts.limits.call_shape is not None:
            for slot in slots:
                slot.script = script_of(slot.item.text, slot.size)
        for index, outcome in decoded.settled.items():
            slots[index].outcome = outcome
        if partition.answers:
            self._recall(partition, slots)
        partition.note_memory(sum(weights.memory) / len(slots) + further_bytes)
        if self.parts.limits.order == "key":
            for slot in slots:
                slot.order_key = slot.item.key
        return slots

    def _recall(self, partition: Partition, slots: Sequence[Slot]) -> None:
        """Settle the items that an earlier owner of the partition has an answer for."""
        answers = partition.answers
        for slot in slots:
            record = answers.pop(slot.seq, None)
            if record is not None and slot.outcome is PENDING and restore(slot, record):
                self.tally.from_ledger += 1

    def delivered(self, partition: Partition, slots: Sequence[Slot]) -> None:
        """The sink has these outcomes, durable."""
        if not partition.open:
            return
        self.tally.delivered(slots, int(time.time() * 1000), self._runner.now())
        before = self._engine.watermark(partition)
        self._runner.handle(Delivered(partition, slots))
        if self._engine.watermark(partition) != before:
            partition.watermark_moved_at = self._runner.now()
        self._on_room(partition)

    def _release(self, partition: Partition, slots: list[Slot]) -> None:
        if not partition.writes:  # they wait for `resume`
            partition.backlog.append(slots)
            return
        self._outcomes.release(partition, slots)

    def _record(self, call: Call, slots: Sequence[Slot], event: Ended) -> None:
        if self._ledger is not None:
            answers = event.answers if isinstance(event, Replied) else ()
            self._ledger.record(call, slots, answers)

    def _log_defect(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            raise error  # ends the loop, and the process with it (`streams.process`)
        # The traceback may hold an item's text, which is for DEBUG alone (contract G10).
        logger.error("task %s: the call raised %s", self.parts.name, type(error).__name__)
        logger.debug("task %s: the call raised", self.parts.name, exc_info=error)
