"""Takes records from aiokafka's fetch of a partition, and counts their bytes.

    a fetch:  [batch][batch: records taken | records to take][batch]   compressed, as it came
                     └ open: inflated as a whole when its first record is taken

A producer's batch is a unit to aiokafka: to read one record it inflates the whole batch, and keeps
it until the last record is taken. A batch of some kB may then take 20 MB. The waiting bytes of a
partition are therefore the bytes of its fetch plus those of its open batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import FetchResult

RECORD_BYTES = 60
"""Of a record in its batch besides key, value and headers, with its part of Python's overhead; at
least."""


class Share(NamedTuple):
    """What a lane may get in one round: at most so many records, and no further one once they have
    so many bytes of keys, values and headers. The first record always comes, whatever its size."""

    records: int
    bytes: int


class Batches:
    """Wraps the `MemoryRecords` of a fetch, to know which batch is open."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._open: Any = None
        self._fetched_bytes: int = records.size_in_bytes()
        self.record_bytes = 0.0

    def has_next(self) -> bool:
        more: bool = self._records.has_next()
        return more

    def next_batch(self) -> Any:
        self._open = self._records.next_batch()
        return self._open

    def inflated_bytes(self, next_offset: int) -> int:
        """The estimated memory of the open batch, by the mean of its last records; 0 where no batch
        is open, or where it was not compressed: its bytes are those of the fetch."""
        batch = self._open
        if not getattr(batch, "compression_type", 0) or next_offset >= batch.next_offset:
            return 0
        return int((batch.next_offset - batch.base_offset) * self.record_bytes)

    def waiting_bytes(self, next_offset: int) -> int:
        return self._fetched_bytes + self.inflated_bytes(next_offset)


class Waiting(NamedTuple):
    """The bytes that a partition has waiting; `inflated` of them belong to its open batch."""

    bytes: int
    inflated: int


NOTHING = Waiting(0, 0)


def waiting(fetched: Any) -> Waiting:
    """The memory of `fetched`, an entry of aiokafka's fetcher."""
    if not isinstance(fetched, FetchResult) or not fetched.has_more():
        return NOTHING
    partition_records = fetched._partition_records
    next_offset = partition_records.next_fetch_offset
    batches = _batches(partition_records)
    return Waiting(batches.waiting_bytes(next_offset), batches.inflated_bytes(next_offset))


def _batches(partition_records: Any) -> Batches:
    """Called before the first record is taken: the iterator asks for its source only then."""
    if not isinstance(partition_records._records, Batches):
        partition_records._records = Batches(partition_records._records)
    found: Batches = partition_records._records
    return found


def drop(fetched: FetchResult) -> None:
    """Free the waiting records now: the iterator and its owner refer to each other, and Python's
    collector may keep tens of megabytes until its next full round."""
    fetched._partition_records._records_iterator = None
    fetched._partition_records = None


def take(fetched: FetchResult, share: Share) -> tuple[list[Any], int]:
    """`FetchResult.getall` with a limit in bytes: the records, and their bytes. Moves the position.
    Raises the error of a batch that cannot be read; then nothing is taken."""
    if not fetched.check_assignment(fetched._topic_partition) or not fetched.has_more():
        return [], 0
    partition_records = fetched._partition_records
    batches = _batches(partition_records)
    records: list[Any] = []
    size, max_records, max_bytes = 0, share.records, share.bytes
    append = records.append
    for record in partition_records:
        append(record)
        value, key, headers = record.value, record.key, record.headers
        size += RECORD_BYTES
        if value is not None:
            size += len(value)
        if key is not None:
            size += len(key)
        if headers:
            size += sum(len(name) + len(content or b"") for name, content in headers)
        if size >= max_bytes or len(records) >= max_records:
            break
    else:
        fetched._update_position()
        fetched._partition_records = None
        return records, size
    fetched._update_position()
    batches.record_bytes = size / len(records)
    return records, size
