"""The queue and the one unacknowledged batch of one sink partition; the rules are in `sink.py`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from streams.kafka.refusals import Refusals
from streams.results import record_bytes

logger = logging.getLogger(__name__)

OFFER_AGAIN_S = 0.5
COMPLAIN_AFTER_S = 5.0
SAID_AGAIN_AFTER_S = 60.0

NO_HEADERS: list[tuple[str, bytes | None]] = []

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int | None]
"""Key, value, headers, timestamp in ms (None: now)."""


class Parcel(NamedTuple):
    """Records of one lane for one sink partition, in order; `slots` are their owners' marks."""

    lane: Any
    slots: Sequence[Any]
    records: Sequence[Record]


class Owner(Protocol):
    """What a writer asks of its sink."""

    defect: Callable[[BaseException], None]

    async def producer(self) -> AIOKafkaProducer: ...
    async def renew(self, failed: Any) -> None: ...
    def settled(self, lane: Any, slots: Sequence[Any]) -> None: ...
    def moved(self) -> None: ...
    def too_large(self, lane: Any, slot: Any, topic: str) -> None: ...


class PartitionWriter:
    """Writes what is put into it, in order, until it is acknowledged."""

    def __init__(self, sink: Owner, where: TopicPartition) -> None:
        self._sink = sink
        self._where = where
        self._parcels: deque[Parcel] = deque()
        self._pending = 0
        self._settled = 0  # records of the first parcel that are durable
        self._refusals = Refusals()
        self._said_at: dict[str, float] = {}
        self.task: asyncio.Task[None] | None = None

    def pending(self) -> int:
        return self._pending

    def put(self, parcel: Parcel) -> None:
        self._parcels.append(parcel)
        self._pending += len(parcel.slots)
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
        batch, taken = producer.create_batch(), 0
        append, first = batch.append, self._settled
        known = self._refusals if self._refusals.any else None
        now_ms = time.time() * 1000
        for parcel in self._parcels:
            if not parcel.lane.open:
                break  # dropped when it comes to the front
            for key, value, headers, timestamp in islice(parcel.records, first, None):
                headers = list(headers) if headers else NO_HEADERS  # the builder takes lists only
                if known is not None:
                    timestamp = known.timestamp(timestamp, now_ms)
                    size = batch.size() + record_bytes(key, value, headers) if taken else 0
                    if not known.may_join(taken, size):
                        return batch, taken
                if not append(key=key, value=value, timestamp=timestamp, headers=headers):
                    return batch, taken
                taken += 1
            first = 0
        return batch, taken

    # -- sending -------------------------------------------------------------------------------

    async def _send(self, producer: AIOKafkaProducer, batch: Any, taken: int) -> bool:
        """True: all of the batch is durable. False: offer again what the queue holds."""
        try:
            acknowledged = await self._offer(producer, batch)
        except KafkaError as error:
            if await self._sink.producer() is producer:  # else it was retired meanwhile
                self._complain("%s/%s does not accept results: %r", error)
                await asyncio.sleep(OFFER_AGAIN_S)
            return False
        try:
            await self._acknowledgement(acknowledged)
        except InvalidTimestampError as error:
            if not self._refused_timestamp(taken):
                self._complain("%s/%s refuses the time of this computer: %r", error)
                await asyncio.sleep(OFFER_AGAIN_S)
        except MessageSizeTooLargeError:
            if not self._refusals.refused_size(taken, batch.size()):
                self._hand_back()
        except KafkaError as error:
            self._complain("results for %s/%s are sent again: %r", error)
            await asyncio.sleep(OFFER_AGAIN_S)
        else:
            return True
        await self._sink.renew(producer)
        return False

    async def _offer(self, producer: AIOKafkaProducer, batch: Any) -> asyncio.Future[Any]:
        topic, partition = self._where
        if partition not in await producer.partitions_for(topic):
            await producer.client.force_metadata_update()
            if partition not in await producer.partitions_for(topic):
                raise UnknownTopicOrPartitionError(f"{topic}/{partition}")
        acknowledged: asyncio.Future[Any] = await producer.send_batch(
            batch, topic, partition=partition
        )
        acknowledged.add_done_callback(_retrieved)  # nobody waits for it where the sink stops first
        return acknowledged

    async def _acknowledgement(self, acknowledged: asyncio.Future[Any]) -> None:
        waited = 0.0
        while True:
            done, _ = await asyncio.wait((acknowledged,), timeout=COMPLAIN_AFTER_S)
            if done:
                acknowledged.result()
                return
            waited += COMPLAIN_AFTER_S
            if waited.is_integer() and (waited == COMPLAIN_AFTER_S or waited % 60 == 0):
                logger.error(
                    "%s/%s has not acknowledged results for %.0f s; the task waits. Check the "
                    "topic and the brokers",
                    *self._where,
                    waited,
                )

    def _complain(self, message: str, error: KafkaError) -> None:
        """Once in a minute: the same goes wrong twice a second, in every partition."""
        now = time.monotonic()
        if now - self._said_at.get(message, -SAID_AGAIN_AFTER_S) >= SAID_AGAIN_AFTER_S:
            self._said_at[message] = now
            logger.warning(message, *self._where, error)

    def _refused_timestamp(self, taken: int) -> bool:
        now_ms = time.time() * 1000
        first = self._parcels[0].records[self._settled][3]
        sent = self._refusals.timestamp(first, now_ms)
        return self._refusals.refused_timestamp(taken, sent, now_ms)

    def _hand_back(self) -> None:
        """The first unacknowledged record is too large by itself."""
        parcel, slot = self._parcels[0], self._parcels[0].slots[self._settled]
        self._advance(1)
        if parcel.lane.open:
            self._sink.too_large(parcel.lane, slot, self._where.topic)

    # -- settling ------------------------------------------------------------------------------

    def _settle(self, taken: int) -> None:
        """The first `taken` records are durable."""
        while taken:
            parcel, first = self._parcels[0], self._settled
            count = min(taken, len(parcel.slots) - first)
            taken -= count
            self._advance(count)
            self._sink.settled(parcel.lane, parcel.slots[first : first + count])

    def _advance(self, count: int) -> None:
        self._settled += count
        self._pending -= count
        self._refusals.passed(count)
        if self._settled == len(self._parcels[0].slots):
            self._pop()

    def _pop(self) -> None:
        left = len(self._parcels.popleft().slots) - self._settled
        self._pending -= left
        self._refusals.passed(left)
        self._settled = 0


def _retrieved(acknowledged: asyncio.Future[Any]) -> None:
    if not acknowledged.cancelled():
        acknowledged.exception()
