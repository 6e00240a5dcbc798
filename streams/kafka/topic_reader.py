"""Reads a topic from its beginning to where it ended when reading began, partition by partition.

Who reads says which partition comes next, so that two topics can be read side by side. No consumer
group; records of aborted transactions do not show.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from streams.kafka.client import LEADER_WITHIN_S, broker_answer, client_arguments, connected
from streams.kafka.extents import Extent
from streams.kafka.tail import (
    Start,
    assign,
    high_watermarks,
    is_embedded,
    partitions_of,
    reading_consumer,
)

if TYPE_CHECKING:
    from streams.settings import KafkaSettings

RECORDS = 1000
FETCH_BYTES = 8_000_000
"""What the partitions together may have waiting, about."""
MIN_PARTITION_BYTES, MAX_PARTITION_BYTES = 65_536, 1_048_576
POLL_S = 0.5
EARLIEST = Start("earliest")


class TopicReader:
    """`extents`: where each partition begins and ends; nothing behind its end is read."""

    def __init__(self, topic: str, consumer: Any, extents: dict[int, Extent]) -> None:
        from streams.kafka.consume.taking import Taking

        self.topic = topic
        self.extents = extents
        self._consumer = consumer
        self._taking = Taking(consumer)
        # aiokafka fetches nothing from a node for 0.1 s while some of its partitions wait.
        consumer._fetcher._prefetch_backoff = 0.0

    def __len__(self) -> int:
        """Offsets in all, which is the number of records or somewhat more."""
        return sum(extent.end - extent.first for extent in self.extents.values())

    def has(self, partition: int) -> bool:
        """Whether records of it are here already, so that `take` need not wait."""
        from aiokafka import TopicPartition

        return TopicPartition(self.topic, partition) in self._taking

    async def take(self, partition: int) -> list[Any]:
        """The next records of the partition, in order, as their batches have them (`offset`,
        `timestamp`, `timestamp_type`, `key`, `value`, `headers`); empty: that was its end. Raises
        BrokerError, also for a record that cannot be read."""
        from aiokafka import TopicPartition

        where, end = TopicPartition(self.topic, partition), self.extents[partition].end
        while await broker_answer(self._consumer.position(where), self._consumer) < end:
            records = await self._taking.take_from(where, RECORDS, POLL_S)
            if records and records[-1].offset >= end - 1:
                # A fetch of a partition without records is answered late, and keeps others waiting.
                self._consumer.pause(where)
            while records and records[-1].offset >= end:
                records.pop()
            if records:
                return records
        return []


@asynccontextmanager
async def reading(kafka: KafkaSettings, topic: str) -> AsyncIterator[TopicReader]:
    """Raises BrokerError: no such topic, no answer, no permission."""
    from streams.kafka.admin import Admin

    servers = kafka.bootstrap_servers
    arguments = {**client_arguments(kafka), "request_timeout_ms": int(LEADER_WITHIN_S * 1000)}
    admin = Admin(**arguments)
    async with connected(admin, servers):
        partitions = await partitions_of(admin, topic)
        embedded = await broker_answer(is_embedded(admin), admin)
    share = FETCH_BYTES // len(partitions)
    size = min(max(share, MIN_PARTITION_BYTES), MAX_PARTITION_BYTES)
    consumer = reading_consumer(arguments, max_partition_fetch_bytes=size)
    async with connected(consumer, servers):
        ends = await broker_answer(assign(consumer, topic, partitions, EARLIEST), consumer)
        first = {place: await consumer.position(place) for place in ends}
        if embedded:
            ends = await broker_answer(high_watermarks(consumer, EARLIEST), consumer)
        extents = {tp.partition: Extent(first[tp], max(first[tp], ends[tp])) for tp in ends}
        yield TopicReader(topic, consumer, extents)
