"""The source: partitions with gaps, and items of every kind that hurts."""

from __future__ import annotations

from bisect import bisect_left
from enum import Enum
from random import Random
from typing import Any, NamedTuple

from tests.simulation.parameters import ALONE, Parameters

SOURCE = "source"


class Kind(Enum):
    PLAIN = "plain"
    HUGE = "huge"  # its result is larger than the sink takes
    HEAVY = "heavy"  # of more tokens than a microbatch may have
    TOMBSTONE = "tombstone"
    BROKEN = "broken"  # no JSON
    EMPTY = "empty"  # nothing at the text's pointer
    FUTURE = "future"  # with a timestamp that the broker refuses
    REJECTED = "rejected"  # the API answers 400 to whatever holds it
    REFUSED = "refused"  # the model declines
    SILENT = "silent"  # is never in the answer
    SPOILT = "spoilt"  # its answer never fits the schema
    HANGING = "hanging"  # a call that holds it has no reply
    DROPPED = "dropped"  # its answer is that it leaves no trace
    ANSWERED_BADLY = "answered badly"  # its answer is an error of its own
    # Whatever holds one of these meets what everybody may meet.
    FORBIDDEN = "forbidden"
    LIMITED = "limited"
    FAILING = "failing"
    BREAKING = "breaking"
    UNKNOWN = "unknown"  # a status that nobody knows


ALONE_KINDS = frozenset(map(Kind, ALONE))

ODD = [kind for kind in Kind if kind is not Kind.PLAIN and kind not in ALONE_KINDS]

ODD_CODES = {
    Kind.PLAIN: None,
    Kind.FUTURE: None,
    Kind.TOMBSTONE: None,
    Kind.HUGE: None,
    Kind.HEAVY: "too_large",
    Kind.BROKEN: "invalid_json",
    Kind.EMPTY: "no_text",
    Kind.REJECTED: "rejected",
    Kind.REFUSED: "refused",
    Kind.SILENT: "no_answer",
    Kind.SPOILT: "invalid_answer",
    Kind.HANGING: "timeout",
    Kind.DROPPED: "dropped",
    Kind.ANSWERED_BADLY: "own_error",
    Kind.FORBIDDEN: "account",
    Kind.LIMITED: "throttled",
    Kind.FAILING: "server_error",
    Kind.BREAKING: "connection",
    Kind.UNKNOWN: "client_error",
}
"""The code of an item's dead letter; None: it has a result."""

DEAD_LETTERS = frozenset(ODD_CODES.values()) | {"truncated"}

FUTURE_MS = 90_000_000_000
"""How far ahead of now a refused timestamp is."""


class SourceRecord(NamedTuple):
    """As much of aiokafka's `ConsumerRecord` as is read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class SourceLog:
    """One partition: offsets ascend, with gaps as compaction and control records leave them; the
    end may lie past the last record."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.records: list[SourceRecord] = []
        self._offsets: list[int] = []
        self.end = 0

    def append(self, record: SourceRecord, gap_after: int) -> None:
        assert record.offset >= self.end
        self.records.append(record)
        self._offsets.append(record.offset)
        self.end = record.offset + 1 + gap_after

    def read(self, position: int, most: int) -> tuple[list[SourceRecord], int]:
        """Up to `most` records from `position` on, and where to go on."""
        first = bisect_left(self._offsets, position)
        records = self.records[first : first + most]
        if first + len(records) < len(self.records):
            return records, records[-1].offset + 1
        return records, max(position, self.end)


class Writer:
    """Draws the records of a schedule."""

    def __init__(self, parameters: Parameters, random: Random) -> None:
        self._parameters = parameters
        self._random = random
        self._written = 0
        self.is_alone = False  # whether the last one was the item that the API refuses alone

    def kind(self) -> Kind:
        """Of the next item."""
        kind, parameters = self._any_kind(), self._parameters
        self._written += 1
        self.is_alone = parameters.alone is not None and self._written == parameters.alone_at + 1
        if parameters.alone is None or self._written <= parameters.alone_at:
            return kind
        # Those that come to keep it company, after the last of the schedule, are plain.
        late = self._written > parameters.items
        return Kind(parameters.alone) if self.is_alone else Kind.PLAIN if late else kind

    def _any_kind(self) -> Kind:
        random, parameters = self._random, self._parameters
        if random.random() >= parameters.odd:
            return Kind.PLAIN
        kind = random.choice(ODD)
        if kind is Kind.HEAVY and parameters.max_tokens is None:
            return Kind.PLAIN
        return kind

    def record(self, log: SourceLog, kind: Kind, now_ms: int) -> tuple[SourceRecord, int]:
        """The next record of this partition, and the gap behind it."""
        random, parameters = self._random, self._parameters
        gap = random.randint(1, 3) if random.random() < parameters.gaps else 0
        gap_after = random.randint(1, 3) if random.random() < parameters.gaps else 0
        offset = log.end + gap
        key = None
        if parameters.keys and random.random() < 0.8:
            key = b"k%d" % random.randrange(parameters.keys)
        where = b"%d/%d" % (log.partition, offset)
        timestamp = now_ms + (FUTURE_MS if kind is Kind.FUTURE else 0)
        made = SourceRecord(
            SOURCE, log.partition, offset, timestamp, key, self._value(kind), (("at", where),)
        )
        return made, gap_after

    def _value(self, kind: Kind) -> bytes | None:
        if kind is Kind.TOMBSTONE:
            return None
        if kind is Kind.BROKEN:
            return b'{"text": '
        if kind is Kind.EMPTY:
            return b'{"other": 1}'
        length = self._random.randint(1, 60)
        if kind is Kind.HEAVY:
            length = 3 * (self._parameters.max_tokens or 0) + 30
        return b'{"text":"' + b"x" * length + b'"}'


def origin(headers: Any) -> tuple[int, int]:
    """The partition and offset that a written record comes from."""
    for name, content in headers:
        if name == "at" and content:
            partition, _, offset = content.partition(b"/")
            return int(partition), int(offset)
    told = dict(headers)
    return int(told["streams-source-partition"]), int(told["streams-source-offset"])
