"""Writes and reads the ledger's topics; `streams.codec.answers` defines the records.

Rules of this file:
1. Only the ledger's own next batch waits for the ledger: it never delays results, even if it
   cannot be written. It is written outside of any transaction, since a paid call stays paid
   whatever happens to its results.
2. Entries stay in the queue until the broker has them. Those that it did not take are dropped once
   their items are settled; every entry is offered once at least, since settled is not committed
   yet. The queue takes at most `room_bytes`. A record may be in the ledger twice; that does no
   harm.
3. A failure is logged once, and its end once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.answers import Entry
from streams.kafka.extents import Extent, whole
from streams.kafka.produce.ordered_queue import OrderedQueue
from streams.kafka.produce.parcels import Parcel, Record
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.waiting import Changes

logger = logging.getLogger(__name__)

SILENCE_S = 10.0
"""After so long without an acknowledgement the ledger counts as failing; its batch waits on."""

STOP_WITHIN_S = 1.0
FETCH_BYTES = 8 * 1024 * 1024
MAX_READ_RECORDS = 2000


class LedgerLane(NamedTuple):
    """The lane of a call's entries for one ledger partition. `highest`: of their items' offsets.
    `failures`: of the partition before they were queued."""

    writer: LedgerWriter
    where: TopicPartition
    highest: int
    failures: int

    @property
    def open(self) -> bool:
        """False if the ledger has failed since and every item is settled: these entries are not
        needed any more."""
        return not self.writer.is_obsolete(self)


class LedgerWriter:
    """An ordered queue for each ledger partition, over one producer.

    `on_written(where, first, count, highest)`: `count` records begin at offset `first` (below 0:
    the broker no longer knows the offset); `highest` of their items' offsets.
    `watermark_of(where)`: answers below this source offset are not needed any more.
    """

    lookup_timeout_s = SILENCE_S

    def __init__(
        self,
        producers: Producers,
        *,
        room_bytes: int,
        on_written: Callable[[TopicPartition, int, int, int], None],
        watermark_of: Callable[[TopicPartition], int],
    ) -> None:
        self.producers = producers
        self._room_bytes = room_bytes
        self._on_written = on_written
        self._watermark_of = watermark_of
        self._queues: dict[TopicPartition, OrderedQueue] = {}
        self._failing: set[TopicPartition] = set()
        self._failures: Counter[TopicPartition] = Counter()
        self._changes = Changes()
        self.queued_bytes = 0

    async def start(self) -> None:
        """Connect. Raises KafkaError where no broker answers."""
        await self.producers.start()

    async def stop(self) -> None:
        """Write what is possible in STOP_WITHIN_S, and close."""
        await self.flush(STOP_WITHIN_S)
        await asyncio.gather(*(queue.stop() for queue in self._queues.values()))
        await self.producers.stop()

    def put(self, where: TopicPartition, entries: Sequence[Entry]) -> None:
        """Queue entries; they are sent in the next turn of the loop."""
        size = sum(len(entry.value) for entry in entries)
        if self.queued_bytes + size > self._room_bytes:
            self._mark_failing(where, f"{self.queued_bytes} bytes wait for it already")
            return
        queue = self._queues.get(where)
        if queue is None:
            queue = self._queues[where] = OrderedQueue(self, where)
        self.queued_bytes += size
        offsets = [entry.offset for entry in entries]
        records: list[Record] = [(entry.key, entry.value, (), None) for entry in entries]
        lane = LedgerLane(self, where, max(offsets), self._failures[where])
        queue.put(Parcel(None, lane, offsets, records))

    @property
    def writing(self) -> bool:
        """Whether an entry waits that can be written."""
        return any(
            where not in self._failing and queue.pending() for where, queue in self._queues.items()
        )

    async def flush(self, within_s: float) -> None:
        """Return when everything that can be written is written, or when the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changes.until(lambda: not self.writing)

    def is_obsolete(self, lane: LedgerLane) -> bool:
        has_failed = self._failures[lane.where] > lane.failures
        return has_failed and lane.highest < self._watermark_of(lane.where)

    # -- policy --------------------------------------------------------------------------------

    def may_write(self) -> bool:
        return True

    def delivered(self, where: TopicPartition, first: int, parcels: Sequence[Parcel]) -> None:
        self._mark_working(where)
        for parcel in parcels:
            self._release(parcel.records)
        count = sum(len(parcel.records) for parcel in parcels)
        self._on_written(where, first, count, max(max(parcel.slots) for parcel in parcels))

    def dropped(self, parcel: Parcel) -> None:
        self._release(parcel.records)

    def too_large(self, where: TopicPartition, parcel: Parcel, place: int) -> None:
        self._mark_failing(where, "an answer is larger than the topic takes")
        self._release(parcel.records[place : place + 1])

    def refused(self, where: TopicPartition, parcel: Parcel, place: int, error: KafkaError) -> None:
        self._mark_failing(where, f"it refuses an answer: {error!r}")
        self._release(parcel.records[place : place + 1])

    def failed(self, where: TopicPartition, message: str, error: KafkaError) -> None:
        self._mark_failing(where, repr(error))

    def silent(self, where: TopicPartition, waited_s: float) -> None:
        if waited_s >= SILENCE_S:
            self._mark_failing(where, f"no acknowledgement for {waited_s:.0f} s")

    def ended(self, queue: OrderedQueue, error: BaseException) -> None:
        self._mark_failing(queue.where, repr(error))
        logger.debug("a queue of the ledger failed", exc_info=error)
        queue.clear()

    def _release(self, records: Sequence[Record]) -> None:
        """These records have left their queue."""
        self.queued_bytes -= sum(len(value or b"") for _, value, *_ in records)
        self._changes.note()

    def _mark_failing(self, where: TopicPartition, why: object) -> None:
        if not any(other.topic == where.topic for other in self._failing):
            logger.error(
                "the ledger %s cannot be written: %s. The task goes on; after a crash answers may "
                "be paid for again",
                where.topic,
                why,
            )
        self._failing.add(where)
        self._failures[where] += 1
        self._changes.note()

    def _mark_working(self, where: TopicPartition) -> None:
        if where in self._failing:
            self._failing.discard(where)
            if not any(other.topic == where.topic for other in self._failing):
                logger.warning("the ledger %s is written again", where.topic)


# -- reading -----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def reading(keywords: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group."""
    consumer = AIOKafkaConsumer(
        **keywords,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def extents(
    consumer: AIOKafkaConsumer, begins: Mapping[TopicPartition, int | None]
) -> dict[TopicPartition, Extent]:
    """Where reading begins and ends; None: nothing to read. If the log no longer holds the offset,
    or is a new log that does not hold it yet, reading begins at the log's first offset."""
    found = {}
    for where, (first, end) in (await whole(consumer, list(begins))).items():
        begin = begins[where]
        if begin is None:
            found[where] = Extent(end, end)
        else:
            found[where] = Extent(begin if first <= begin <= end else first, end)
    return found


async def read(
    consumer: AIOKafkaConsumer,
    targets: Mapping[TopicPartition, Extent],
    take: Callable[[TopicPartition, Sequence[Any]], None],
) -> None:
    """Hand over every record of these extents, those of a partition in order."""
    ends = {where: extent.end for where, extent in targets.items() if extent.first < extent.end}
    consumer.assign(list(ends))
    for where in ends:
        consumer.seek(where, targets[where].first)
    while ends:
        fetched = await consumer.getmany(timeout_ms=500, max_records=MAX_READ_RECORDS)
        for where, records in fetched.items():
            take(where, records)
        for where in [w for w in ends if await consumer.position(w) >= ends[w]]:
            del ends[where]
