"""A dead letter as a value: what its record says, and the source's own part of it.

Key, value and headers are the source's, byte for byte, and after its headers stand ours, which
begin with `streams-error-code`. A source may have headers of our names itself (a dead letter that
another tool sent again): those before our block are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streams.model import Headers, Position

FIRST = "streams-error-code"
STAGE = "streams-stage"
FACTS = frozenset(
    {
        FIRST,
        "streams-error-message",
        "streams-source-topic",
        "streams-source-partition",
        "streams-source-offset",
        "streams-source-timestamp-ms",
        "streams-task",
        "streams-attempts",
        "streams-batch-id",
        "streams-failed-at-ms",
        STAGE,
    }
)
OMITTED = {
    "streams-value-omitted": "value",
    "streams-headers-omitted": "headers",
    "streams-key-omitted": "key",
}
REDRIVES_HEADER = "streams-redriven"
"""How often the record was sent again; after a redrive the source carries this header."""


class DeadLetter(NamedTuple):
    """`partition`, `offset`: its position. `source`: the record that failed, and
    `source_timestamp_ms` its time (None: it has none). `headers`: the source's own. `omitted`: the
    parts left out for size: bytes of "value" and "key", number of "headers". `stage`: of a pipeline
    where it failed; "" for none."""

    partition: int
    offset: int
    code: str
    message: str
    task: str
    source: Position
    source_timestamp_ms: int | None
    attempts: int
    batch_id: str
    failed_at_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    omitted: Mapping[str, int]
    stage: str = ""

    @property
    def redrives(self) -> int:
        """How often it was sent again before this failure."""
        return max(
            (_number(value) for name, value in self.headers if name == REDRIVES_HEADER), default=0
        )

    @property
    def place(self) -> str:
        return f"{self.partition}/{self.offset}"


def letter_of(record: Any) -> DeadLetter | None:
    """The dead letter in a record of a dead-letter topic; None: the record is not a dead letter of
    ours."""
    headers = list(record.headers)
    first = max((n for n, (name, _) in enumerate(headers) if name == FIRST), default=None)
    if first is None:
        return None
    ours = {name: value for name, value in headers[first:] if name in FACTS or name in OMITTED}
    own = headers[:first] + [each for each in headers[first:] if each[0] not in ours]
    facts = {name: (value or b"").decode("utf-8", "replace") for name, value in ours.items()}
    try:
        stamp = facts["streams-source-timestamp-ms"]
        return DeadLetter(
            partition=record.partition,
            offset=record.offset,
            code=facts[FIRST],
            message=facts["streams-error-message"],
            task=facts["streams-task"],
            source=Position(
                facts["streams-source-topic"],
                int(facts["streams-source-partition"]),
                int(facts["streams-source-offset"]),
            ),
            source_timestamp_ms=int(stamp) if stamp else None,
            attempts=int(facts["streams-attempts"]),
            batch_id=facts["streams-batch-id"],
            failed_at_ms=int(facts["streams-failed-at-ms"]),
            key=record.key,
            value=record.value,
            headers=own,
            omitted={what: int(facts[name]) for name, what in OMITTED.items() if name in facts},
            stage=facts.get(STAGE, ""),
        )
    except (KeyError, ValueError):
        return None


class Choice(NamedTuple):
    """Which letters to select: those that match every condition. `codes`, `tasks`, `places`: empty
    means any. `since_ms`: failed then or later."""

    codes: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    places: frozenset[tuple[int, int]] = frozenset()
    since_ms: int | None = None

    def holds(self, letter: DeadLetter) -> bool:
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.tasks or letter.task in self.tasks)
            and (not self.places or (letter.partition, letter.offset) in self.places)
            and (self.since_ms is None or letter.failed_at_ms >= self.since_ms)
        )


def redrive_headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """The headers of the letter's record for a redrive."""
    own = [each for each in letter.headers if each[0] != REDRIVES_HEADER]
    return [*own, (REDRIVES_HEADER, b"%d" % (letter.redrives + 1))]


def _number(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0
