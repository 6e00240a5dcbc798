"""Which partitions this worker has, and which it had: the lives of lanes.

    assigned ─► open ──revoked──► suspended ──assigned again──► open, if nobody else has touched it
                                      └──────────────────────► closed, else

A suspended lane's calls go on, and nothing of it is written or committed. If the next assignment
brings its partition back, committed as the lane left it, the lane goes on with all it holds: nobody
else has done any of it. If not, it is closed, and what it holds is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.worker.partition import Lane
from streams.worker.task import TaskShell


class Assignment:
    """`open`: lanes that are read, by partition. `suspended`: those that may come back. `tasks`: by
    their source topic; filled before the first assignment."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskShell] = {}
        self.open: dict[TopicPartition, Lane] = {}
        self.suspended: dict[TopicPartition, Lane] = {}

    def __len__(self) -> int:
        """How many lanes hold items."""
        return len(self.open) + len(self.suspended)

    @property
    def lanes(self) -> Sequence[Lane]:
        return list(self.open.values())

    @property
    def waiting(self) -> Sequence[Lane]:
        """Lanes that hold items and are not read."""
        return list(self.suspended.values())

    def task_of(self, lane: Lane) -> TaskShell:
        return self.tasks[lane.partition.topic]

    def without_lane(
        self, starts: Mapping[TopicPartition, Committed]
    ) -> dict[TopicPartition, Committed]:
        """Those of an assignment whose suspended lane, if any, cannot go on."""
        return {at: start for at, start in starts.items() if not self._may_go_on(at, start)}

    def _may_go_on(self, partition: TopicPartition, start: Committed) -> bool:
        lane = self.suspended.get(partition)
        return lane is not None and self.task_of(lane).can_resume(lane, start)

    def assign(
        self, starts: Mapping[TopicPartition, Committed], missing: Set[TopicPartition]
    ) -> None:
        """A lane for each partition: the one that was suspended if it can go on, else a new one.
        `missing`: ours, and not to be read now; what was suspended of them stays so."""
        for partition, start in starts.items():
            lane = self.suspended.get(partition)
            if lane is not None and self.task_of(lane).resume(lane, start):
                del self.suspended[partition]
            else:
                task = self.tasks[partition.topic]
                lane = Lane(partition, start, task)
                task.open(lane)
            self.open[partition] = lane
        gone = self.suspended.keys() - missing
        self._close({partition: self.suspended.pop(partition) for partition in gone})

    def suspend(self) -> None:
        """Every partition is revoked."""
        for lane in self.open.values():
            self.task_of(lane).suspend(lane)
        self.suspended |= self.open
        self.open.clear()

    def lose(self, lane: Lane) -> bool:
        """The lane's partition is somebody else's: what it holds is not ours. False: it is not
        open any more."""
        if self.open.get(lane.partition) is not lane:
            return False
        del self.open[lane.partition]
        self.task_of(lane).close(lane)
        return True

    def close_suspended(self) -> None:
        self._close(self.suspended)

    def close(self) -> None:
        self._close(self.open)

    def _close(self, lanes: dict[TopicPartition, Lane]) -> None:
        for lane in lanes.values():
            self.task_of(lane).close(lane)
        lanes.clear()
