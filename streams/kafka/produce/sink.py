"""Writes outcomes to Kafka: one ordered writer per sink partition, one batch unacknowledged.

Rules of this file:
1. A record leaves its writer's queue only when the broker acknowledged it. Whatever fails in
   between, the same records are offered again in the same order.
2. `send_batch` itself raising means "not accepted": offer again, same producer. The
   *acknowledgement* failing leaves a hole in the idempotent producer's sequence: that producer is
   retired (its other batches still finish) and the writer goes on with a new one from the first
   unacknowledged record.
3. An idempotent batch that meets a retriable error is repeated by aiokafka for ever under the same
   sequence number, so a frozen broker or a lost leader makes neither duplicates nor gaps. Its time
   to live, which aiokafka applies where a partition has no leader, is taken from it: a batch that
   was written before the leader fell would be written again by another producer.
4. A record that the broker finds too large is handed back to its sender (`Sender.too_large`), which
   gives it another outcome. A refused timestamp becomes now. A batch that was refused for either is
   offered again in halves (`refusals.py`), so that its other records stay as they are.
5. Nothing is offered while this worker may have been given up by its group (`lease.py`).
6. Records of a lane that is no longer open are dropped: its next owner will write them.

Why one unacknowledged batch: pipelined sends break the order when a broker pauses (facts measured
on aiokafka 0.14.0). Batches of up to BATCH_BYTES make up for it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, UnknownError

from streams.kafka.client import forgive_failed_batches, pace_metadata
from streams.kafka.produce.parcels import BATCH_BYTES, OFFER_AGAIN_S, Parcel
from streams.kafka.produce.writer import PartitionWriter

logger = logging.getLogger(__name__)


ASK_AGAIN_S = 0.05
STOP_WITHIN_S = 2.0
"""How long a stop waits for what is under way: a batch without a leader would never end."""


class Sink:
    """All writers of a worker over one producer.

    `may_write()`: whether what the worker owns is still its own (`consume/lease.py`); nothing is
    offered while it is not.
    `on_defect(error)`: a writer failed in a way that no rule covers; it writes nothing more.
    """

    def __init__(
        self,
        producer_keywords: Mapping[str, Any],
        *,
        on_defect: Callable[[BaseException], None],
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_write = may_write
        self._keywords = dict(producer_keywords)
        self._keywords.setdefault("acks", "all")
        self.defect = on_defect
        self._writers: dict[TopicPartition, PartitionWriter] = {}
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        self._offers: Counter[Any] = Counter()
        self._unused: dict[Any, asyncio.Event] = {}

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
        if self.idempotent:
            producer._message_accumulator._batch_ttl = math.inf
        pace_metadata(producer.client)
        forgive_failed_batches(producer)
        return producer

    async def look_again(self) -> None:
        """Ask the broker for the topics' partitions anew. Raises KafkaError."""
        await (await self.producer()).client.force_metadata_update()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic had when the broker was last asked. Raises KafkaError."""
        return len(await (await self.producer()).partitions_for(topic))

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        """Queue records behind what this sink partition already has to write."""
        where = TopicPartition(topic, partition)
        writer = self._writers.get(where)
        if writer is None:
            writer = self._writers[where] = PartitionWriter(self, where)
        writer.put(parcel)

    def pending(self) -> int:
        """Records of open lanes that are queued or unacknowledged."""
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
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_WITHIN_S)

    async def permission(self) -> None:
        """Return when this worker may write."""
        while not self._may_write():  # noqa: ASYNC110  it is time that tells
            await asyncio.sleep(ASK_AGAIN_S)

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
            self._retire(failed)

    @contextmanager
    def offering(self, producer: Any) -> Iterator[None]:
        """A writer is giving the producer a batch: until it has it, the producer is not stopped.
        (aiokafka would leave the writer waiting for metadata that nobody fetches any more.)"""
        self._offers[producer] += 1
        try:
            yield
        finally:
            self._offers[producer] -= 1
            if not self._offers[producer]:
                del self._offers[producer]
                if producer in self._unused:
                    self._unused.pop(producer).set()

    async def _stop_unused(self, producer: AIOKafkaProducer) -> None:
        if self._offers[producer]:
            unused = self._unused[producer] = asyncio.Event()
            await unused.wait()
        await producer.stop()

    def _retire(self, failed: AIOKafkaProducer) -> None:
        retired = asyncio.ensure_future(self._stop_unused(failed))
        self._retired.add(retired)
        retired.add_done_callback(self._retired.discard)

    def moved(self) -> None:
        self._settled.set()
