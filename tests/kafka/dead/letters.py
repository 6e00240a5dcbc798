"""Dead letters as the worker writes them: its own encoder's, as records of a topic."""

from __future__ import annotations

from typing import Any, NamedTuple

from streams.codec.results import Encoder, SinkRecord
from streams.core.call import Call, Slot
from streams.errors import ItemError
from streams.model import Headers, Item


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int = 0


def item(
    number: int,
    *,
    topic: str = "reviews",
    partition: int = 0,
    key: bytes | None = b"k",
    value: bytes | None = None,
    headers: Headers = (("h", b"1"), ("h", None)),
    timestamp_ms: int = 1_790_000_000_000,
) -> Item:
    raw = b'{"id": %d,  "text": "t"}' % number if value is None else value
    return Item({}, "t", number, key, headers, topic, partition, number, timestamp_ms, raw)


def written(
    of: Item,
    *,
    code: str = "refused",
    message: str = "the model declined to answer",
    task: str = "mood",
    now_ms: int = 1_790_000_001_000,
    limit_bytes: int | None = None,
) -> SinkRecord:
    """What the worker sends to the dead-letter topic. `code`: also one that no worker writes."""
    slot = Slot(of.topic, of.offset, of)
    slot.calls = 3
    slot.call = Call([slot], "new", "count")
    slot.call.id = "mood-1"
    encoder = Encoder(task=task, model=None, fingerprint="f")
    error = ItemError("any", message)
    key, value, headers, stamp = encoder.dead_letter(slot, error, now_ms, limit_bytes=limit_bytes)
    names = [name for name, _ in headers]
    ours = len(names) - 1 - names[::-1].index("streams-error-code")
    headers = [*headers[:ours], (names[ours], code.encode()), *headers[ours + 1 :]]
    return key, value, headers, stamp


def record(of: Item, *, partition: int = 0, offset: int = 0, **fields: Any) -> Record:
    key, value, headers, stamp = written(of, **fields)
    return Record(partition, offset, key, value, headers, stamp or -1)
