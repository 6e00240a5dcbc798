"""A source partition that this worker owns, from one assignment on for as long as each following
one brings it back untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from streams.committed import Committed

if TYPE_CHECKING:
    from streams.core.slot import Slot
    from streams.shells.task import TaskShell

FIRST_ESTIMATE_BYTES = 2048


class Lane:
    """One incarnation: a partition that comes back after somebody else had it is a new lane, so
    that a late reply finds nobody to give its answers to. Compared by identity.

    `open`: it may be written and committed; between revocation and assignment it may not.
    `holding`: nothing more of it goes to the sink, from before the last commit of a revocation to
    the next assignment; `kept`: what the engine released meanwhile.

    `next_offset`: the first offset not yet taken. `committed`: what was committed last; at first
    where the partition begins, to be committed where nobody has (with `start = "latest"` what
    arrives while no worker runs would be passed over otherwise). `done_before`: ranges beyond the
    start whose outcomes an earlier owner made durable. `known`: answers from the ledger by offset,
    taken out when their item arrives.
    `mean_bytes`: a moving average of what a record holds in memory, a guess until one was
    `measured`. `moved_at`: when its watermark last moved, in the loop's seconds.
    """

    __slots__ = (
        "committed",
        "done_before",
        "holding",
        "kept",
        "known",
        "mean_bytes",
        "measured",
        "moved_at",
        "next_offset",
        "open",
        "partition",
        "task",
    )

    def __init__(self, partition: TopicPartition, start: Committed, task: TaskShell) -> None:
        self.partition = partition
        self.next_offset = start.offset
        self.committed = start
        self.done_before = list(start.beyond)
        self.known: dict[int, bytes] = {}
        self.task = task
        self.open = True
        self.holding = False
        self.kept: list[list[Slot]] = []
        self.mean_bytes: float = FIRST_ESTIMATE_BYTES
        self.measured = False
        self.moved_at = 0.0

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Lane {self.partition.topic}/{self.partition.partition} {state}>"
