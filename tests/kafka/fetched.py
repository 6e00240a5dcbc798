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


def record(offset: int) -> Any:
    """As much of a record as the reader looks at."""
    return SimpleNamespace(offset=offset)


class Fetched:
    """Records of one partition, as `FetchResult` takes them. An exception among them is raised in
    its place, as for a batch that cannot be read."""

    def __init__(
        self, offsets: Iterable[int | Exception], fetch_offset: int, end: int | None
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._offsets = iter(offsets)
        self._end = end

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        offset = next(self._offsets, None)
        if offset is None:
            self.next_fetch_offset = self._end or self.next_fetch_offset
            raise StopIteration
        if isinstance(offset, Exception):
            raise offset
        self.next_fetch_offset = offset + 1
        return record(offset)


class OfflineFetcher(Fetcher):
    """`fetched_records` and the waiters are aiokafka's; nothing is asked of a broker."""

    def __init__(self, subscription: SubscriptionState) -> None:
        self._subscriptions = subscription
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._records = collections.OrderedDict()
        self._wait_consume_future = None
        self._fetch_waiters: set[asyncio.Future[None]] = set()
        self._fetch_task = self._loop.create_future()  # which never ends


class OfflineConsumer:
    """What the reader uses of an `AIOKafkaConsumer`, with partitions assigned."""

    def __init__(self, *partitions: TopicPartition) -> None:
        self._subscription = SubscriptionState()
        self._subscription.assign_from_user(partitions)
        self._fetcher = OfflineFetcher(self._subscription)
        self._coordinator = SimpleNamespace(group_id="worker", check_errors=lambda: None)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._subscription.assigned_partitions())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._fetcher.seek_to(partition, offset)

    def fetched(
        self,
        partition: TopicPartition,
        offsets: Iterable[int | Exception],
        *,
        end: int | None = None,
    ) -> None:
        """A fetch from the current position brought these. `end`: where the next one begins, by
        default behind the last record."""
        assignment = self._subscription.subscription.assignment
        position = assignment.state_value(partition)._position
        self._fetcher._records[partition] = FetchResult(
            partition,
            assignment=assignment,
            partition_records=Fetched(offsets, position, end),
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
