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
5. If the broker finds a record too large, or refuses it for good, its owner gives another one for
   its place, or none, or the same one again. A refused timestamp becomes now. A batch refused for
   such a reason is offered again in halves (`Refusals`): its other records stay as they are.
6. Nothing is offered while the owner may not write.
7. Records of a lane that is no longer open are dropped.
8. Only the queue itself says whether there is something to write, never its task: so a put during
   the end of a write is neither overlooked nor left behind.
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
    REFUSED,
    STUBBORN,
    TOO_LARGE,
    Parcel,
    Record,
    Refusals,
    acknowledgement,
    filled,
    mark_retrieved,
)
from streams.kafka.produce.producers import OFFER_INTERVAL_S, Producers

MAY_WRITE_CHECK_S = 0.05


class Owner(Protocol):
    """The policy: what differs between the sink, the ledger and the commands.

    `lookup_timeout_s`: how long the broker may take to say where a partition is; after that the
    batch was not accepted.
    """

    producers: Producers
    lookup_timeout_s: float

    def may_write(self) -> bool:
        """Whether anything may be offered now."""
        ...

    def delivered(self, where: TopicPartition, first: int, parcels: Sequence[Parcel]) -> None:
        """These records are durable, the first of them at offset `first`."""
        ...

    def dropped(self, parcel: Parcel) -> None:
        """These records left the queue unwritten: their lane is closed."""
        ...

    def too_large(self, where: TopicPartition, parcel: Parcel, place: int) -> Record | None:
        """The record at this place is too large by itself. Returns a smaller one; None: it leaves
        the queue; the same one: it is offered again."""
        ...

    def refused(
        self, where: TopicPartition, parcel: Parcel, place: int, error: KafkaError
    ) -> Record | None:
        """The record at this place will never be taken. Returns None: it leaves the queue; the same
        one: it is offered again."""
        ...

    def failed(self, where: TopicPartition, message: str, error: KafkaError) -> None:
        """The broker did not accept records; they are offered again soon. `message` has places for
        topic, partition and error. An error raised here ends the queue."""
        ...

    def silent(self, where: TopicPartition, waited_s: float) -> None:
        """A batch has waited so long for its acknowledgement. An error raised here ends the
        queue."""
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
        self._removed = 0  # records of the first parcel that have left the queue
        self._in_flight = 0  # records behind those that wait for their acknowledgement
        self._refusals = Refusals()
        self._task: asyncio.Task[None] | None = None  # from `put` until nothing is left

    def pending(self) -> int:
        """Records of open lanes; those of closed lanes do not count, in flight or not."""
        parcels = self._parcels
        count = sum(len(parcel.records) for parcel in parcels if parcel.lane.open)
        return count - self._removed if parcels and parcels[0].lane.open else count

    def put(self, parcel: Parcel) -> None:
        """Write these records behind all earlier ones."""
        if parcel.records:
            self._parcels.append(parcel)
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def clear(self) -> None:
        """Drop everything. Only for an owner whose queue has `ended`: nothing is in flight then."""
        self._drop_first(lambda _: True)

    async def stop(self) -> None:
        """Write nothing more, whatever is in the queue."""
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
        except BaseException as error:  # any kind: a panic in a Rust extension is a BaseException
            self._task, self._in_flight = None, 0
            self._owner.ended(self, error)
        else:
            # in the same step that finds the queue empty: the next put starts a new task
            self._task = None

    async def _write(self) -> None:
        """Offer one batch."""
        while not self._owner.may_write():  # noqa: ASYNC110  it is time that tells
            await asyncio.sleep(MAY_WRITE_CHECK_S)
        producer = await self._owner.producers.current()
        self._drop_first(lambda parcel: not parcel.lane.open)
        batch, count = filled(producer, self._parcels, self._removed, self._refusals)
        if count:
            await self._send(producer, batch, count)

    # -- sending -------------------------------------------------------------------------------

    async def _send(self, producer: AIOKafkaProducer, batch: Any, count: int) -> None:
        """Afterwards the batch has left the queue, or the queue offers its records again."""
        try:
            with self._owner.producers.offering(producer):
                acknowledged = await self._offer(producer, batch)
        except KafkaError as error:
            # else another queue has retired it
            if await self._owner.producers.current() is producer:
                await self._again("%s/%s does not accept records: %r", error)
            return
        self._in_flight = count
        quota = self._owner.producers.quota
        try:
            written = await acknowledgement(acknowledged, self._silent, quota)
        except KafkaError as error:
            self._in_flight = 0
            await self._refused(error, count, batch.size())
            tell = partial(self._owner.failed, self.where, "%s/%s has no new producer yet: %r")
            await self._owner.producers.renew(producer, tell)
        else:
            self._in_flight = 0
            self._deliver(count, written.offset)

    async def _offer(self, producer: AIOKafkaProducer, batch: Any) -> asyncio.Future[Any]:
        topic, partition = self.where
        within_s = self._owner.lookup_timeout_s + self._owner.producers.quota.left_s
        try:
            async with asyncio.timeout(within_s):
                if partition not in await producer.partitions_for(topic):
                    await producer.client.force_metadata_update()
                    if partition not in await producer.partitions_for(topic):
                        raise UnknownTopicOrPartitionError(f"{topic}/{partition}")
        except TimeoutError:
            raise KafkaTimeoutError(f"where {topic}/{partition} is") from None
        acknowledged: asyncio.Future[Any] = await producer.send_batch(
            batch, topic, partition=partition
        )
        # Where the owner stops first, nobody waits for it.
        acknowledged.add_done_callback(mark_retrieved)
        return acknowledged

    def _silent(self, waited_s: float) -> None:
        self._drop_closed()
        self._owner.silent(self.where, waited_s)

    async def _again(self, message: str, error: KafkaError) -> None:
        """Tell the owner, and wait before the next offer."""
        self._owner.failed(self.where, message, error)
        self._drop_closed()
        await asyncio.sleep(OFFER_INTERVAL_S)

    # -- what was refused ----------------------------------------------------------------------

    async def _refused(self, error: KafkaError, count: int, size: int) -> None:
        """The acknowledgement failed: learn from it, or wait."""
        if isinstance(error, InvalidTimestampError):
            if not self._refused_timestamp(count):
                await self._again("%s/%s refuses the time of this computer: %r", error)
        elif isinstance(error, TOO_LARGE):
            if not self._refusals.refused_size(count, size) and not self._hand_back():
                await self._again("%s/%s refuses even small records: %r", error)
        elif isinstance(error, REFUSED):
            if not self._refusals.refused_record(count) and not self._hand_back(error):
                await self._again(STUBBORN, error)
        else:
            await self._again("records for %s/%s are sent again: %r", error)

    def _refused_timestamp(self, count: int) -> bool:
        now_ms = time.time() * 1000
        sent = self._refusals.timestamp(self._parcels[0].records[self._removed][3], now_ms)
        return self._refusals.refused_timestamp(count, sent, now_ms)

    def _hand_back(self, error: KafkaError | None = None) -> bool:
        """The first unacknowledged record will not be taken; `error`: why, None: it is too large by
        itself. False: there is no other one, and the record stays where it is."""
        parcel, place = self._parcels[0], self._removed
        if not parcel.lane.open:
            return True  # it is dropped before the next offer
        if error is None:
            instead = self._owner.too_large(self.where, parcel, place)
        else:
            instead = self._owner.refused(self.where, parcel, place, error)
        if instead is parcel.records[place]:
            return False
        if instead is None:
            self._advance(1)
        else:
            records = [*parcel.records[:place], instead, *parcel.records[place + 1 :]]
            self._parcels[0] = parcel._replace(records=records)
        return True

    # -- leaving the queue ---------------------------------------------------------------------

    def _deliver(self, count: int, first: int) -> None:
        """The first `count` records are durable."""
        parcels = []
        while count:
            parcels.append(self._remove(count))
            count -= len(parcels[-1].records)
        self._owner.delivered(self.where, first, parcels)

    def _remove(self, count: int | None = None) -> Parcel:
        """Remove the rest of the first parcel, at most `count` records."""
        parcel, first = self._parcels[0], self._removed
        end = len(parcel.records) if count is None else first + count
        if first or end < len(parcel.records):
            slots, records = parcel.slots[first:end], parcel.records[first:end]
            parcel = parcel._replace(slots=slots, records=records)
        self._advance(len(parcel.records))
        return parcel

    def _advance(self, count: int) -> None:
        self._removed += count
        self._refusals.passed(count)
        if self._removed == len(self._parcels[0].records):
            self._parcels.popleft()
            self._removed = 0

    def _drop_first(self, should_drop: Callable[[Parcel], bool]) -> None:
        """Drop these parcels as far as they stand in front, whether started or not."""
        while self._parcels and should_drop(self._parcels[0]):
            self._owner.dropped(self._remove())

    def _drop_closed(self) -> None:
        """Drop the parcels of closed lanes, except those with records in the batch in flight."""
        remaining: deque[Parcel] = deque()
        started = self._removed + self._in_flight
        for parcel in self._parcels:
            if started > 0 or parcel.lane.open:
                remaining.append(parcel)
            else:
                self._owner.dropped(parcel)
            started -= len(parcel.records)
        self._parcels = remaining
