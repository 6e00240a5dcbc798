"""A source partition that this worker owns, from its assignment to its revocation."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from streams.committed import Committed

if TYPE_CHECKING:
    from streams.shells.task import TaskShell

FIRST_ESTIMATE_BYTES = 2048


class Lane:
    """One incarnation: a partition that comes back after a rebalance is a new lane, so that a late
    reply finds nobody to give its answers to. Compared by identity.

    `next_offset`: the first offset not yet taken. `committed`: what was committed last; None at
    first, so that the start itself is committed: with `start = "latest"` what arrives while no
    worker runs would be passed over otherwise. `done_before`: ranges beyond the start whose
    outcomes an earlier owner made durable. `released_to`: the last offset given to the sink, by
    order key (in partition order there is one, None).
    `mean_bytes`: a moving average of what a record holds in memory. `moved_at`: when its watermark
    last moved, in the loop's seconds.
    """

    __slots__ = (
        "committed",
        "done_before",
        "mean_bytes",
        "moved_at",
        "next_offset",
        "open",
        "partition",
        "released_to",
        "task",
    )

    def __init__(self, partition: TopicPartition, start: Committed, task: TaskShell) -> None:
        self.partition = partition
        self.next_offset = start.offset
        self.committed: Committed | None = None
        self.done_before = list(start.beyond)
        self.released_to: dict[Hashable, int] = {}
        self.task = task
        self.open = True
        self.mean_bytes: float = FIRST_ESTIMATE_BYTES
        self.moved_at = 0.0

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Lane {self.partition.topic}/{self.partition.partition} {state}>"
