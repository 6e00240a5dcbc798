"""The range of a replay as the door of batch mode (`streams.batches.batch_door`).

    slots: partition after partition, by offset      emit: results and dead letters, as live mode

What the target has already from an earlier process of the run is left out at the emission; drops,
which leave nothing there, are noted in the run's state before the emission ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any

from aiokafka import TopicPartition

from streams.batches.batch_door import Cursor, Ranges
from streams.codec.committed import Committed
from streams.codec.records import weigh
from streams.core.call import Slot
from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.range_scan import RangeScanner
from streams.jobs.replay.range_shell import DropNotes
from streams.jobs.replay.run_context import RunContext
from streams.jobs.replay.run_facts import DROPS, write_ranges
from streams.kafka.extents import Extent
from streams.kafka.produce.sink import Sink
from streams.model import DROP
from streams.worker.output import ENCODED_AT_ONCE, Outcomes, Route
from streams.worker.partition import Partition
from streams.worker.task_parts import TaskParts

AT_ONCE = 500
"""Records that are decoded in one turn of the loop (some ms)."""


class ReplayDoor:
    """`written`: what the target had when this process began. `scanners`: two, over consumers of
    their own: reading on and reading again take turns in the middle of each other. `fail`: takes
    an error of the sink, which ends the emission, too."""

    def __init__(
        self,
        context: RunContext,
        parts: TaskParts,
        route: Route,
        sink: Sink,
        scanners: tuple[RangeScanner, RangeScanner],
        written: Completeness,
        drops: DropNotes,
    ) -> None:
        self._context = context
        self._decoder, self._terms = parts.decoder, parts.terms
        self._outcomes = Outcomes(parts.encoder, route, sink, self._delivered)
        self._onward, self._anew = scanners
        self._written = written
        self._drops = drops
        self._lanes: dict[int, Partition] = {}
        self._pending: Counter[int] = Counter()
        self._emitted = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def count(self) -> int:
        """Offsets of the range: some may be without an item."""
        return self._context.facts.offsets

    async def slots(self, after: Cursor | None) -> AsyncIterator[list[Slot]]:
        for lane, extent in sorted(self._context.facts.extents.items()):
            if after is not None and lane < after.lane:
                continue
            first = after.seq + 1 if after is not None and lane == after.lane else extent.first
            async for slots in self._slots(self._onward, lane, Extent(first, extent.end)):
                yield slots

    async def again(self, ranges: Ranges) -> AsyncIterator[list[Slot]]:
        for lane, first, last in ranges:
            async for slots in self._slots(self._anew, lane, Extent(first, last + 1)):
                yield slots

    async def _slots(
        self, scanner: RangeScanner, lane: int, extent: Extent
    ) -> AsyncIterator[list[Slot]]:
        where = self._context.where
        async for records in scanner.scan(lane, extent):
            for start in range(0, len(records), AT_ONCE):
                part = records[start : start + AT_ONCE]
                chosen = part if where is None else where.selected(part)
                if chosen:
                    yield self._decoded(lane, chosen)
                await asyncio.sleep(0)

    def _decoded(self, lane: int, records: Sequence[Any]) -> list[Slot]:
        decoded = self._decoder.decode(records, self._context.facts.source, lane)
        weights, keys = weigh(decoded.items), self._terms.call_keys(decoded.items)
        slots = [
            Slot(lane, item.offset, item, tokens, size, memory, call_key=key)
            for item, tokens, size, memory, key in zip(decoded.items, *weights, keys, strict=True)
        ]
        for index, outcome in decoded.settled.items():
            slots[index].outcome = outcome
        return slots

    # -- emission ------------------------------------------------------------------------------

    async def emit(self, slots: list[Slot]) -> None:
        """Raises what the sink raised."""
        has = self._written.has
        for lane, group in groupby(slots, key=lambda slot: slot.lane):
            assert isinstance(lane, int)
            todo = [slot for slot in group if not has(lane, slot.seq)]
            self._drops.add(lane, [slot.seq for slot in todo if slot.outcome is DROP])
            self._pending[lane] += len(todo)
            for start in range(0, len(todo), ENCODED_AT_ONCE):  # as many as a turn encodes
                part = todo[start : start + ENCODED_AT_ONCE]
                self._outcomes.release(self._lane(lane), part)
                await asyncio.sleep(0)
        while self._pending.total() and self._error is None:
            self._emitted.clear()
            await self._emitted.wait()
        if self._error is not None:
            raise self._error
        for number in self._drops.changed:
            ranges = self._drops.ranges(number)
            await self._context.keys.put(f"{DROPS}{number}", write_ranges(ranges))

    def fail(self, error: BaseException) -> None:
        """The sink cannot go on."""
        self._error = error
        self._emitted.set()

    def _lane(self, number: int) -> Partition:
        if number not in self._lanes:
            facts = self._context.facts
            where = TopicPartition(facts.source, number)
            start = Committed(facts.extents[number].first)
            self._lanes[number] = Partition(where, start, _NO_TASK)
        return self._lanes[number]

    def _delivered(self, partition: Partition, slots: Sequence[Slot]) -> None:
        self._pending[partition.where.partition] -= len(slots)
        self._emitted.set()


_NO_TASK: Any = None
"""A lane of the sink alone: no engine holds its items."""
