"""A source partition that this worker owns, from one assignment on for as long as each following
one brings it back untouched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.core.call import Slot

FIRST_ESTIMATE_BYTES = 2048


class PartitionTask(Protocol):
    """What the neighbours of a partition ask its task; `streams.worker.task.TaskShell` is one."""

    def arrived(self, partition: Any, records: Sequence[Any], position: int) -> None:
        """Take these records of the partition, which has been read to `position`."""
        ...

    def held(self, partition: Any) -> int:
        """Bytes of the partition's items that are not settled."""
        ...

    def watermark(self, partition: Any) -> int:
        """The offset below which every item of the partition has a durable outcome."""
        ...

    def progress(self, partition: Any, also: Collection[Slot] = ()) -> Committed:
        """What may be committed of the partition now; `also`: when these slots are delivered."""
        ...


class Partition:
    """A lane of its task's engine. One incarnation: a source partition that comes back after
    somebody else had it is a new `Partition`, so that a late reply finds nobody to give its answers
    to. Compared by identity. `where`: topic and number.

    `open`: it may be written and committed; between revocation and assignment it may not.
    `writes`: what the engine releases goes to the sink; not so from before the last commit of a
    revocation to the next assignment. `backlog`: what the engine released meanwhile.

    `next_offset`: the first offset not yet taken. `committed`: what was committed last; at first
    where the partition begins, to be committed where nobody has (with `start = "latest"` what
    arrives while no worker runs would be passed over otherwise). `done_before`: ranges beyond the
    start whose outcomes an earlier owner made durable. `answers`: from the ledger, by offset;
    taken out when their item arrives.
    `mean_bytes`: what a record holds in memory with its result: the mean of the last ones, or of
    those before where that is more; a guess until some were `measured`.
    `moved_at`: when its watermark last moved, in the loop's seconds.
    """

    __slots__ = (
        "answers",
        "backlog",
        "committed",
        "done_before",
        "mean_bytes",
        "measured",
        "moved_at",
        "next_offset",
        "open",
        "task",
        "where",
        "writes",
    )

    def __init__(self, where: TopicPartition, start: Committed, task: PartitionTask) -> None:
        self.where = where
        self.next_offset = start.offset
        self.committed = start
        self.done_before = list(start.beyond)
        self.answers: dict[int, bytes] = {}
        self.task = task
        self.open = True
        self.writes = True
        self.backlog: list[list[Slot]] = []
        self.mean_bytes: float = FIRST_ESTIMATE_BYTES
        self.measured = False
        self.moved_at = 0.0

    def note_memory(self, mean_bytes: float) -> None:
        """What the records of one list took each. Larger ones count at once, smaller ones slowly:
        the next list is as long as these allow."""
        if self.measured:
            slowly = self.mean_bytes + 0.2 * (mean_bytes - self.mean_bytes)
            mean_bytes = max(mean_bytes, slowly)
        self.mean_bytes, self.measured = mean_bytes, True

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Partition {self.where.topic}/{self.where.partition} {state}>"
