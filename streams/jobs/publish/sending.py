"""Spreads records over a topic's partitions, no more at a time than may wait for acknowledgement.

Keyless records go round the partitions one by one; keyed ones where Kafka's own partitioner
(murmur2) puts them.
"""

from __future__ import annotations

from collections.abc import Callable

from aiokafka import TopicPartition

from streams.jobs.publish.places import Places
from streams.kafka.client import SILENCE_S
from streams.kafka.produce.job_writer import JobWriter
from streams.kafka.produce.parcels import Record
from streams.kafka.produce.producers import Producers

QUEUED_BYTES = 16 * 1024 * 1024
"""The limit of bytes that wait for acknowledgement; reading stops there."""


class Sending:
    """Publishes to one topic. `sent`: records acknowledged so far."""

    def __init__(
        self,
        producers: Producers,
        topic: str,
        partitions: int,
        *,
        on_sent: Callable[[int], None],
    ) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._places = Places(partitions)
        self._next = 0
        self._on_sent = on_sent
        self._writer = JobWriter(producers, self._explain, self._acknowledged)
        self.sent = 0

    async def put(self, values: list[bytes], keys: list[bytes] | None) -> None:
        """Queue records; returns when there is room for more. Raises what sending raised."""
        shares = self._in_turn(values) if keys is None else self._by_key(values, keys)
        for partition, share in zip(self._partitions, shares, strict=True):
            if share:
                self._writer.put(partition, share)
        await self._writer.room(QUEUED_BYTES)

    def _in_turn(self, values: list[bytes]) -> list[list[Record]]:
        count, first = len(self._partitions), self._next
        self._next = (first + len(values)) % count
        return [
            [(None, value, (), None) for value in values[(number - first) % count :: count]]
            for number in range(count)
        ]

    def _by_key(self, values: list[bytes], keys: list[bytes]) -> list[list[Record]]:
        shares: list[list[Record]] = [[] for _ in self._partitions]
        for key, value in zip(keys, values, strict=True):
            shares[self._places.of(key)].append((key, value, (), None))
        return shares

    async def finish(self) -> None:
        """Return when everything is acknowledged. Raises what sending raised."""
        await self._writer.finish()

    async def stop(self) -> None:
        """Send nothing more."""
        await self._writer.stop()

    def _acknowledged(self, records: int) -> None:
        self.sent += records
        self._on_sent(records)

    def _explain(self, where: TopicPartition, reason: str | None) -> str:
        topic, partition = where
        if reason is None:
            return (
                f"the broker stopped answering: {topic}/{partition} acknowledged nothing for"
                f" {SILENCE_S:g} s; {self.sent} records are published, and some after them may be"
            )
        return f"{topic}/{partition} takes no more records: {reason}; {self.sent} are published"
