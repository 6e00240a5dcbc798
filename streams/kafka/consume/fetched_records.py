"""What aiokafka's fetcher makes of a fetch, so that one bad batch does not cost the others.

aiokafka's own parser reads every batch. For one that it refuses, `streams.kafka.record_batch` reads
the same bytes again; what that cannot tell apart either is an `UnreadableError` with its place. So
it is for every consumer of this process: `allow_any_record` puts these two classes in the place of
aiokafka's.

Offsets that no batch has are told of in topics that cannot have such a gap: compaction alone makes
them (markers and aborted records are in batches of their own), and so does damage that no checksum
covers, a batch's base offset. A broker passes over such a batch without a word.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from streams.errors import BrokerError
from streams.kafka.record_batch import HEADER, CorruptBatchError, read_batch

logger = logging.getLogger(__name__)

OVERHEAD = struct.Struct(">qi")
"""Base offset and length, which no format changes."""

FORMAT_AT = 16
NEWEST_FORMAT = 2
MIN_LENGTH = {0: 14, 1: 22, 2: HEADER.size - OVERHEAD.size}

_without_gaps: set[str] = set()
"""Topics of which a gap is told, of this process's consumers."""
_told_gaps: set[tuple[TopicPartition, int]] = set()


class UnreadableError(BrokerError):
    """Nothing from `offset` of `where` on can be read before somebody does something. `tries`: how
    often it is fetched before that is certain; another replica may have it whole."""

    tries = 3

    def __init__(self, where: TopicPartition, offset: int, reason: object) -> None:
        self.where, self.offset = where, offset
        super().__init__(
            f"offset {offset} of {where.topic}/{where.partition} cannot be read: {reason}. "
            "If no replica has it whole, go on behind it: set the offset of whoever reads this "
            "partition to the next one that can be read"
        )


class Batch:
    """A batch of format 2, as aiokafka's iterator uses it."""

    def __init__(self, raw: memoryview) -> None:
        self._raw = raw
        self._batch = DefaultRecordBatch(raw)
        self.base_offset: int = self._batch.base_offset
        self.next_offset: int = self._batch.next_offset
        self.compression_type: int = self._batch.compression_type
        self.is_control_batch: bool = self._batch.is_control_batch
        self.is_transactional: bool = self._batch.is_transactional
        self.producer_id: int = self._batch.producer_id

    def validate_crc(self) -> bool:
        if not self._batch.validate_crc():
            raise CorruptBatchError("the checksum of its batch is wrong")
        return True

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
            return
        except Exception as error:
            logger.debug("a batch is read record by record: %r", error)
        del self._batch  # it may hold tens of megabytes, inflated
        # From the first record on: aiokafka skips those that it has.
        yield from read_batch(self._raw)


class FetchedRecords:
    """The batches of a fetch, in place of aiokafka's `MemoryRecords`. `opened`: the batch whose
    records are taken."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self._position = 0
        self._on_gap: Callable[[int, int], None] = lambda first, last: None
        self.opened: Any = None
        self.record_bytes = 0.0

    def begin(self, offset: int, on_gap: Callable[[int, int], None]) -> None:
        """The fetch asked for records from this offset on. `on_gap(first, last)`: no batch has
        these offsets."""
        self._position, self._on_gap = offset, on_gap

    def size_in_bytes(self) -> int:
        return len(self._raw)

    def has_next(self) -> bool:
        """A broker may cut a batch that is not the first of a fetch."""
        return self._left() > 0 and (
            self._at == 0 or self._left() >= OVERHEAD.size + self._length()
        )

    def _left(self) -> int:
        return len(self._raw) - self._at

    def _length(self) -> int:
        """Of the next batch, behind its own place; 0 where that is cut."""
        if self._left() < OVERHEAD.size:
            return 0
        length: int = OVERHEAD.unpack_from(self._raw, self._at)[1]
        return length

    def next_batch(self) -> Any:
        raw = self._next_raw()
        self._at += len(raw)
        if raw[FORMAT_AT] < NEWEST_FORMAT:
            self.opened = MemoryRecords(bytes(raw)).next_batch()
            return self.opened
        batch = self.opened = Batch(raw)
        if not max(self._position, batch.base_offset) < batch.next_offset:
            raise CorruptBatchError(
                f"its batch has the offsets from {batch.base_offset} below {batch.next_offset}"
            )
        if batch.base_offset > self._position:
            self._on_gap(self._position, batch.base_offset - 1)
        self._position = batch.next_offset
        return batch

    def _next_raw(self) -> memoryview:
        """The bytes of the next batch. Raises CorruptBatchError."""
        length, left = self._length(), self._left() - OVERHEAD.size
        if length < MIN_LENGTH[0]:
            raise CorruptBatchError(f"the length of its batch is {length}")
        if left < length:
            raise CorruptBatchError(f"its batch is cut: it has {left} bytes of {length}")
        format_ = self._raw[self._at + FORMAT_AT]
        if format_ not in MIN_LENGTH:
            raise CorruptBatchError(f"its batch has the unknown format {format_}")
        if length < MIN_LENGTH[format_]:
            raise CorruptBatchError(f"the length of its batch is {length}")
        return memoryview(self._raw)[self._at : self._at + OVERHEAD.size + length]


class FetchedPartition(fetcher.PartitionRecords):
    """The records of a fetch, in place of aiokafka's `PartitionRecords`, which makes a
    `ConsumerRecord` of each: half of what reading costs. It still gives these to aiokafka's own
    `getmany`. `open_batches.take` takes the batches' own records, which lack topic and partition.

    `_records_iterator`: of these; raises UnreadableError."""

    _records_iterator: Iterator[Any] | None

    def __init__(self, tp: TopicPartition, records: Any, *args: Any, **keywords: Any) -> None:
        super().__init__(tp, records, *args, **keywords)
        records.begin(self.next_fetch_offset, partial(_tell_gap, tp))  # no cycle: see `drop`

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Any:
        return record

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except Exception as error:
            reason = error if isinstance(error, CorruptBatchError) else repr(error)
            raise UnreadableError(self._tp, self.next_fetch_offset, reason) from error

    def __next__(self) -> Any:
        return super()._consumer_record(self._tp, super().__next__())


def expect_no_gaps(topics: Iterable[str]) -> None:
    """A gap in one of these, which are not compacted, is logged as a warning."""
    _without_gaps.update(topics)


def _tell_gap(where: TopicPartition, first: int, last: int) -> None:
    if where.topic in _without_gaps and (where, first) not in _told_gaps:
        _told_gaps.add((where, first))
        logger.warning(
            "%s/%s has nothing at the offsets %s to %s, which are passed over: its log may be "
            "damaged. Compare it with another replica",
            *where,
            first,
            last,
        )


def allow_any_record() -> None:
    """Let aiokafka's fetchers use these classes; again is the same as once."""
    fetcher.MemoryRecords = FetchedRecords
    fetcher.PartitionRecords = FetchedPartition
