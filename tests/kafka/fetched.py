"""aiokafka's own fetcher and subscription without the network: a test says what was fetched."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from streams.kafka.consume.fetched_records import FetchedPartition, FetchedRecords


def record(offset: int, size: int = 0) -> Any:
    """As much of a record as the reader looks at; `size`: bytes of its value."""
    return SimpleNamespace(offset=offset, key=None, value=bytes(size), headers=())


def zstd_batch(first: int, count: int, size: int) -> bytes:
    """A compressed batch of that many records with values of `size` bytes, all the same."""
    builder = DefaultRecordBatchBuilder(
        2, DefaultRecordBatch.CODEC_ZSTD, 0, -1, -1, 0, count * (size + 100)
    )
    for n in range(count):
        assert builder.append(n, 0, None, bytes(size), []) is not None
    raw = builder.build()
    raw[:8] = first.to_bytes(8, "big")  # the broker gives offsets; the checksum leaves them out
    return bytes(raw)


class Fetched:
    """Records of one partition, as `open_batches.take` takes them. An exception among them is
    raised in its place, as for a batch that cannot be read."""

    def __init__(
        self,
        offsets: Iterable[int | Exception],
        fetch_offset: int,
        end: int | None,
        size: int = 0,
        fetched_bytes: int = 0,
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._records = SimpleNamespace(size_in_bytes=lambda: fetched_bytes, opened=None)
        self._records_iterator: Any = self._unpack_records(offsets, end, size)

    def _unpack_records(
        self, offsets: Iterable[int | Exception], end: int | None, size: int
    ) -> Iterator[Any]:
        for offset in offsets:
            if isinstance(offset, Exception):
                raise offset
            self.next_fetch_offset = offset + 1
            yield record(offset, size)
        self.next_fetch_offset = end or self.next_fetch_offset


class OfflineFetcher(Fetcher):
    """`fetched_records` and the waiters are aiokafka's; nothing is asked of a broker."""

    def __init__(self, subscription: SubscriptionState) -> None:
        self._subscriptions = subscription
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._records = collections.OrderedDict()
        self._wait_consume_future = None
        self._prefetch_backoff = 0.1
        self._fetch_waiters: set[asyncio.Future[None]] = set()
        self._fetch_task = self._loop.create_future()  # which never ends


class OfflineConsumer:
    """What the reader uses of an `AIOKafkaConsumer`, with partitions assigned."""

    def __init__(self, *partitions: TopicPartition) -> None:
        self._subscription = SubscriptionState()
        self._subscription.assign_from_user(partitions)
        self._fetcher = OfflineFetcher(self._subscription)
        self._coordinator = SimpleNamespace(group_id="worker", check_errors=lambda: None)
        self._client = SimpleNamespace(send=None)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._subscription.assigned_partitions())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._fetcher.seek_to(partition, offset)

    def pause(self, partition: TopicPartition) -> None:
        self._subscription.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._subscription.resume(partition)

    def is_fetched(self, partition: TopicPartition) -> bool:
        """Whether aiokafka would ask the broker for it now."""
        paused = partition in self._subscription.paused_partitions()
        return not paused and partition not in self._fetcher._records

    def has_waiting(self, partition: TopicPartition) -> bool:
        """Whether something of it was fetched and not taken."""
        return partition in self._fetcher._records

    def fetched(
        self,
        partition: TopicPartition,
        offsets: Iterable[int | Exception],
        *,
        end: int | None = None,
        size: int = 0,
        fetched_bytes: int = 0,
    ) -> None:
        """A fetch from the current position brought these. `end`: where the next one begins, by
        default behind the last record. `size`: of each value. `fetched_bytes`: of the fetch."""
        position = self._position(partition)
        self._put(partition, Fetched(offsets, position, end, size, fetched_bytes))

    def fetched_batches(self, partition: TopicPartition, raw: bytes) -> None:
        """A fetch from the current position brought these bytes, as Kafka has them."""
        records = FetchedPartition(
            partition, FetchedRecords(raw), [], self._position(partition), None, None, True, 1
        )
        self._put(partition, records)

    def _position(self, partition: TopicPartition) -> int:
        position: int = self._subscription.subscription.assignment.state_value(partition)._position
        return position

    def _put(self, partition: TopicPartition, partition_records: Any) -> None:
        self._fetcher._records[partition] = FetchResult(
            partition,
            assignment=self._subscription.subscription.assignment,
            partition_records=partition_records,
            backoff=0,
        )
        self._wake()

    def refused(self, partition: TopicPartition, error: Exception) -> None:
        """A fetch was answered with an error."""
        self._fetcher._records[partition] = FetchError(error=error, backoff=0)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._fetcher._fetch_waiters:
            self._fetcher._notify(waiter)
