"""Which dead letters have been sent again: kept as a consumer group's offsets, a value here.

A group of its own for each dead-letter topic (`group_of`) has committed, per partition, the offset
below which every letter has been sent again, and in the commit's metadata the ranges above it that
have been too (`streams.codec.committed`): letters that a filter passed over, or that could not be
sent, stay to be done. Kafka's own tools show and reset it like any other group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.codec.committed import MAX_BEYOND_BYTES, Committed
from streams.core.ranges import covered, joined, packed_bytes

Read = tuple[int, int, bool]
"""Partition and offset of a record that was read, and whether it is done."""


def group_of(topic: str, into: str | None) -> str:
    """The group that remembers; letters sent into another topic than their own are remembered
    apart. ("/" stands in no topic's name.)"""
    return f"streams-dead-{topic}" if into is None else f"streams-dead-{topic}/{into}"


class Memory(NamedTuple):
    """`partitions`: what is committed of each; one that is not named has nothing done."""

    partitions: Mapping[int, Committed]

    def has(self, partition: int, offset: int) -> bool:
        known = self.partitions.get(partition)
        return known is not None and (offset < known.offset or covered(offset, known.beyond))

    @property
    def starts(self) -> dict[int, int]:
        """Where reading has to begin in each partition to meet all that is not done."""
        return {partition: known.offset for partition, known in self.partitions.items()}

    @property
    def fits(self) -> bool:
        """Whether all of it can be committed."""
        return all(
            packed_bytes(known.offset, known.beyond) <= MAX_BEYOND_BYTES
            for known in self.partitions.values()
        )

    def after(self, read: Sequence[Read], reached: dict[int, int]) -> Memory:
        """What is done once these records are. They come in offset order, each partition's after
        those that came before. `reached`: how far each partition has been read, brought up to date.
        Offsets between two records hold none (compacted, or a transaction's mark): nothing is to be
        done about them."""
        fresh: dict[int, list[tuple[int, int]]] = {}
        for partition, offset, done in read:
            first = reached.get(partition, offset)
            reached[partition] = offset + 1
            fresh.setdefault(partition, []).append((first, offset if done else offset - 1))
        partitions = dict(self.partitions)
        for partition, ranges in fresh.items():
            known = partitions.get(partition) or Committed(ranges[0][0])
            beyond = joined(known.offset, known.beyond, [(a, b) for a, b in ranges if a <= b])
            offset = known.offset
            if beyond and beyond[0][0] == offset:
                offset = beyond.pop(0)[1] + 1
            partitions[partition] = Committed(offset, tuple(beyond))
        return Memory(partitions)
