"""A source partition that this worker owns, from one assignment on for as long as each following
one brings it back untouched."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.core.call import Slot
from streams.core.limits import Order

FIRST_ESTIMATE_BYTES = 2048

MAX_KEYS = 10_000
"""Order keys of a lane for which it is remembered what left last."""


class LaneTask(Protocol):
    """What the neighbours of a lane ask its task; `streams.worker.task.TaskShell` is one."""

    def arrived(self, lane: Any, records: Sequence[Any], position: int) -> None:
        """Take these records of the lane, which has been read to `position`."""
        ...

    def held(self, lane: Any) -> int:
        """Bytes of the lane's items that are not settled."""
        ...

    def watermark(self, lane: Any) -> int:
        """The offset below which every item of the lane has a durable outcome."""
        ...

    def progress(self, lane: Any, also: Collection[Slot] = ()) -> Committed:
        """What may be committed of the lane now; `also`: when these slots are delivered."""
        ...


class Lane:
    """One incarnation: a partition that comes back after somebody else had it is a new lane, so
    that a late reply finds nobody to give its answers to. Compared by identity.

    `open`: it may be written and committed; between revocation and assignment it may not.
    `writes`: what the engine releases goes to the sink; not so from before the last commit of a
    revocation to the next assignment. `backlog`: what the engine released meanwhile.

    `next_offset`: the first offset not yet taken. `committed`: what was committed last; at first
    where the partition begins, to be committed where nobody has (with `start = "latest"` what
    arrives while no worker runs would be passed over otherwise). `done_before`: ranges beyond the
    start whose outcomes an earlier owner made durable. `answers`: from the ledger, by offset;
    taken out when their item arrives. `released_to`: the last offset given to the sink, by order
    key (in partition order there is one, None).
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
        "partition",
        "released_to",
        "task",
        "writes",
    )

    def __init__(self, partition: TopicPartition, start: Committed, task: LaneTask) -> None:
        self.partition = partition
        self.next_offset = start.offset
        self.committed = start
        self.done_before = list(start.beyond)
        self.answers: dict[int, bytes] = {}
        self.released_to: dict[Hashable, int] = {}
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

    def note_released(self, slots: Sequence[Slot], order: Order) -> int:
        """These leave for the sink; how many of them after a later one that they should have left
        before: 0, or something is wrong with the engine."""
        left, late = self.released_to, 0
        if order == "partition":
            late += slots[0].seq <= left.get(None, -1)
            left[None] = slots[-1].seq
        elif order == "key":
            for slot in slots:
                if (key := slot.order_key) is not None:
                    late += slot.seq < left.pop(key, -1)
                    left[key] = slot.seq
            while len(left) > MAX_KEYS:  # the longest ago
                del left[next(iter(left))]
        return late

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Lane {self.partition.topic}/{self.partition.partition} {state}>"
