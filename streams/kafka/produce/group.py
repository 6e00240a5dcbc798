"""What leaves in one transaction: parcels for several sink partitions, in the order in which they
were put; how they are sent, and what their refusals tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTimestampError, KafkaError

from streams.kafka.produce.parcels import (
    TOO_LARGE,
    Parcel,
    Record,
    Refusals,
    Sender,
    fill,
    retrieved,
)


class Sent(NamedTuple):
    """A batch that was offered: records `first` to `first + taken` of those for `where`."""

    where: TopicPartition
    first: int
    taken: int
    size: int
    acknowledged: asyncio.Future[Any]

    @property
    def error(self) -> BaseException | None:
        """Why it was refused; None: it was not, or nobody has answered."""
        if not self.acknowledged.done() or self.acknowledged.cancelled():
            return None
        return self.acknowledged.exception()


class Group:
    """`parcels`: of one lane, with where each goes."""

    def __init__(self, parcels: Sequence[tuple[TopicPartition, Parcel]]) -> None:
        self.parcels = parcels

    def __bool__(self) -> bool:
        return bool(self.parcels)

    def __len__(self) -> int:
        return sum(len(parcel.slots) for _, parcel in self.parcels)

    @property
    def lane(self) -> Any:
        return self.parcels[0][1].lane

    @property
    def sender(self) -> Sender:
        sender: Sender = self.parcels[0][1].sender
        return sender

    @property
    def slots(self) -> set[Any]:
        return {slot for _, parcel in self.parcels for slot in parcel.slots}

    def by_where(self) -> Mapping[TopicPartition, list[Parcel]]:
        """The parcels of each sink partition, in order."""
        found: dict[TopicPartition, list[Parcel]] = {}
        for where, parcel in self.parcels:
            found.setdefault(where, []).append(parcel)
        return found

    def at(self, where: TopicPartition, number: int) -> tuple[Any, Record]:
        """The slot and the record that is number so many (from 0) for this sink partition."""
        for parcel in self.by_where()[where]:
            if number < len(parcel.slots):
                return parcel.slots[number], parcel.records[number]
            number -= len(parcel.slots)
        raise IndexError(number)

    def record_of(self, slot: Any) -> Record:
        """The record that a slot has here."""
        return next(
            record
            for _, parcel in self.parcels
            for each, record in zip(parcel.slots, parcel.records, strict=True)
            if each is slot
        )

    def with_instead(self, slot: Any, record: Record | None) -> Group:
        """The group with another record for this slot; None: without it."""
        parcels = []
        for where, parcel in self.parcels:
            pairs = zip(parcel.slots, parcel.records, strict=True)
            left = [
                (each, record if each is slot else old)
                for each, old in pairs
                if each is not slot or record is not None
            ]
            if left:
                slots, records = zip(*left, strict=True)
                parcels.append((where, parcel._replace(slots=slots, records=records)))
        return Group(parcels)

    # -- sending -------------------------------------------------------------------------------

    async def send(
        self,
        producer: AIOKafkaProducer,
        refusals: Mapping[TopicPartition, Refusals],
        sent: list[Sent],
    ) -> None:
        """Give all of it to the producer, each sink partition's in order; `sent` is added to.
        Within a transaction nobody sees one batch without the one before, so none is waited for."""
        for where, parcels in self.by_where().items():
            await self._send_to(producer, where, parcels, refusals[where], sent)

    async def _send_to(
        self,
        producer: AIOKafkaProducer,
        where: TopicPartition,
        parcels: list[Parcel],
        refusals: Refusals,
        sent: list[Sent],
    ) -> None:
        first, number, skipped = 0, 0, 0  # the next record, its parcel, records before that parcel
        while number < len(parcels):
            batch = producer.create_batch()
            taken = fill(batch, parcels[number:], first - skipped, refusals)
            if not taken:
                raise KafkaError("its lane was closed meanwhile")
            size = batch.size()
            acknowledged = await producer.send_batch(batch, where.topic, partition=where.partition)
            acknowledged.add_done_callback(retrieved)
            sent.append(Sent(where, first, taken, size, acknowledged))
            first += taken
            while number < len(parcels) and first - skipped >= len(parcels[number].records):
                skipped += len(parcels[number].records)
                number += 1

    def learn(
        self, sent: Sequence[Sent], refusals: Mapping[TopicPartition, Refusals]
    ) -> tuple[dict[Any, str], bool]:
        """What the refused batches say of their records: the slots whose records are too large by
        themselves, with their topics; and whether there was anything to learn."""
        too_large: dict[Any, str] = {}
        understood = False
        now_ms = time.time() * 1000
        for each in sent:
            of, error = refusals[each.where], each.error
            if isinstance(error, TOO_LARGE):
                understood = True
                if not of.refused_size(each.taken, each.size):
                    too_large[self.at(each.where, each.first)[0]] = each.where.topic
            elif isinstance(error, InvalidTimestampError):
                stamp = of.timestamp(self.at(each.where, each.first)[1][3], now_ms)
                understood |= of.refused_timestamp(each.taken, stamp, now_ms)
        return too_large, understood
