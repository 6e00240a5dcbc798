"""Spreads records over a topic's partitions, no more at a time than may wait for acknowledgement.

Keyless records go round the partitions one by one; keyed ones where Kafka's own partitioner
(murmur2) puts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiokafka import TopicPartition

from streams.errors import BrokerError
from streams.jobs.files.rows import Place, Reject, rejected
from streams.jobs.publish.places import Places
from streams.kafka.client import SILENCE_S
from streams.kafka.produce.job_writer import JobWriter
from streams.kafka.produce.parcels import Record
from streams.kafka.produce.producers import Producers

QUEUED_BYTES = 16 * 1024 * 1024
"""The limit of bytes that wait for acknowledgement; reading stops there."""


NONE_OF = 100
"""So many records refused, and none taken: it is not the records."""

Share = tuple[list[Record], list[tuple[Place, bytes]]]
"""Records of a partition, and by what a refused one is reported."""


class Sending:
    """Publishes to one topic. `on_refused`: gets each record that the topic will never take.
    `sent`, `refused`: records acknowledged and refused so far."""

    def __init__(
        self,
        producers: Producers,
        topic: str,
        partitions: int,
        *,
        on_sent: Callable[[int], None],
        on_refused: Callable[[Reject], None],
    ) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._places = Places(partitions)
        self._next = 0
        self._on_sent = on_sent
        self._on_refused = on_refused
        self._writer = JobWriter(producers, self._explain, self._refused, self._acknowledged)
        self.sent = self.refused = 0

    async def put(
        self, values: Sequence[bytes], keys: Sequence[bytes] | None, places: Sequence[Place]
    ) -> None:
        """Queue records; returns when there is room for more. Raises what sending raised."""
        marks = list(zip(places, values, strict=True))
        shares = self._in_turn(marks) if keys is None else self._by_key(marks, keys)
        for partition, (records, marks) in zip(self._partitions, shares, strict=True):
            if records:
                self._writer.put(partition, records, marks)
        await self._writer.room(QUEUED_BYTES)

    def _in_turn(self, marks: list[tuple[Place, bytes]]) -> list[Share]:
        count, first = len(self._partitions), self._next
        self._next = (first + len(marks)) % count
        parts = [marks[(number - first) % count :: count] for number in range(count)]
        return [([(None, value, (), None) for _, value in part], part) for part in parts]

    def _by_key(self, marks: list[tuple[Place, bytes]], keys: Sequence[bytes]) -> list[Share]:
        shares: list[Share] = [([], []) for _ in self._partitions]
        for key, mark in zip(keys, marks, strict=True):
            records, its_marks = shares[self._places.of(key)]
            records.append((key, mark[1], (), None))
            its_marks.append(mark)
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

    def _refused(self, mark: tuple[Place, bytes], reason: str) -> None:
        self.refused += 1
        if self.refused >= NONE_OF and not self.sent:
            raise BrokerError(f"none of the first {self.refused} records is published: {reason}")
        place, value = mark
        self._on_refused(rejected(place, reason, value))

    def _explain(self, where: TopicPartition, reason: str | None) -> str:
        topic, partition = where
        if reason is None:
            return (
                f"the broker stopped answering: {topic}/{partition} acknowledged nothing for"
                f" {SILENCE_S:g} s; {self.sent} records are published, and some after them may be"
            )
        return f"{topic}/{partition} takes no more records: {reason}; {self.sent} are published"
