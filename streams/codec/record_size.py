"""How much of a topic's `max.message.bytes` a record takes."""

from __future__ import annotations

from streams.model import Headers

_BATCH_BYTES = 61  # the header of a record batch of version 2
_RECORD_BYTES = 21  # the largest size of a record's own length, attributes, deltas and counts


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """The largest size of the record in a batch of its own, in bytes, as Kafka counts it against
    `max.message.bytes`, before compression."""
    size = _BATCH_BYTES + _RECORD_BYTES + _length_bytes(key) + _length_bytes(value)
    size += _varint_bytes(len(headers))
    for name, content in headers:
        size += _length_bytes(name.encode("utf-8", "surrogateescape")) + _length_bytes(content)
    return size


def _length_bytes(content: bytes | None) -> int:
    return 1 if content is None else _varint_bytes(len(content)) + len(content)


def _varint_bytes(number: int) -> int:
    """A zigzag varint of a number that is not negative."""
    return max(1, ((number << 1).bit_length() + 6) // 7)
