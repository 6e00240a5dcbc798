"""Keeps what aiokafka has fetched and no round has taken within a limit, and takes records from it.

Rules of this file:
1. A partition is fetched only while not too much waits already; one whose lane has no room only
   while less than half of that waits, so that its records are here as soon as it has room.
2. What exceeds the limit is dropped by a seek to the same place and fetched again later: first the
   waiting records of lanes without room, then open batches. So a batch may be inflated more than
   once. Otherwise a batch that inflates to more than the limit would stay in memory, or block every
   other partition until its last record is taken.
3. Batches are opened one at a time, and one stays open only if there is room to inflate another of
   that size, which is in memory twice for that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult

from streams.kafka.consume.fetched_records import UnreadableError
from streams.kafka.consume.open_batches import NOTHING, Share, Waiting, drop, take, waiting

FORGETTING = 0.99
"""The factor by which each take reduces the remembered size of the largest batch."""


class Prefetch:
    """Works on the fetcher of `consumer`, in its thread. `inflated_bytes`: the size of the largest
    recent batch after decompression. `limit`: bytes that may wait; 0: none before `limit` says
    so."""

    def __init__(self, consumer: AIOKafkaConsumer, limit: int = 0) -> None:
        self._consumer = consumer
        self._paused: set[TopicPartition] = set()
        self._bytes = 0
        self._limit = limit
        self.inflated_bytes = 0

    @property
    def _fetched(self) -> Mapping[TopicPartition, Any]:
        """Results of fetches, and errors, as aiokafka stores them."""
        fetched: Mapping[TopicPartition, Any] = self._consumer._fetcher._records
        return fetched

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._fetched

    def begin(self, partition: TopicPartition, offset: int) -> None:
        """Fetch this partition from here on."""
        self._consumer.seek(partition, offset)
        self._consumer.resume(partition)
        self._paused.discard(partition)

    def limit(
        self, positions: Mapping[TopicPartition, int], room: Set[TopicPartition], limit: int
    ) -> None:
        """Apply rules 1 and 2 to these partitions. `room`: those whose lane has room. `limit`:
        bytes that may wait."""
        fetched = self._fetched
        waits = {tp: waiting(fetched[tp]) for tp in positions if tp in fetched}
        self._limit, self._bytes = limit, sum(each.bytes for each in waits.values())
        if self._bytes > limit:
            for partition, wait in sorted(waits.items(), key=lambda each: _last(each, room)):
                if wait.inflated or (wait.bytes and partition not in room):
                    self._give_back(partition, positions[partition], wait)
                if self._bytes <= limit:
                    break
        self._age_waiting(fetched[tp] for tp in waits if tp in fetched and tp not in room)
        full = self._bytes > limit
        for partition in positions:
            # aiokafka throws away what a paused partition has waiting when it is taken.
            idle = partition not in room and self._bytes > limit // 2
            self._pause(partition, idle or (full and partition not in fetched))

    async def take(self, partition: TopicPartition, share: Share) -> tuple[list[Any], int]:
        """Waiting records of a partition, and their bytes. Raises the error of its fetch, or
        UnreadableError where its next record cannot be read; then it is fetched again."""
        fetcher = self._consumer._fetcher
        fetched = fetcher._records[partition]
        if not isinstance(fetched, FetchResult):
            await fetcher.fetched_records([partition])  # raises
            return [], 0
        before = waiting(fetched)
        try:
            records, size = take(fetched, share)
        except UnreadableError:
            self._bytes -= before.bytes
            del fetcher._records[partition]
            fetcher._notify(fetcher._wait_consume_future)
            drop(fetched)
            raise
        after = waiting(fetched)
        self.inflated_bytes = max(after.inflated, int(self.inflated_bytes * FORGETTING))
        self._bytes += after.bytes - before.bytes
        if after is NOTHING:
            del fetcher._records[partition]
            fetcher._notify(fetcher._wait_consume_future)
        elif after.inflated and self._bytes + 2 * after.inflated > self._limit:
            self._give_back(partition, fetched._partition_records.next_fetch_offset, after)
        return records, size

    def _age_waiting(self, fetched: Iterable[Any]) -> None:
        """aiokafka fetches nothing more from a node while some of its records wait that are younger
        than 0.1 s; records that wait for room may wait long."""
        found = False
        for each in fetched:
            found |= each._backoff > 0
            each._backoff = 0.0
        if found:
            self._consumer._fetcher._notify(self._consumer._fetcher._wait_consume_future)

    def _give_back(self, partition: TopicPartition, position: int, wait: Waiting) -> None:
        fetched = self._fetched[partition]
        self._consumer.seek(partition, position)
        self._bytes -= wait.bytes
        drop(fetched)

    def _pause(self, partition: TopicPartition, pause: bool) -> None:
        if pause and partition not in self._paused:
            self._paused.add(partition)
            self._consumer.pause(partition)
        elif not pause and partition in self._paused:
            self._paused.discard(partition)
            self._consumer.resume(partition)


def _last(wait: tuple[TopicPartition, Waiting], room: Set[TopicPartition]) -> tuple[bool, int]:
    """The order of what goes back: first lanes without room, the largest first."""
    partition, (size, _) = wait
    return partition in room, -size
