"""Takes what a consumer without a group has fetched, up to a record that cannot be read.

aiokafka's `getmany` loses what it took of other partitions, and of the same one, when it comes to
such a record.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from streams.codec.records import BrokenValue
from streams.errors import BrokerError
from streams.kafka.consume.fetched_records import UnreadableError
from streams.kafka.consume.open_batches import Share
from streams.kafka.consume.prefetch import Prefetch
from streams.kafka.consume.refused_fetches import report_refused_fetches
from streams.kafka.nodes import entry_of
from streams.kafka.remedies import may_not_read
from streams.model import Headers

MAX_RECORDS = 2000
MAX_BYTES = 16_000_000


class PlacedRecord(NamedTuple):
    """A record, and where it is."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Taking:
    """The consumer's partitions are assigned, and their positions set."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        report_refused_fetches(consumer)
        self._fetcher = consumer._fetcher
        self._entry = entry_of(consumer)
        self._prefetch = Prefetch(consumer, limit=8 * MAX_BYTES)
        self._error: BrokerError | None = None

    def __contains__(self, partition: TopicPartition) -> bool:
        """Whether something of it waits to be taken."""
        return partition in self._prefetch

    async def take(self, limit: int | None, within_s: float) -> list[PlacedRecord]:
        """At most `limit` records (None: as many as there are), those of a partition in order;
        empty if none came within `within_s`. Raises BrokerError where a partition cannot be read;
        what was taken before comes first."""
        waiter = self._fetcher._create_fetch_waiter()
        records = await self._waiting(limit)
        if not records and self._error is None:
            await asyncio.wait((waiter,), timeout=within_s)
            records = await self._waiting(limit)
        waiter.cancel()
        if not records and self._error is not None:
            raise self._error
        return records

    async def take_from(self, partition: TopicPartition, limit: int, within_s: float) -> list[Any]:
        """The same of one partition: records as their batches have them, without its name."""
        waiter = self._fetcher._create_fetch_waiter()
        records = await self._batch_records(partition, limit)
        if not records and self._error is None:
            await asyncio.wait((waiter,), timeout=within_s)
            records = await self._batch_records(partition, limit)
        waiter.cancel()
        if not records and self._error is not None:
            raise self._error
        return records

    async def _waiting(self, limit: int | None) -> list[PlacedRecord]:
        limit = MAX_RECORDS if limit is None else min(limit, MAX_RECORDS)
        found: list[PlacedRecord] = []
        for partition in list(self._fetcher._records):
            if len(found) >= limit or self._error is not None:
                break
            found += await self._of(partition, limit - len(found))
        return found

    async def _of(self, partition: TopicPartition, limit: int) -> list[PlacedRecord]:
        return [_placed(partition, each) for each in await self._batch_records(partition, limit)]

    async def _batch_records(self, partition: TopicPartition, limit: int) -> list[Any]:
        if partition not in self._prefetch:
            return []
        try:
            records, _ = await self._prefetch.take(partition, Share(limit, MAX_BYTES))
        except UnreadableError as error:
            self._error = error
            return []
        except TopicAuthorizationFailedError:
            self._error = BrokerError(may_not_read(partition.topic, self._entry))
            return []
        for number, record in enumerate(records):
            if isinstance(record.value, BrokenValue):
                self._error = UnreadableError(partition, record.offset, record.value.problem)
                del records[number:]
                break
        return records


def _placed(where: TopicPartition, record: Any) -> PlacedRecord:
    # fmt: off
    return PlacedRecord(where.topic, where.partition, record.offset, record.timestamp, record.key,
                        record.value, tuple(record.headers))
    # fmt: on
