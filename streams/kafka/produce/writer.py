"""The queue and the one unacknowledged batch of one sink partition; the rules are in `sink.py`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
)

from streams.kafka.produce.parcels import (
    OFFER_AGAIN_S,
    TOO_LARGE,
    Complaints,
    Parcel,
    acknowledgement,
    fill,
    retrieved,
)
from streams.kafka.produce.refusals import Refusals

KNOWN_WITHIN_S = 40.0
"""How long to wait for the broker to say where a partition is; after that it is asked again."""


class Owner(Protocol):
    """What a writer asks of its sink."""

    defect: Callable[[BaseException], None]

    async def permission(self) -> None: ...
    async def producer(self) -> AIOKafkaProducer: ...
    async def renew(self, failed: Any) -> None: ...
    def moved(self) -> None: ...
    def offering(self, producer: Any) -> AbstractContextManager[None]: ...


class PartitionWriter:
    """Writes what is put into it, in order, until it is acknowledged."""

    def __init__(self, sink: Owner, where: TopicPartition) -> None:
        self._sink = sink
        self._where = where
        self._parcels: deque[Parcel] = deque()
        self._settled = 0  # records of the first parcel that are durable
        self._refusals = Refusals()
        self._complaints = Complaints()
        self.task: asyncio.Task[None] | None = None

    def pending(self) -> int:
        """Records of open lanes; nobody waits for those of others, under way or not."""
        parcels = self._parcels
        count = sum(len(parcel.slots) for parcel in parcels if parcel.lane.open)
        return count - self._settled if parcels and parcels[0].lane.open else count

    def put(self, parcel: Parcel) -> None:
        self._parcels.append(parcel)
        if self.task is None:
            self._begin()

    def _begin(self) -> None:
        self.task = asyncio.ensure_future(self._write())
        self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            self._sink.defect(error)
        elif self._parcels:
            self._begin()

    async def _write(self) -> None:
        await asyncio.sleep(0)  # let everything released in this turn of the loop join the batch
        while self._parcels:
            await self._sink.permission()
            producer = await self._sink.producer()
            batch, taken = self._fill(producer)
            if taken and await self._send(producer, batch, taken):
                self._settle(taken)
            self._sink.moved()

    # -- filling -------------------------------------------------------------------------------

    def _fill(self, producer: AIOKafkaProducer) -> tuple[Any, int]:
        """Append queued records to a new batch until it is full; returns it and their number."""
        while self._parcels and not self._parcels[0].lane.open:
            self._pop()
        batch = producer.create_batch()
        return batch, fill(batch, self._parcels, self._settled, self._refusals)

    # -- sending -------------------------------------------------------------------------------

    async def _send(self, producer: AIOKafkaProducer, batch: Any, taken: int) -> bool:
        """True: all of the batch is durable. False: offer again what the queue holds."""
        try:
            with self._sink.offering(producer):
                acknowledged = await self._offer(producer, batch)
        except KafkaError as error:
            if await self._sink.producer() is producer:  # else it was retired meanwhile
                self._complaints.say("%s/%s does not accept results: %r", self._where, error)
                await asyncio.sleep(OFFER_AGAIN_S)
            return False
        try:
            await acknowledgement(acknowledged, self._where)
        except InvalidTimestampError as error:
            if not self._refused_timestamp(taken):
                self._complaints.say(
                    "%s/%s refuses the time of this computer: %r", self._where, error
                )
                await asyncio.sleep(OFFER_AGAIN_S)
        except TOO_LARGE as error:
            if not self._refusals.refused_size(taken, batch.size()) and not self._hand_back():
                self._complaints.say("%s/%s refuses even small records: %r", self._where, error)
                await asyncio.sleep(OFFER_AGAIN_S)
        except KafkaError as error:
            self._complaints.say("results for %s/%s are sent again: %r", self._where, error)
            await asyncio.sleep(OFFER_AGAIN_S)
        else:
            return True
        await self._sink.renew(producer)
        return False

    async def _offer(self, producer: AIOKafkaProducer, batch: Any) -> asyncio.Future[Any]:
        topic, partition = self._where
        try:
            async with asyncio.timeout(KNOWN_WITHIN_S):
                if partition not in await producer.partitions_for(topic):
                    await producer.client.force_metadata_update()
                    if partition not in await producer.partitions_for(topic):
                        raise UnknownTopicOrPartitionError(f"{topic}/{partition}")
        except TimeoutError:
            raise KafkaTimeoutError(f"{topic}/{partition} is not known") from None
        acknowledged: asyncio.Future[Any] = await producer.send_batch(
            batch, topic, partition=partition
        )
        acknowledged.add_done_callback(retrieved)  # nobody waits for it where the sink stops first
        return acknowledged

    def _refused_timestamp(self, taken: int) -> bool:
        now_ms = time.time() * 1000
        first = self._parcels[0].records[self._settled][3]
        sent = self._refusals.timestamp(first, now_ms)
        return self._refusals.refused_timestamp(taken, sent, now_ms)

    def _hand_back(self) -> bool:
        """The first unacknowledged record is too large by itself. False: there is no smaller one,
        and it stays where it is."""
        (sender, lane, slots, records), place = self._parcels[0], self._settled
        record = records[place]
        instead = None
        if lane.open:
            instead = sender.too_large(lane, slots[place], self._where.topic, record)
        if instead is record:
            return False
        if instead is None:
            self._advance(1)
        else:
            smaller = [*records[:place], instead, *records[place + 1 :]]
            self._parcels[0] = Parcel(sender, lane, slots, smaller)
        return True

    # -- settling ------------------------------------------------------------------------------

    def _settle(self, taken: int) -> None:
        """The first `taken` records are durable."""
        while taken:
            parcel, first = self._parcels[0], self._settled
            count = min(taken, len(parcel.slots) - first)
            taken -= count
            self._advance(count)
            parcel.sender.delivered(parcel.lane, parcel.slots[first : first + count])

    def _advance(self, count: int) -> None:
        self._settled += count
        self._refusals.passed(count)
        if self._settled == len(self._parcels[0].slots):
            self._pop()

    def _pop(self) -> None:
        left = len(self._parcels.popleft().slots) - self._settled
        self._refusals.passed(left)
        self._settled = 0
