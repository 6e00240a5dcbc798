"""What leaves in one transaction: parcels for several sink partitions, in the order of `put`; how
they are sent, and what a refusal tells about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTimestampError, KafkaError

from streams.kafka.produce.parcels import (
    REFUSED,
    TOO_LARGE,
    Parcel,
    Record,
    Refusals,
    Sender,
    filled,
    mark_retrieved,
)


class Sent(NamedTuple):
    """A batch that was offered: `records` records for `where`, from number `first` on."""

    where: TopicPartition
    first: int
    records: int
    size: int
    acknowledged: asyncio.Future[Any]

    @property
    def error(self) -> BaseException | None:
        """Why the broker refused it; None: it did not, or has not answered."""
        if not self.acknowledged.done() or self.acknowledged.cancelled():
            return None
        return self.acknowledged.exception()


class HandedBack(NamedTuple):
    """A record that its topic will not take; `error`: why, None: it is too large by itself."""

    topic: str
    error: KafkaError | None


class Group:
    """`parcels`: of one lane, each with its sink partition."""

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
        """The slot and the record with this number (from 0) for this sink partition."""
        for parcel in self.by_where()[where]:
            if number < len(parcel.slots):
                return parcel.slots[number], parcel.records[number]
            number -= len(parcel.slots)
        raise IndexError(number)

    def record_of(self, slot: Any) -> Record:
        """The record of a slot in this group."""
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
        """Give all of it to the producer, for each sink partition in order; adds to `sent`. In a
        transaction no reader sees a batch without the one before, so we wait for none."""
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
        # the next record, its parcel, the number of records before that parcel
        first, number, skipped = 0, 0, 0
        while number < len(parcels):
            batch, count = filled(producer, parcels[number:], first - skipped, refusals)
            if not count:
                raise KafkaError("its lane was closed meanwhile")
            size = batch.size()
            acknowledged = await producer.send_batch(batch, where.topic, partition=where.partition)
            acknowledged.add_done_callback(mark_retrieved)
            sent.append(Sent(where, first, count, size, acknowledged))
            first += count
            while number < len(parcels) and first - skipped >= len(parcels[number].records):
                skipped += len(parcels[number].records)
                number += 1

    def learn(
        self, sent: Sequence[Sent], refusals: Mapping[TopicPartition, Refusals]
    ) -> tuple[dict[Any, HandedBack], bool]:
        """What refused batches tell: the slots whose records will never be taken as they are; and
        whether any refusal was of a kind that we can act on."""
        back: dict[Any, HandedBack] = {}
        understood = False
        now_ms = time.time() * 1000
        for each in sent:
            of, error = refusals[each.where], each.error
            if isinstance(error, TOO_LARGE):
                understood = True
                if not of.refused_size(each.records, each.size):
                    back[self.at(each.where, each.first)[0]] = HandedBack(each.where.topic, None)
            elif isinstance(error, REFUSED):
                understood = True
                if not of.refused_record(each.records):
                    back[self.at(each.where, each.first)[0]] = HandedBack(each.where.topic, error)
            elif isinstance(error, InvalidTimestampError):
                stamp = of.timestamp(self.at(each.where, each.first)[1][3], now_ms)
                understood |= of.refused_timestamp(each.records, stamp, now_ms)
        return back, understood

    def instead_of(self, slot: Any, lane: Any, back: HandedBack) -> Record | None:
        """What its sender gives in place of the slot's record (`Sender`)."""
        record = self.record_of(slot)
        if back.error is None:
            return self.sender.too_large(lane, slot, back.topic, record)
        return self.sender.refused(lane, slot, back.topic, record, back.error)
