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

from streams.kafka.consume.fetched_records import FetchedRecords, UnreadableError

RECORD_BYTES = 60
"""Of a record in its batch besides key, value and headers, with its part of Python's overhead; at
least."""


class Share(NamedTuple):
    """What a lane may get in one round: at most so many records, and no further one once they have
    so many bytes of keys, values and headers. The first record always comes, whatever its size."""

    records: int
    bytes: int


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
    records = partition_records._records
    inflated = inflated_bytes(records, partition_records.next_fetch_offset)
    return Waiting(records.size_in_bytes() + inflated, inflated)


def inflated_bytes(records: FetchedRecords, next_offset: int) -> int:
    """The estimated memory of the open batch, by the mean of its last records; 0 where no batch is
    open, or where it was not compressed: its bytes are those of the fetch."""
    batch = records.opened
    if not getattr(batch, "compression_type", 0) or next_offset >= batch.next_offset:
        return 0
    return int((batch.next_offset - batch.base_offset) * records.record_bytes)


def drop(fetched: FetchResult) -> None:
    """Free the waiting records now: the iterator and its owner refer to each other, and Python's
    collector may keep tens of megabytes until its next full round."""
    fetched._partition_records._records_iterator = None
    fetched._partition_records = None


def take(fetched: FetchResult, share: Share) -> tuple[list[Any], int]:
    """`FetchResult.getall` with a limit in bytes: the records, without topic and partition, and
    their bytes. Moves the position. Records in front of one that cannot be read end the fetch: the
    next one begins with it, and raises UnreadableError; then nothing is taken."""
    if not fetched.check_assignment(fetched._topic_partition) or not fetched.has_more():
        return [], 0
    partition_records = fetched._partition_records
    begin = partition_records.next_fetch_offset
    records: list[Any] = []
    size, max_records, max_bytes = 0, share.records, share.bytes
    append = records.append
    try:
        for record in partition_records._records_iterator:
            append(record)
            value, key, headers = record.value, record.key, record.headers
            size += RECORD_BYTES if value is None else RECORD_BYTES + len(value)
            if key is not None:
                size += len(key)
            if headers:
                size += sum(len(name) + len(content or b"") for name, content in headers)
            if size >= max_bytes or len(records) >= max_records:
                break
        else:
            _end(fetched)
            return records, size
    except UnreadableError:
        if partition_records.next_fetch_offset == begin:
            raise
        _end(fetched)
        return records, size
    fetched._update_position()
    partition_records._records.record_bytes = size / len(records)
    return records, size


def _end(fetched: FetchResult) -> None:
    """Nothing more is taken from this fetch; the next one begins behind what was taken."""
    fetched._update_position()
    fetched._partition_records = None
