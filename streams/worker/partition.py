"""A source partition that this worker owns, from one assignment on, as long as each following
assignment brings it back untouched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.core.call import Slot

FIRST_ESTIMATE_BYTES = 2048


class PartitionTask(Protocol):
    """What other modules ask the task of a partition; `streams.worker.task.TaskShell` is one."""

    def arrived(self, partition: Any, records: Sequence[Any], position: int) -> None:
        """Take these records of the partition, which is read up to `position`."""
        ...

    def buffered_bytes(self, partition: Any) -> int:
        """Bytes of the partition's items that are not settled."""
        ...

    def watermark(self, partition: Any) -> int:
        """The offset below which every item of the partition has a durable outcome."""
        ...

    def progress(self, partition: Any, also: Collection[Slot] = ()) -> Committed:
        """What may be committed of the partition now; `also`: when these slots are delivered."""
        ...


class Partition:
    """A lane of its task's engine. One incarnation: if another worker owns the partition in
    between, it comes back as a new `Partition`, and a late reply for the old one has no effect.
    Compared by identity. `where`: topic and number.

    `open`: it may be written and committed; false between revocation and assignment. `writes`:
    released outcomes go to the sink; false from before the last commit of a revocation to the next
    assignment. `backlog`: outcomes released in that time.

    `next_offset`: the first offset not yet taken. `committed`: the last commit; before the first
    one, where the partition begins, which is then committed (with `start = "latest"` records that
    arrive while no worker runs would be skipped otherwise). `done_before`: ranges beyond the start
    whose outcomes an earlier owner made durable. `answers`: from the ledger, by offset; removed
    when their item arrives. `mean_bytes`: memory of a record with its result: the mean of the last
    list, or a slowly falling mean of earlier lists if that is larger; a guess until some are
    `measured`. `watermark_moved_at`: when its watermark last moved, in the loop's seconds.
    """

    __slots__ = (
        "answers",
        "backlog",
        "committed",
        "done_before",
        "mean_bytes",
        "measured",
        "next_offset",
        "open",
        "task",
        "watermark_moved_at",
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
        self.watermark_moved_at = 0.0

    def note_memory(self, mean_bytes: float) -> None:
        """Note the mean memory of the records in one list. A larger mean counts at once, a smaller
        one slowly: it decides how long the next list is."""
        if self.measured:
            slowly = self.mean_bytes + 0.2 * (mean_bytes - self.mean_bytes)
            mean_bytes = max(mean_bytes, slowly)
        self.mean_bytes, self.measured = mean_bytes, True

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Partition {self.where.topic}/{self.where.partition} {state}>"
