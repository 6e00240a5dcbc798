"""The life of a `Partition`: which ones this worker owns, and which ones may come back.

    assigned ─► open ──revoked──► suspended ──assigned again──► open, if its commit is still ours
                                      └──────────────────────► closed, else

A suspended partition's calls go on, and nothing of it is written or committed. If the next
assignment brings it back with this worker's last commit, it goes on with all it holds: no other
worker has done any of it. If not, it is closed, and what it holds is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.worker.partition import Partition
from streams.worker.task import TaskShell


class Assignment:
    """`open`: partitions that are read. `suspended`: those that may come back. `tasks`: by their
    source topic; filled before the first assignment."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskShell] = {}
        self.open: dict[TopicPartition, Partition] = {}
        self.suspended: dict[TopicPartition, Partition] = {}

    def __len__(self) -> int:
        """How many partitions hold items."""
        return len(self.open) + len(self.suspended)

    @property
    def partitions(self) -> Sequence[Partition]:
        return list(self.open.values())

    @property
    def waiting(self) -> Sequence[Partition]:
        """Lanes that hold items and are not read."""
        return list(self.suspended.values())

    def task_of(self, partition: Partition) -> TaskShell:
        return self.tasks[partition.where.topic]

    def new(self, starts: Mapping[TopicPartition, Committed]) -> dict[TopicPartition, Committed]:
        """The partitions of an assignment that were not suspended, or cannot go on."""
        return {at: start for at, start in starts.items() if not self._may_go_on(at, start)}

    def _may_go_on(self, where: TopicPartition, start: Committed) -> bool:
        partition = self.suspended.get(where)
        return partition is not None and self.task_of(partition).can_resume(partition, start)

    def assign(
        self, starts: Mapping[TopicPartition, Committed], missing: Set[TopicPartition]
    ) -> None:
        """Open each partition: the suspended one if it can go on, else a new one. `missing`: ours,
        but not readable now; a suspended partition among them stays suspended."""
        for where, start in starts.items():
            partition = self.suspended.get(where)
            if partition is not None and self.task_of(partition).resume(partition, start):
                del self.suspended[where]
            else:
                task = self.tasks[where.topic]
                partition = Partition(where, start, task)
                task.open(partition)
            self.open[where] = partition
        dropped = self.suspended.keys() - missing
        self._close({where: self.suspended.pop(where) for where in dropped})

    def suspend(self) -> None:
        """All partitions are revoked."""
        for partition in self.open.values():
            self.task_of(partition).suspend(partition)
        self.suspended |= self.open
        self.open.clear()

    def lose(self, partition: Partition) -> bool:
        """Another worker owns the partition: what it holds is not ours. False: it is not open any
        more."""
        if self.open.get(partition.where) is not partition:
            return False
        del self.open[partition.where]
        self.task_of(partition).close(partition)
        return True

    def close_suspended(self) -> None:
        self._close(self.suspended)

    def close(self) -> None:
        self._close(self.open)

    def _close(self, partitions: dict[TopicPartition, Partition]) -> None:
        for partition in partitions.values():
            self.task_of(partition).close(partition)
        partitions.clear()
