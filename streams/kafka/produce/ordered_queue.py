"""Writes what is put into it to one partition, in order, until it is acknowledged.

Rules of this file:
1. A record leaves the queue only when the broker acknowledged it. Whatever fails in between, the
   same records are offered again in the same order, unless the owner ends the queue by raising.
2. One batch of a partition is unacknowledged at a time. Pipelined sends break the order when a
   broker pauses (facts measured on aiokafka 0.14.0). Batches of up to BATCH_BYTES make up for it.
3. `send_batch` itself raising means "not accepted": offer again, same producer. The
   *acknowledgement* failing leaves a hole in the idempotent producer's sequence: that producer is
   retired (its other batches still finish) and the queue goes on with a new one from the first
   unacknowledged record.
4. An idempotent batch that meets a retriable error is repeated by aiokafka for ever under the same
   sequence number, so a frozen broker or a lost leader makes neither duplicates nor gaps. It is
   never given up (`producers.py`); an owner who cannot wait so long raises in `silent`.
5. A record that the broker finds too large is handed back to its owner, who has a smaller one for
   its place, or none, or insists on it. A refused timestamp becomes now. A batch that was refused
   for either is offered again in halves (`Refusals`), so that its other records stay as they are.
6. Nothing is offered while the owner may not write.
7. Records of a lane that is no longer open are dropped.
8. Whether there is something to write is asked of the queue itself, never of its task: what is put
   while a write ends is neither overlooked nor left behind.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    UnknownTopicOrPartitionError,
)

from streams.kafka.produce.parcels import (
    TOO_LARGE,
    Parcel,
    Record,
    Refusals,
    acknowledgement,
    fill,
    retrieved,
)
from streams.kafka.produce.producers import OFFER_AGAIN_S, Producers

ASK_AGAIN_S = 0.05


class Owner(Protocol):
    """The policy: what differs between the sink, the ledger and the commands.

    `known_within_s`: how long the broker may take to say where a partition is; after that the
    batch was not accepted.
    """

    producers: Producers
    known_within_s: float

    def may_write(self) -> bool:
        """Whether anything may be offered now."""
        ...

    def delivered(self, where: TopicPartition, first: int, parcels: Sequence[Parcel]) -> None:
        """These records are durable, the first of them at this offset."""
        ...

    def dropped(self, parcel: Parcel) -> None:
        """These records left the queue unwritten: their lane is not open."""
        ...

    def too_large(self, where: TopicPartition, parcel: Parcel, place: int) -> Record | None:
        """The record at this place is too large by itself. Returns a smaller one; None: it leaves
        the queue; the same one: it is offered again."""
        ...

    def failed(self, where: TopicPartition, message: str, error: KafkaError) -> None:
        """Records were not taken, and are offered again soon. `message` has places for topic,
        partition and error. What this raises ends the queue."""
        ...

    def silent(self, where: TopicPartition, waited_s: float) -> None:
        """A batch waits for its acknowledgement for so long. What this raises ends the queue."""
        ...

    def ended(self, queue: OrderedQueue, error: BaseException) -> None:
        """The queue writes nothing more until something is put again."""
        ...


class OrderedQueue:
    """The queue of one partition."""

    def __init__(self, owner: Owner, where: TopicPartition) -> None:
        self.where = where
        self._owner = owner
        self._parcels: deque[Parcel] = deque()
        self._settled = 0  # records of the first parcel that have left the queue
        self._under_way = 0  # records behind those that wait for their acknowledgement
        self._refusals = Refusals()
        self._task: asyncio.Task[None] | None = None  # from `put` until nothing is left

    def pending(self) -> int:
        """Records of open lanes; nobody waits for those of others, under way or not."""
        parcels = self._parcels
        count = sum(len(parcel.records) for parcel in parcels if parcel.lane.open)
        return count - self._settled if parcels and parcels[0].lane.open else count

    def put(self, parcel: Parcel) -> None:
        """Write these records behind all that were put before."""
        if parcel.records:
            self._parcels.append(parcel)
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def clear(self) -> None:
        """Drop everything. Only for an owner whose queue has `ended`: nothing is under way then."""
        self._drop_first(lambda _: True)

    async def stop(self) -> None:
        """Write nothing more, for good, whatever is queued."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # everything put in this turn of the loop joins the batch
            while self._parcels:
                await self._write()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # any kind: a Rust extension's panic is no Exception
            self._task, self._under_way = None, 0
            self._owner.ended(self, error)
        else:
            self._task = None  # in the step that found nothing left: what is put next begins anew

    async def _write(self) -> None:
        """Offer one batch."""
        while not self._owner.may_write():  # noqa: ASYNC110  it is time that tells
            await asyncio.sleep(ASK_AGAIN_S)
        producer = await self._owner.producers.current()
        self._drop_first(lambda parcel: not parcel.lane.open)
        batch = producer.create_batch()
        taken = fill(batch, self._parcels, self._settled, self._refusals)
        if taken:
            await self._send(producer, batch, taken)

    # -- sending -------------------------------------------------------------------------------

    async def _send(self, producer: AIOKafkaProducer, batch: Any, taken: int) -> None:
        """Afterwards the batch has left the queue, or what the queue holds is to be offered."""
        try:
            with self._owner.producers.offering(producer):
                acknowledged = await self._offer(producer, batch)
        except KafkaError as error:
            if await self._owner.producers.current() is producer:  # else it was retired meanwhile
                await self._again("%s/%s does not accept records: %r", error)
            return
        self._under_way = taken
        try:
            written = await acknowledgement(acknowledged, self._silent)
        except KafkaError as error:
            self._under_way = 0
            await self._refused(error, taken, batch.size())
            tell = partial(self._owner.failed, self.where, "%s/%s has no new producer yet: %r")
            await self._owner.producers.renew(producer, tell)
        else:
            self._under_way = 0
            self._settle(taken, written.offset)

    async def _offer(self, producer: AIOKafkaProducer, batch: Any) -> asyncio.Future[Any]:
        topic, partition = self.where
        try:
            async with asyncio.timeout(self._owner.known_within_s):
                if partition not in await producer.partitions_for(topic):
                    await producer.client.force_metadata_update()
                    if partition not in await producer.partitions_for(topic):
                        raise UnknownTopicOrPartitionError(f"{topic}/{partition}")
        except TimeoutError:
            raise KafkaTimeoutError(f"where {topic}/{partition} is") from None
        acknowledged: asyncio.Future[Any] = await producer.send_batch(
            batch, topic, partition=partition
        )
        acknowledged.add_done_callback(retrieved)  # nobody waits for it where the owner stops first
        return acknowledged

    def _silent(self, waited_s: float) -> None:
        self._drop_closed()
        self._owner.silent(self.where, waited_s)

    async def _again(self, message: str, error: KafkaError) -> None:
        """Tell the owner, and wait before the next offer."""
        self._owner.failed(self.where, message, error)
        self._drop_closed()
        await asyncio.sleep(OFFER_AGAIN_S)

    # -- what was refused ----------------------------------------------------------------------

    async def _refused(self, error: KafkaError, taken: int, size: int) -> None:
        """The acknowledgement failed: learn from it, or wait."""
        if isinstance(error, InvalidTimestampError):
            if not self._refused_timestamp(taken):
                await self._again("%s/%s refuses the time of this computer: %r", error)
        elif isinstance(error, TOO_LARGE):
            if not self._refusals.refused_size(taken, size) and not self._hand_back():
                await self._again("%s/%s refuses even small records: %r", error)
        else:
            await self._again("records for %s/%s are sent again: %r", error)

    def _refused_timestamp(self, taken: int) -> bool:
        now_ms = time.time() * 1000
        first = self._parcels[0].records[self._settled][3]
        sent = self._refusals.timestamp(first, now_ms)
        return self._refusals.refused_timestamp(taken, sent, now_ms)

    def _hand_back(self) -> bool:
        """The first unacknowledged record is too large by itself. False: there is no smaller one,
        and it stays where it is."""
        parcel, place = self._parcels[0], self._settled
        if not parcel.lane.open:
            return True  # it is dropped before the next offer
        record = parcel.records[place]
        instead = self._owner.too_large(self.where, parcel, place)
        if instead is record:
            return False
        if instead is None:
            self._advance(1)
        else:
            records = [*parcel.records[:place], instead, *parcel.records[place + 1 :]]
            self._parcels[0] = parcel._replace(records=records)
        return True

    # -- leaving the queue ---------------------------------------------------------------------

    def _settle(self, taken: int, first: int) -> None:
        """The first `taken` records are durable."""
        parcels = []
        while taken:
            parcel = self._rest(taken)
            parcels.append(parcel)
            taken -= len(parcel.records)
            self._advance(len(parcel.records))
        self._owner.delivered(self.where, first, parcels)

    def _rest(self, count: int | None = None) -> Parcel:
        """Of the first parcel what has not left the queue, at most so many records."""
        parcel, first = self._parcels[0], self._settled
        end = len(parcel.records) if count is None else first + count
        if not first and end >= len(parcel.records):
            return parcel
        slots, records = parcel.slots[first:end], parcel.records[first:end]
        return parcel._replace(slots=slots, records=records)

    def _advance(self, count: int) -> None:
        self._settled += count
        self._refusals.passed(count)
        if self._settled == len(self._parcels[0].records):
            self._parcels.popleft()
            self._settled = 0

    def _drop_first(self, unwanted: Callable[[Parcel], bool]) -> None:
        """Let go of these parcels as far as they stand in front, begun or not."""
        while self._parcels and unwanted(self._parcels[0]):
            self._owner.dropped(self._rest())
            self._advance(len(self._parcels[0].records) - self._settled)

    def _drop_closed(self) -> None:
        """Let go of what is of a closed lane, but for what a batch under way has begun."""
        left: deque[Parcel] = deque()
        begun = self._settled + self._under_way
        for parcel in self._parcels:
            if begun > 0 or parcel.lane.open:
                left.append(parcel)
            else:
                self._owner.dropped(parcel)
            begun -= len(parcel.records)
        self._parcels = left


class Changes:
    """Wakes whoever waits for something that a queue's owner hears of."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Return when this is true; it is asked after each change."""
        while not true():
            self._changed.clear()
            await self._changed.wait()
