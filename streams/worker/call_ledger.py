"""The call ledger at work: records the answers of calls, and finds them again at an assignment.

    reply ─► engine ─► record ─► writer ─► {id}.{source}.ledger
    assignment ─► read ─► Partition.answers ─► arrival: the outcome is there already

A call runs on after its partitions are revoked, and its answers are recorded too: they are paid.
If the ledger cannot be read or written, the tasks go on without it, and log that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.answers import Entry, Keys, Trail, entry, paid_slots
from streams.codec.committed import Committed
from streams.core.call import Call, Slot
from streams.core.ranges import covered
from streams.kafka.admin import Admin
from streams.kafka.client import connect
from streams.kafka.extents import Extent
from streams.kafka.produce.ledger_writer import LedgerWriter, extents, read, reading
from streams.kafka.produce.producers import BATCH_BYTES, Producers
from streams.kafka.topics import grow
from streams.model import Answer
from streams.settings.values import ledger_topic
from streams.worker.partition import Partition

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_MS = 10_000
"""After so long without the broker's answer a batch is sent again, under its sequence number."""

LOOK_WITHIN_S = 5.0
READ_WITHIN_S = 20.0
"""The whole group waits meanwhile."""

FLUSH_WITHIN_S = 1.0
LATE_S = 5.0
"""How long after its time limit a call of an earlier owner may still be recorded."""

ANSWER_BYTES = 120
"""What an answer takes in memory besides its record's value."""


class LedgerTask(NamedTuple):
    """What the ledger has to know of a task. `timeout_s`: the longest that a call takes."""

    fingerprint: str
    timeout_s: float


class LedgerContent(NamedTuple):
    """What the ledger holds for a partition at its assignment. `answers`: records by the offset of
    their item."""

    answers: dict[int, bytes]
    trail: Trail


