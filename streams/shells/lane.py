"""A source partition that this worker owns, from its assignment to its revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition

if TYPE_CHECKING:
    from streams.shells.task import TaskShell

FIRST_ESTIMATE_BYTES = 2048


class Lane:
    """One incarnation: a partition that comes back after a rebalance is a new lane, so that a late
    reply finds nobody to give its answers to. Compared by identity.

    `next_offset`: the first offset not yet taken. `committed`: the last offset committed, or what
    the lane began at. `mean_bytes`: a moving average of what a record holds in memory. `moved_at`:
    when its watermark last moved, in the loop's seconds.
    """

    __slots__ = (
        "committed",
        "delivered_to",
        "mean_bytes",
        "moved_at",
        "next_offset",
        "open",
        "partition",
        "task",
    )

    def __init__(self, partition: TopicPartition, offset: int, task: TaskShell) -> None:
        self.partition = partition
        self.next_offset = offset
        self.committed = offset
        self.delivered_to = offset
        self.task = task
        self.open = True
        self.mean_bytes: float = FIRST_ESTIMATE_BYTES
        self.moved_at = 0.0

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Lane {self.partition.topic}/{self.partition.partition} {state}>"
