"""Finds out whether reading is stuck: there are records and room for them, and none comes.

One look cannot show that, so a worker looks every few seconds. There are records if the end of the
log, at its last fetch, is beyond the reader's position; the position also moves over offsets
without a record (transaction markers, compacted), so an idle topic never looks stuck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from streams.worker.partition import Partition

STUCK_AFTER_S = 60.0
"""Longer than a rebalance or the election of a partition's leader takes."""

LOOK_EVERY_S = 5.0


class Readable(Protocol):
    """The attributes of a worker that are read; `streams.worker.worker.Worker` has them."""

    @property
    def draining(self) -> bool: ...
    @property
    def partitions(self) -> Sequence[Partition]: ...
    def position(self, partition: Partition) -> int | None: ...
    def end(self, partition: Partition) -> int | None: ...
    def has_room(self, partition: Partition) -> bool: ...


class StuckPartition(NamedTuple):
    """A partition where reading does not go on from `position`; `for_s`: seconds since we
    noticed."""

    topic: str
    partition: int
    position: int
    end: int
    for_s: float


class StarvingPartition(NamedTuple):
    position: int
    since: float


class ReadingWatch:
    """Remembers since when each partition is not read although it could be."""

    def __init__(self, worker: Readable) -> None:
        self._worker = worker
        self._starving: dict[Partition, StarvingPartition] = {}

    def look(self, now: float) -> list[StuckPartition]:
        """The partitions that are stuck. `now`: the loop's seconds."""
        starving: dict[Partition, StarvingPartition] = {}
        stuck: list[StuckPartition] = []
        for partition in () if self._worker.draining else self._worker.partitions:
            position, end = self._worker.position(partition), self._worker.end(partition)
            if position is None or end is None or position >= end:
                continue
            if not self._worker.has_room(partition):
                continue
            before = self._starving.get(partition)
            if before is None or before.position != position:
                before = StarvingPartition(position, now)
            starving[partition] = before
            for_s = now - before.since
            if for_s >= STUCK_AFTER_S:
                topic, partition = partition.where.topic, partition.where.partition
                stuck.append(StuckPartition(topic, partition, position, end, round(for_s, 1)))
        self._starving = starving
        return stuck
