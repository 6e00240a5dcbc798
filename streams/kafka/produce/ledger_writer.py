"""Writes and reads the ledger's topics; what stands in them is `streams.codec.answers`'s.

Rules of this file:
1. Nothing waits for the ledger but its own next batch: results are neither delayed by it nor held
   back where it cannot be written. It is written outside of any transaction, since a paid call
   stays paid whatever becomes of its results.
2. Entries are kept until the broker has them, except those of items that are settled meanwhile, and
   what is more than `room_bytes` in all. A record may stand twice in the ledger; that does no harm.
3. What is wrong is said once, and once that it is right again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from streams.codec.answers import Entry
from streams.kafka.extents import Extent, whole
from streams.kafka.produce.parcels import TOO_LARGE

logger = logging.getLogger(__name__)

BATCH_BYTES = 256 * 1024
OFFER_AGAIN_S = 1.0
REQUEST_TIMEOUT_MS = 10_000
"""After so long without the broker's answer a batch is offered anew."""

STOP_WITHIN_S = 1.0
FETCH_BYTES = 8 * 1024 * 1024
READ_AT_ONCE = 2000


class LedgerWriter:
    """One queue and one unacknowledged batch for each ledger partition, over one producer.

    `on_written(where, first, count, highest)`: so many records stand from offset `first` on;
    `highest` of their items' offsets. `settled_below(where)`: below this source offset no answer is
    of interest any more. `batch_bytes`: what every ledger topic takes in one batch.
    """

    def __init__(
        self,
        keywords: Mapping[str, Any],
        *,
        room_bytes: int,
        on_written: Callable[[TopicPartition, int, int, int], None],
        settled_below: Callable[[TopicPartition], int],
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self._keywords = dict(keywords)
        self._batch_bytes = min(BATCH_BYTES, batch_bytes)
        self._room_bytes = room_bytes
        self.on_written = on_written
        self.settled_below = settled_below
        self._lines: dict[TopicPartition, _Line] = {}
        self._failing: set[TopicPartition] = set()
        self.queued_bytes = 0
        self.producer: Any = None

    async def start(self) -> None:
        """Connect. Raises KafkaError where no broker answers."""
        self.producer = await self._connect()

    async def _connect(self) -> Any:
        producer = AIOKafkaProducer(
            **self._keywords,
            acks="all",
            max_batch_size=self._batch_bytes,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def put(self, where: TopicPartition, entries: Sequence[Entry]) -> None:
        """Queue entries; they are on their way in the next turn of the loop."""
        size = sum(len(entry.value) for entry in entries)
        if self.queued_bytes + size > self._room_bytes:
            self.fails(where, f"{self.queued_bytes} bytes wait for it already")
            return
        line = self._lines.get(where)
        if line is None:
            line = self._lines[where] = _Line(self, where)
        self.queued_bytes += size
        line.put(entries)

    @property
    def writing(self) -> bool:
        """Whether there is something to write that can be written."""
        return any(line.task and where not in self._failing for where, line in self._lines.items())

    async def flush(self, within_s: float) -> None:
        """Return when everything is written that can be, or when the time is up."""
        tasks = [
            line.task
            for where, line in self._lines.items()
            if line.task is not None and where not in self._failing
        ]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)

    async def stop(self) -> None:
        """Write what can be written in STOP_WITHIN_S, and close."""
        await self.flush(STOP_WITHIN_S)
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        producer, self.producer = self.producer, None
        if producer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_WITHIN_S)

    def fails(self, where: TopicPartition, why: object) -> None:
        if not any(other.topic == where.topic for other in self._failing):
            logger.error(
                "the ledger %s cannot be written: %s. The task goes on; after a crash answers may "
                "be paid for again",
                where.topic,
                why,
            )
        self._failing.add(where)

    def works(self, where: TopicPartition) -> None:
        if where in self._failing:
            self._failing.discard(where)
            if not any(other.topic == where.topic for other in self._failing):
                logger.warning("the ledger %s is written again", where.topic)


class _Line:
    """What is to be written to one ledger partition. `task`: while there is anything."""

    def __init__(self, writer: LedgerWriter, where: TopicPartition) -> None:
        self._writer = writer
        self._where = where
        self._queue: deque[Entry] = deque()
        self._most = 1_000_000  # records of a batch; fewer after one was too large
        self.task: asyncio.Task[None] | None = None

    def put(self, entries: Sequence[Entry]) -> None:
        self._queue.extend(entries)
        if self.task is None:
            self.task = asyncio.ensure_future(self._write())
            self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._writer.fails(self._where, repr(error))
            logger.debug("a line of the ledger failed", exc_info=error)
            self._pop(len(self._queue))

    async def _write(self) -> None:
        while self._queue:
            batch, taken = self._fill()
            try:
                first = await self._send(batch)
            except TOO_LARGE:
                if taken == 1:
                    self._writer.fails(self._where, "an answer is larger than the topic takes")
                    self._pop(1)
                self._most = max(1, taken // 2)
            except KafkaError as error:
                self._writer.fails(self._where, repr(error))
                await asyncio.sleep(OFFER_AGAIN_S)
                self._forget_settled()
            else:
                self._writer.works(self._where)
                highest = max(entry.offset for entry in self._pop(taken))
                self._writer.on_written(self._where, first, taken, highest)

    def _fill(self) -> tuple[Any, int]:
        batch, taken = self._writer.producer.create_batch(), 0
        for entry in self._queue:
            full = taken == self._most
            if full or batch.append(key=entry.key, value=entry.value, timestamp=None) is None:
                break
            taken += 1
        return batch, taken

    async def _send(self, batch: Any) -> int:
        """The offset of the batch's first record, once the broker has it."""
        producer, (topic, partition) = self._writer.producer, self._where
        if partition not in await producer.partitions_for(topic):
            await producer.client.force_metadata_update()
            if partition not in await producer.partitions_for(topic):
                raise UnknownTopicOrPartitionError(f"{topic}/{partition}")
        sent = await producer.send_batch(batch, topic, partition=partition)
        sent.add_done_callback(_retrieved)  # nobody waits for it where the writer stops first
        offset: int = (await sent).offset
        return offset

    def _pop(self, count: int) -> list[Entry]:
        popped = [self._queue.popleft() for _ in range(count)]
        self._writer.queued_bytes -= sum(len(entry.value) for entry in popped)
        return popped

    def _forget_settled(self) -> None:
        below = self._writer.settled_below(self._where)
        entries = self._pop(len(self._queue))
        kept = [entry for entry in entries if entry.offset >= below]
        self._writer.queued_bytes += sum(len(entry.value) for entry in kept)
        self._queue.extend(kept)


def _retrieved(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()


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
    """Where reading begins and ends; None: nothing is to be read. What the log no longer holds, or
    does not hold yet because it was made anew, is read from where it begins."""
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
    wanted: Mapping[TopicPartition, Extent],
    take: Callable[[TopicPartition, Sequence[Any]], None],
) -> None:
    """Hand over every record of these extents, those of a partition in order."""
    left = {where: extent.end for where, extent in wanted.items() if extent.first < extent.end}
    consumer.assign(list(left))
    for where in left:
        consumer.seek(where, wanted[where].first)
    while left:
        fetched = await consumer.getmany(timeout_ms=500, max_records=READ_AT_ONCE)
        for where, records in fetched.items():
            take(where, records)
        for where in [w for w in left if await consumer.position(w) >= left[w]]:
            del left[where]
