"""Reads a record batch of format 2 (KIP-98) record by record, also where some of it is broken.

    batch:   [header, 61 bytes][record][record]...   the records may be compressed as a whole
    record:  [length][attributes, deltas][key][value][headers]

aiokafka's parser is quick, and refuses the whole batch for one record that it cannot decode. This
one is for such batches: each record has its length in front, so that the next one can be found
behind a broken one. Names of headers that are not UTF-8 keep their bytes as Python's
`surrogateescape` has them. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from aiokafka import codec

from streams.codec.records import BrokenValue
from streams.model import Headers

HEADER = struct.Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, format, checksum, attributes, last offset's delta, first and
largest timestamp, producer id and epoch, base sequence, number of records."""

CODEC_BITS = 0x07
LOG_APPEND_TIME_BIT = 0x08

_INFLATE: dict[int, tuple[str, Callable[[Any], bytes]]] = {
    1: ("gzip", codec.gzip_decode),
    2: ("snappy", codec.snappy_decode),
    3: ("lz4", codec.lz4_decode),
    4: ("zstd", codec.zstd_decode),
}


class CorruptBatchError(Exception):
    """From here on nothing of the batch can be told apart; the message says why."""


class BatchRecord(NamedTuple):
    """As aiokafka's parser gives it. `timestamp`: in ms since the epoch; -1: none."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    checksum: None = None


class _BrokenError(Exception):
    """A record ends before its parts do, or a part has an impossible length."""


class _Body:
    """The bytes of one record, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def byte(self) -> int:
        if not self.left:
            raise _BrokenError("it is cut")
        self._at += 1
        return self._data[self._at - 1]

    def number(self) -> int:
        value, self._at = _varint(self._data, self._at)
        return value

    def content(self, what: str) -> bytes | None:
        length = self.number()
        if length == -1:
            return None
        if not 0 <= length <= self.left:
            raise _BrokenError(f"the length of {what} is {length} in a record that has {self.left}")
        self._at += length
        return self._data[self._at - length : self._at]


def read_batch(raw: bytes | memoryview) -> Iterator[BatchRecord]:
    """The records of a batch, in order; one that cannot be read as a whole has a `BrokenValue`.
    Raises CorruptBatchError in the place from which on they cannot be told apart."""
    head = HEADER.unpack_from(raw)
    last_delta, count = head[6], head[12]
    data = _inflated(head[5] & CODEC_BITS, raw[HEADER.size :])
    at, delta = 0, -1
    for number in range(count):
        try:
            length, at = _varint(data, at)
        except _BrokenError:
            raise CorruptBatchError(f"it is cut before record {number + 1} of {count}") from None
        if not 0 <= length <= len(data) - at:
            raise CorruptBatchError(
                f"the length of record {number + 1} of {count} is {length}, and the batch has "
                f"{len(data) - at} bytes more"
            )
        # In a batch without gaps a record whose own offset cannot be read has that of its place.
        place = number if count == last_delta + 1 else None
        record = _record(head, data[at : at + length], range(delta + 1, last_delta + 1), place)
        delta, at = record.offset - head[0], at + length
        yield record
    if at < len(data) and delta < last_delta:
        raise CorruptBatchError(f"{len(data) - at} bytes stand behind its {count} records")


def _record(head: tuple[int, ...], data: bytes, deltas: range, place: int | None) -> BatchRecord:
    """The record in these bytes. `deltas`: what its offset may be, from the base offset."""
    body, delta, timestamp = _Body(data), place, head[8]
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = []
    try:
        body.byte()
        since_first = body.number()
        if not head[5] & LOG_APPEND_TIME_BIT:
            timestamp = head[7] + since_first
        own_delta = body.number()
        if own_delta not in deltas:
            raise _BrokenError(f"its offset is {own_delta} beyond that of the batch")
        delta = own_delta
        key = body.content("its key")
        value = body.content("its value")
        count = body.number()
        if count < 0:
            raise _BrokenError(f"the number of its headers is {count}")
        for _ in range(count):
            name = body.content("a header's name")
            if name is None:
                raise _BrokenError("a header has no name")
            headers.append((name.decode("utf-8", "surrogateescape"), body.content("a header")))
        if body.left:
            raise _BrokenError(f"{body.left} bytes stand behind its headers")
    except _BrokenError as error:
        if delta not in deltas:
            raise CorruptBatchError(f"a record without a readable offset: {error}") from None
        value = BrokenValue.of(value, str(error))
    kind = int(bool(head[5] & LOG_APPEND_TIME_BIT))
    return BatchRecord(head[0] + (delta or 0), timestamp, kind, key, value, headers)


def _inflated(number: int, data: bytes | memoryview) -> bytes:
    if not number:
        return bytes(data)
    if number not in _INFLATE:
        raise CorruptBatchError(f"it is compressed in an unknown way (codec {number})")
    name, inflate = _INFLATE[number]
    try:
        return bytes(inflate(bytes(data)))
    except Exception as error:
        raise CorruptBatchError(f"its {name} data cannot be decompressed: {error}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint at this place, and the place behind it. Raises _BrokenError."""
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise _BrokenError("it is cut")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    raise _BrokenError("a number in it has no end")
