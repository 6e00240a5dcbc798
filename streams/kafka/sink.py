"""Writes outcomes to Kafka: one ordered writer per sink partition, one batch unacknowledged.

Rules of this file:
1. A record leaves its writer's queue only when the broker acknowledged it. Whatever fails in
   between, the same records are offered again in the same order.
2. `send_batch` itself raising means "not accepted": offer again, same producer. The
   *acknowledgement* failing leaves a hole in the idempotent producer's sequence: that producer is
   retired (its other batches still finish) and the writer goes on with a new one from the first
   unacknowledged record.
3. An idempotent batch that meets a retriable error is repeated by aiokafka for ever under the same
   sequence number, so a frozen broker or a lost leader makes neither duplicates nor gaps.
4. A record that the broker finds too large is handed back to its owner (`on_too_large`), which
   gives it another outcome. A refused timestamp becomes now.
5. Records of a lane that is no longer open are dropped: its next owner will write them.

Why one unacknowledged batch: pipelined sends break the order when a broker pauses (facts measured
on aiokafka 0.14.0). Batches of up to BATCH_BYTES make up for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    UnknownError,
)

logger = logging.getLogger(__name__)

BATCH_BYTES = 256 * 1024
OFFER_AGAIN_S = 0.5
COMPLAIN_AFTER_S = 5.0

NO_HEADERS: list[tuple[str, bytes | None]] = []

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int | None]
"""Key, value, headers, timestamp in ms (None: now)."""


class Parcel(NamedTuple):
    """Records of one lane for one sink partition, in order; `slots` are their owners' marks."""

    lane: Any
    slots: Sequence[Any]
    records: Sequence[Record]