class Ledger:
    """The ledgers of a worker. `tasks`: by their source topic. `end_of(partition)`: the partition's
    end at its last fetch; None: not fetched yet. `room_bytes`: the limit for entries that wait to
    be written, and for entries that were read. `batch_bytes`: the largest batch that every ledger
    topic takes."""

    def __init__(
        self,
        worker_id: str,
        tasks: Mapping[str, LedgerTask],
        keywords: Mapping[str, Any],
        *,
        end_of: Callable[[Partition], int | None],
        room_bytes: int,
        batch_bytes: int,
    ) -> None:
        self._end_of = end_of
        self._topics = {source: ledger_topic(worker_id, source) for source in tasks}
        self._sources = {topic: source for source, topic in self._topics.items()}
        self._tasks = dict(tasks)
        self._keywords = dict(keywords)
        self._room_bytes = room_bytes
        self._contents: dict[TopicPartition, LedgerContent] = {}
        self._trails: dict[TopicPartition, Trail] = {}
        self._open: dict[TopicPartition, tuple[Partition, float]] = {}
        producers = Producers(
            {**keywords, "request_timeout_ms": REQUEST_TIMEOUT_MS},
            batch_bytes=min(BATCH_BYTES, batch_bytes),
        )
        self._writer = LedgerWriter(
            producers,
            room_bytes=room_bytes,
            on_written=self._on_written,
            watermark_of=self._watermark_of,
        )

    async def start(self) -> None:
        """Raises BrokerError where no broker answers."""
        await connect(self._writer, self._keywords["bootstrap_servers"])

    async def stop(self) -> None:
        await self._writer.stop()

    # -- recording -----------------------------------------------------------------------------

    def record(self, call: Call, slots: Sequence[Slot], answers: Sequence[Answer]) -> None:
        """A call has ended and the engine knows how: write at once what it gave its items. `slots`:
        those of the call when it started. `answers`: of its reply; none if it failed."""
        entries: dict[TopicPartition, list[Entry]] = defaultdict(list)
        for slot in paid_slots(call, slots, answers):
            topic, partition = slot.item.topic, slot.item.partition
            answer_entry = entry(slot, self._tasks[topic].fingerprint)
            entries[TopicPartition(self._topics[topic], partition)].append(answer_entry)
        for where, new_entries in entries.items():
            self._writer.put(where, new_entries)

    @property
    def writing(self) -> bool:
        """Whether an answer that can be written is on its way to the ledger."""
        return self._writer.writing

    def _on_written(self, where: TopicPartition, first: int, count: int, highest: int) -> None:
        trail = self._trails.get(self._source(where))
        if trail is not None:
            trail.add_written(first, count, highest)

    def _watermark_of(self, where: TopicPartition) -> int:
        partition, _ = self._open.get(self._source(where), (None, 0.0))
        return 0 if partition is None else partition.task.watermark(partition)

    def _source(self, where: TopicPartition) -> TopicPartition:
        return TopicPartition(self._sources[where.topic], where.partition)

    # -- partitions ----------------------------------------------------------------------------

    def open(self, partition: Partition) -> None:
        """Give a new partition the answers that the ledger holds for it."""
        found = self._contents.pop(partition.where, None)
        if found is not None:
            partition.answers = found.answers
            self._trails[partition.where] = found.trail
        timeout_s = self._tasks[partition.where.topic].timeout_s
        late_until = asyncio.get_running_loop().time() + timeout_s + LATE_S
        self._open[partition.where] = partition, late_until

    def close(self, partition: Partition) -> None:
        current, _ = self._open.get(partition.where, (None, 0.0))
        if current is partition:
            del self._open[partition.where]
            self._trails.pop(partition.where, None)

    def begin(self, partition: Partition, watermark: int) -> int | None:
        """The ledger offset from which the partition's next owner has to read, if this watermark is
        committed."""
        trail = self._trails.get(partition.where)
        if trail is None:
            return None
        _, late_until = self._open[partition.where]
        end = self._end_of(partition)  # an earlier owner may have read further than we have
        if asyncio.get_running_loop().time() >= late_until and end is not None:
            trail.bound_late_calls(max(end, partition.next_offset))
        trail.forget_below(partition.task.watermark(partition))
        return trail.begin(watermark)

    # -- reading -------------------------------------------------------------------------------

    async def read(self, starts: Mapping[TopicPartition, Committed]) -> None:
        """Find the answers for these partitions before they are opened. Their earlier owners no
        longer write."""
        self._contents.clear()
        # our own records, from when these partitions were ours before
        await self._writer.flush(FLUSH_WITHIN_S)
        answers = _Answers(starts, self._tasks, self._sources, self._room_bytes)
        found: dict[TopicPartition, Extent] = {}
        complete = False
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._fetch(starts, found, answers.take)
                complete = True
        except Exception as error:  # any error: it costs money and nothing else
            logger.error("the ledger cannot be read, answers in it are paid again: %r", error)
        for source, start in starts.items():
            where = TopicPartition(self._topics[source.topic], source.partition)
            extent = found.get(where)
            source_answers = answers.by_source[source]
            first = reads_from(start) if extent is None else extent.first
            end = extent.end if extent is not None and complete else None
            self._contents[source] = LedgerContent(
                source_answers, Trail(first, end, max(source_answers, default=-1))
            )
        count = sum(len(found.answers) for found in self._contents.values())
        logger.info("%d answers from the ledger", count)
        if answers.skipped:
            logger.warning(
                "%d answers of the ledger are paid again: there is no room for them "
                "(worker.max_buffered_mb)",
                answers.skipped,
            )

    async def _fetch(
        self,
        starts: Mapping[TopicPartition, Committed],
        found: dict[TopicPartition, Extent],
        take: Callable[[TopicPartition, Sequence[Any]], None],
    ) -> None:
        """Put the extents into `found`, then hand over their records."""
        begins = await self._begins(starts)
        if begins:
            async with reading(self._keywords) as consumer:
                found |= await extents(consumer, begins)
                await read(consumer, found, take)

    async def _begins(
        self, starts: Mapping[TopicPartition, Committed]
    ) -> dict[TopicPartition, int | None]:
        """Where to begin in each ledger partition that exists. If the source has more partitions
        now, the ledger gets them too."""
        begins = {
            TopicPartition(self._topics[source.topic], source.partition): reads_from(start)
            for source, start in starts.items()
        }
        counts: dict[str, int] = {}
        short: dict[str, int] = {}
        for topic in {where.topic for where in begins}:
            counts[topic] = await self._partitions(topic)
            needed = 1 + max(where.partition for where in begins if where.topic == topic)
            if 0 < counts[topic] < needed:
                short[topic] = needed
        if short:
            admin = Admin(**self._keywords)
            await admin.start()
            try:
                await grow(admin, short)
            finally:
                await admin.close()
        return {where: at for where, at in begins.items() if where.partition < counts[where.topic]}

    async def _partitions(self, topic: str) -> int:
        """How many the topic has; 0 where it is missing."""
        producers = self._writer.producers
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                await producers.refresh_metadata()
                return await producers.partitions(topic)
        except (KafkaError, TimeoutError) as error:
            logger.error("the ledger %s cannot be found: %r", topic, error)
            return 0


def reads_from(start: Committed) -> int | None:
    """The ledger offset to read from; None: do not read. Without any commit, all entries are of a
    worker that died before its first commit. A commit without a ledger offset is of a worker that
    ran without a ledger."""
    return start.ledger_offset if start.is_committed or start.ledger_offset is not None else 0


class _Answers:
    """Keeps the records that answer unsettled items, up to `room_bytes`.

    `by_source`: by source partition, values by offset; of two answers to an item the first counts.
    """

    def __init__(
        self,
        starts: Mapping[TopicPartition, Committed],
        tasks: Mapping[str, LedgerTask],
        sources: Mapping[str, str],
        room_bytes: int,
    ) -> None:
        self._starts = starts
        self._sources = sources
        self._keys = {
            at: Keys(at.topic, at.partition, tasks[at.topic].fingerprint) for at in starts
        }
        self._room = room_bytes
        self.by_source: dict[TopicPartition, dict[int, bytes]] = {at: {} for at in starts}
        self.skipped = 0

    def take(self, where: TopicPartition, records: Sequence[Any]) -> None:
        source = TopicPartition(self._sources[where.topic], where.partition)
        start, answers = self._starts[source], self.by_source[source]
        offset_of = self._keys[source].offset
        for record in records:
            offset = offset_of(record.key)
            if offset is None or offset < start.offset or offset in answers or not record.value:
                continue
            if start.beyond and covered(offset, start.beyond):
                continue
            self._room -= len(record.value) + ANSWER_BYTES
            if self._room < 0:
                self.skipped += 1
            else:
                answers[offset] = record.value
