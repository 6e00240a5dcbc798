"""Writes a task's outcomes: results to the sink, dead letters beside them; drops leave nothing.

Every outcome can be written (contract section 2): a result too large for the sink is a dead letter
`result_too_large`, one without a key whose sink is compacted is a dead letter `no_key`, one that
the broker refuses for good is a dead letter `refused_by_sink`; a dead letter that is too large
loses its value, then its headers, key and message as far as necessary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from streams.codec.record_size import record_bytes
from streams.codec.results import Encoder
from streams.core.call import Slot
from streams.errors import ItemError
from streams.kafka.produce.parcels import Outlet, Parcel, Record
from streams.worker.partition import Partition

ENCODED_AT_ONCE = 200
"""Outcomes that are encoded in one turn of the loop (about 1 ms)."""

FIRST_RESULT_BYTES = 1000
"""The assumed size of an encoded result before the first one."""

ROUND_SHARE = 0.1
"""Weight of the newest round in the moving average of result sizes."""


@dataclass(slots=True)
class Route:
    """Topics, their partitions, and the limit of a record batch in each, in bytes. The numbers of
    partitions are updated while the task has no partition (`streams.worker.recount`).
    `sink_compacted`: the sink refuses a whole batch for one record without a key."""

    sink: str
    dead_letter: str
    source_partitions: int
    sink_partitions: int
    dead_letter_partitions: int
    sink_bytes: int
    dead_letter_bytes: int
    sink_compacted: bool = False


class Outcomes:
    """Encodes and routes what the engine releases. `result_bytes`: a moving average of the size of
    an encoded result; items reserve it on arrival, so that results count as memory too.

    `delivered(partition, slots)`: called when these outcomes are durable, or leave nothing to
    write.

    Encoding waits for a later turn of the loop: new calls start first, and all that several replies
    release for one partition becomes one list.
    """

    def __init__(
        self,
        encoder: Encoder,
        route: Route,
        sink: Outlet,
        delivered: Callable[[Partition, Sequence[Slot]], None],
    ) -> None:
        self._encoder = encoder
        self._route = route
        self._sink = sink
        self.delivered = delivered
        self._loop = asyncio.get_running_loop()
        self._released: dict[Partition, list[Slot]] = {}
        self._turn: asyncio.Handle | None = None
        self.result_bytes: float = FIRST_RESULT_BYTES

    @property
    def pending(self) -> bool:
        """Whether a released outcome is not with the sink yet."""
        return bool(self._released)

    def release(self, partition: Partition, slots: list[Slot]) -> None:
        """Write the outcomes of these slots soon, after all earlier ones."""
        earlier = self._released.get(partition)
        if earlier is None:
            self._released[partition] = slots
        else:
            earlier += slots
        self._go_on()

    def _go_on(self) -> None:
        if self._turn is None and self._released:
            self._turn = self._loop.call_soon(self._write_some)

    def _write_some(self) -> None:
        self._turn = None
        partition = next(iter(self._released))
        slots = self._released.pop(partition)
        if partition.open:
            if len(slots) > ENCODED_AT_ONCE:
                self._released[partition] = slots[ENCODED_AT_ONCE:]
            dropped = self._write(partition, slots[:ENCODED_AT_ONCE])
            if dropped:
                self.delivered(partition, dropped)
        self._go_on()

    def _write(self, partition: Partition, slots: list[Slot]) -> list[Slot]:
        """Queue the outcomes of these slots for the sink, in order; returns those that leave
        nothing to write."""
        encoded = self._encoder.encode(slots, int(time.time() * 1000))
        records, dead, route = encoded.records, encoded.dead, self._route
        if all(records) and self._all_fit(records):
            self._put(route.sink, route.sink_partitions, Parcel(self, partition, slots, records))  # type: ignore[arg-type]
            return []
        answered: list[Slot] = []
        results: list[Record] = []
        dead_letters: list[tuple[Slot, ItemError]] = []
        dropped: list[Slot] = []
        for index, (slot, record) in enumerate(zip(slots, records, strict=True)):
            if index in dead:
                dead_letters.append((slot, dead[index]))
            elif record is None:
                dropped.append(slot)
            elif route.sink_compacted and record[0] is None:
                dead_letters.append((slot, _no_key()))
            elif record_bytes(*record[:3]) > route.sink_bytes:
                dead_letters.append((slot, _too_large()))
            else:
                answered.append(slot)
                results.append(record)
        if results:
            self._put(route.sink, route.sink_partitions, Parcel(self, partition, answered, results))
        if dead_letters:
            self._put_dead_letters(partition, dead_letters, route.dead_letter_bytes)
        return dropped

    def too_large(
        self, partition: Partition, slot: Slot, topic: str, record: Record
    ) -> Record | None:
        """The broker refused a record for its size, although our count allowed it. A result becomes
        a dead letter (None), a dead letter a smaller one; the same record where nothing is
        smaller."""
        if topic != self._route.dead_letter:
            self._put_dead_letters(partition, [(slot, _too_large())], self._route.dead_letter_bytes)
            return None
        size = record_bytes(*record[:3])
        error = slot.outcome  # of a dead letter: keep the first error; the size is another matter
        if not isinstance(error, ItemError):
            slot.outcome = error = _too_large()
        smaller: Record = self._encoder.dead_letter(
            slot,
            error,
            int(time.time() * 1000),
            limit_bytes=min(self._route.dead_letter_bytes, size) // 2,
        )
        return smaller if record_bytes(*smaller[:3]) < size else record

    def refused(
        self, partition: Partition, slot: Slot, topic: str, record: Record, error: KafkaError
    ) -> Record | None:
        """The broker will never take a record. A result becomes a dead letter (None); for a dead
        letter there is no other outcome."""
        if topic == self._route.dead_letter:
            return record
        dead = [(slot, _refused(record, error))]
        self._put_dead_letters(partition, dead, self._route.dead_letter_bytes)
        return None

    def _all_fit(self, records: Sequence[Any]) -> bool:
        """Whether the sink certainly takes every record; exact sizes are counted only if not."""
        sizes = [len(record[1] or b"") + len(record[0] or b"") for record in records]
        self.result_bytes += ROUND_SHARE * (sum(sizes) / len(sizes) - self.result_bytes)
        limit = self._route.sink_bytes
        if self._route.sink_compacted and any(record[0] is None for record in records):
            return False
        with_headers = (record for record in records if record[2])
        return max(sizes) <= limit // 2 and all(
            record_bytes(*record[:3]) <= limit for record in with_headers
        )

    def _put_dead_letters(
        self, partition: Partition, dead: list[tuple[Slot, ItemError]], limit_bytes: int
    ) -> None:
        now_ms = int(time.time() * 1000)
        slots, records = [], []
        for slot, error in dead:
            slot.outcome = error
            slots.append(slot)
            records.append(self._encoder.dead_letter(slot, error, now_ms, limit_bytes=limit_bytes))
        route = self._route
        self._put(
            route.dead_letter, route.dead_letter_partitions, Parcel(self, partition, slots, records)
        )

    def _put(self, topic: str, partitions: int, parcel: Parcel) -> None:
        """The sink partition is the source partition where counts match, else by key; keyless
        items go to `source partition mod sink partitions` (contract G2)."""
        own = parcel.lane.where.partition
        if partitions == self._route.source_partitions:
            self._sink.put(topic, own, parcel)
            return
        by_partition: dict[int, tuple[list[Any], list[Record]]] = {}
        for slot, record in zip(parcel.slots, parcel.records, strict=True):
            key = record[0]
            partition = own % partitions if key is None else partition_for(key, partitions)
            slots, records = by_partition.setdefault(partition, ([], []))
            slots.append(slot)
            records.append(record)
        for partition, (slots, records) in by_partition.items():
            self._sink.put(topic, partition, Parcel(self, parcel.lane, slots, records))


def partition_for(key: bytes, partitions: int) -> int:
    """Where Kafka's default partitioner puts a key: murmur2, as the Java client."""
    number: int = murmur2(key)
    return (number & 0x7FFFFFFF) % partitions


def _refused(record: Record, error: KafkaError) -> ItemError:
    hint = "; it has no key, which a compacted topic requires" if record[0] is None else ""
    return ItemError("refused_by_sink", f"the sink refuses the record: {error.message}{hint}")


def _no_key() -> ItemError:
    return ItemError("no_key", "the item has no key, and its sink is compacted")


def _too_large() -> ItemError:
    return ItemError("result_too_large", "the result is larger than its topic takes")