class Sink:
    """All writers of a worker over one producer.

    `on_delivered(lane, slots)`: these are durable; called per lane in order.
    `on_too_large(lane, slot, topic)`: the broker refused this record for its size.
    `on_defect(error)`: a writer failed in a way that no rule covers; it writes nothing more.
    """

    def __init__(
        self,
        producer_keywords: Mapping[str, Any],
        *,
        on_delivered: Callable[[Any, Sequence[Any]], None],
        on_too_large: Callable[[Any, Any, str], None],
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._keywords = dict(producer_keywords)
        self._keywords.setdefault("acks", "all")
        self._on_delivered = on_delivered
        self._on_too_large = on_too_large
        self.defect = on_defect
        self._writers: dict[TopicPartition, PartitionWriter] = {}
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Connect. Raises KafkaError where no broker answers.

        A broker that gives out no producer ids (the embedded one) gets a plain producer: what it
        acknowledges late may be written twice.
        """
        try:
            self._producer = await self._connect()
        except UnknownError:
            if not self.idempotent:
                raise
            logger.warning("this broker has no idempotent producers: for trying out only")
            self._keywords["enable_idempotence"] = False
            self._producer = await self._connect()

    @property
    def idempotent(self) -> bool:
        """Whether a batch that is sent again is written once; known after `start`."""
        return bool(self._keywords.get("enable_idempotence"))

    async def _connect(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(max_batch_size=BATCH_BYTES, linger_ms=0, **self._keywords)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has now."""
        assert self._producer is not None
        return len(await self._producer.partitions_for(topic))

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        """Queue records behind what this sink partition already has to write."""
        where = TopicPartition(topic, partition)
        writer = self._writers.get(where)
        if writer is None:
            writer = self._writers[where] = PartitionWriter(self, where)
        writer.put(parcel)

    def pending(self) -> int:
        """Records that are queued or unacknowledged."""
        return sum(writer.pending() for writer in self._writers.values())

    async def flush(self) -> None:
        """Return when every record of an open lane is acknowledged."""
        while self.pending():
            self._settled.clear()
            await self._settled.wait()

    async def stop(self) -> None:
        """Close without waiting for what is queued."""
        tasks = [writer.task for writer in self._writers.values() if writer.task is not None]
        for task in [*tasks, *self._retired]:
            task.cancel()
        await asyncio.gather(*tasks, *self._retired, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def producer(self) -> AIOKafkaProducer:
        """The producer in use, also while another writer is renewing it."""
        async with self._renewing:
            assert self._producer is not None
            return self._producer

    async def renew(self, failed: Any) -> None:
        """Retire this producer, unless another writer already did."""
        async with self._renewing:
            if self._producer is not failed:
                return
            while True:
                try:
                    self._producer = await self._connect()
                    break
                except KafkaError as error:
                    logger.warning("no new producer yet: %s", error)
                    await asyncio.sleep(OFFER_AGAIN_S)
            retired = asyncio.ensure_future(failed.stop())
            self._retired.add(retired)
            retired.add_done_callback(self._retired.discard)

    def settled(self, lane: Any, slots: Sequence[Any]) -> None:
        self._on_delivered(lane, slots)

    def moved(self) -> None:
        self._settled.set()

    def too_large(self, lane: Any, slot: Any, topic: str) -> None:
        self._on_too_large(lane, slot, topic)


class PartitionWriter:
    """The queue and the one unacknowledged batch of one sink partition."""

    def __init__(self, sink: Sink, where: TopicPartition) -> None:
        self._sink = sink
        self._where = where
        self._parcels: deque[Parcel] = deque()
        self._pending = 0
        self._settled = 0  # records of the first parcel that are durable
        self._now_from: int | None = None  # timestamps above this become now; None: keep all
        self._most: int | None = None  # records in a batch; None: as many as fit
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

    def _fill(self, producer: AIOKafkaProducer) -> tuple[Any, int]:
        """Append queued records to a new batch until it is full; returns it and their number."""
        while self._parcels and not self._parcels[0].lane.open:
            self._pop()
        batch, taken = producer.create_batch(), 0
        append, most, first = batch.append, self._most, self._settled
        for parcel in self._parcels:
            if not parcel.lane.open:
                break  # dropped when it comes to the front
            for key, value, headers, timestamp in islice(parcel.records, first, None):
                headers = list(headers) if headers else NO_HEADERS  # the builder takes lists only
                if self._now_from is not None and (timestamp or 0) > self._now_from:
                    timestamp = None
                if taken == most or not append(
                    key=key, value=value, timestamp=timestamp, headers=headers
                ):
                    return batch, taken
                taken += 1
            first = 0
        return batch, taken

    async def _send(self, producer: AIOKafkaProducer, batch: Any, taken: int) -> bool:
        topic, partition = self._where
        try:
            acknowledged = await producer.send_batch(batch, topic, partition=partition)
        except KafkaError as error:
            logger.warning("%s/%s does not accept results: %s", topic, partition, error)
            await asyncio.sleep(OFFER_AGAIN_S)
            return False
        try:
            await self._acknowledgement(acknowledged)
        except InvalidTimestampError:
            self._now_from = int(time.time() * 1000)
            await self._sink.renew(producer)
            return False
        except MessageSizeTooLargeError:
            self._shrink(taken)
            await self._sink.renew(producer)
            return False
        except KafkaError as error:
            logger.warning("results for %s/%s are sent again: %r", topic, partition, error)
            await self._sink.renew(producer)
            await asyncio.sleep(OFFER_AGAIN_S)
            return False
        return True

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

    def _shrink(self, taken: int) -> None:
        """The broker refused the size of a batch: offer half as many, then give the record back."""
        if taken > 1:
            self._most = taken // 2
            return
        parcel, slot = self._parcels[0], self._parcels[0].slots[self._settled]
        self._advance(1)
        self._sink.too_large(parcel.lane, slot, self._where.topic)

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
        if self._settled == len(self._parcels[0].slots):
            self._pop()

    def _pop(self) -> None:
        self._pending -= len(self._parcels.popleft().slots) - self._settled
        self._settled = 0
