"""Which dead letters have been sent again: a value, which a consumer group's offsets hold.

Each dead-letter topic has a consumer group of its own (`group_of`). It commits, per partition, the
offset below which every letter is done, and in the commit's metadata the ranges above it that are
done too (`streams.codec.committed`). Letters that a filter skipped, or that could not be sent, are
not done. Kafka's own tools show and reset this group like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.committed import MAX_BEYOND_BYTES, Committed
from streams.core.ranges import covered, joined, packed_bytes
from streams.errors import StreamsError
from streams.jobs.claim import NOBODY, Claim
from streams.kafka.broker.tansu import refuse_on_embedded
from streams.kafka.client import broker_answer
from streams.kafka.consume.offsets import RETRY_INTERVAL_S, Member, commit, fetch_committed

Read = tuple[int, int, bool]
"""Partition and offset of a record, and whether it is done."""


def group_of(topic: str, into: str | None) -> str:
    """The group whose offsets hold the memory; letters sent into another topic than their own have
    a separate one. ("/" is legal in no topic name.)"""
    return f"streams-dead-{topic}" if into is None else f"streams-dead-{topic}/{into}"


class Memory(NamedTuple):
    """`partitions`: the commit of each; a partition without one has nothing done."""

    partitions: Mapping[int, Committed]

    def has(self, partition: int, offset: int) -> bool:
        committed = self.partitions.get(partition)
        return committed is not None and (
            offset < committed.offset or covered(offset, committed.beyond)
        )

    @property
    def starts(self) -> dict[int, int]:
        """Where to begin in each partition, so that reading covers all letters that are not
        done."""
        return {partition: committed.offset for partition, committed in self.partitions.items()}

    @property
    def fits(self) -> bool:
        """Whether all of it can be committed."""
        return all(
            packed_bytes(committed.offset, committed.beyond) <= MAX_BEYOND_BYTES
            for committed in self.partitions.values()
        )

    def after(self, read: Sequence[Read], next_offsets: dict[int, int]) -> Memory:
        """The memory after these records. They come in offset order, each partition's after those
        that came before. `next_offsets`: how far each partition is read; updated here.
        Offsets between two records hold none (compacted, or a transaction's mark) and are done."""
        fresh: dict[int, list[tuple[int, int]]] = {}
        for partition, offset, done in read:
            first = next_offsets.get(partition, offset)
            next_offsets[partition] = offset + 1
            fresh.setdefault(partition, []).append((first, offset if done else offset - 1))
        partitions = dict(self.partitions)
        for partition, ranges in fresh.items():
            committed = partitions.get(partition) or Committed(ranges[0][0])
            beyond = joined(
                committed.offset, committed.beyond, [(a, b) for a, b in ranges if a <= b]
            )
            offset = committed.offset
            if beyond and beyond[0][0] == offset:
                offset = beyond.pop(0)[1] + 1
            partitions[partition] = Committed(offset, tuple(beyond))
        return Memory(partitions)


class MemoryStore:
    """Reads and commits a `Memory` over a started consumer of the group, which reads no records.
    `claim`: our right to do so; None: on the embedded broker, which keeps offsets, but no metadata,
    and lets several in."""

    def __init__(self, consumer: Any, topic: str, partitions: int, claim: Claim | None) -> None:
        self._consumer = consumer
        self._coordinator = consumer._coordinator
        self._topic = topic
        self._claim = claim
        self._places = [TopicPartition(topic, partition) for partition in range(partitions)]

    async def take(self) -> Memory:
        """The memory, which nobody else changes from now on. Raises StreamsError, BrokerError."""
        if self._claim is not None:
            await self._claim.take(self.read)
        return await self.read()

    async def read(self) -> Memory:
        """The current commits. Raises BrokerError."""
        return await broker_answer(self._read(), self._consumer)

    async def _read(self) -> Memory:
        """Repeats until the coordinator answers. Raises KafkaError."""
        while True:
            try:
                found = await fetch_committed(self._coordinator, self._places)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_INTERVAL_S)
            else:
                return Memory({place.partition: committed for place, committed in found.items()})

    def check_room(self, memory: Memory) -> None:
        """Raises StreamsError unless this can be committed."""
        if self._claim is None and any(each.beyond for each in memory.partitions.values()):
            refuse_on_embedded("commit_metadata", "dead redrive: letters that are passed over")
        if not memory.fits:
            raise StreamsError(
                f"no more can be remembered of {self._topic}: too many letters were passed over one"
                " by one; choose more of them at once, or all"
            )

    async def check_alone(self, memory: Memory) -> None:
        """Raises StreamsError if another process may have committed since this memory was read or
        committed, and BrokerError."""
        if self._claim is not None and self._claim.holds():
            return
        if await self.take() != memory:
            raise StreamsError(
                f"another redrive of {self._topic} is under way; run this one again when it has"
                " ended"
            )

    async def commit(self, memory: Memory, before: Memory) -> None:
        """Commit the changes since `before`, if nobody else has meanwhile. Raises StreamsError,
        BrokerError."""
        changed = {
            place: committed
            for place in self._places
            if (committed := memory.partitions.get(place.partition)) is not None
            and committed != before.partitions.get(place.partition)
        }
        if self._claim is None:
            await self.check_alone(before)
            await self._commit(NOBODY, changed)
            return
        while not await self._commit(self._claim.member, changed):
            if await self.take() != before:
                raise StreamsError(f"another redrive of {self._topic} took over from this one")

    async def _commit(self, member: Member, changed: Mapping[TopicPartition, Committed]) -> bool:
        commits = commit(self._coordinator, member, changed)
        return await broker_answer(commits, self._consumer)
