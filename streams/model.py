"""The values that cross the rooms: what an item is, what a call answers, what an outcome is.

Lists of these cross every boundary on the hot path, never single ones; tuples, because a named
tuple is the cheapest immutable value Python has (0.4 us; a frozen dataclass takes four times that).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

Headers = Sequence[tuple[str, bytes | None]]
"""Kafka record headers, in their order; names may repeat, a value may be None. A name is UTF-8 as a
rule; other bytes are in it as Python's `surrogateescape` has them, so that
`name.encode("utf-8", "surrogateescape")` gives the bytes back."""


class Position(NamedTuple):
    """The position of a record in its source."""

    topic: str
    partition: int
    offset: int


class Item(NamedTuple):
    """One record of a source topic, decoded.

    `value`: the decoded JSON object. `text`: what the operation works on. `id`: what the task's
    `id` pointer names, its JSON type kept; else `topic/partition/offset`. `key`: the record's key,
    None where it has none. `timestamp_ms`: the record's, in ms since the epoch. `raw`: the record's
    value byte for byte.
    """

    value: Any
    text: str
    id: Any
    key: bytes | None
    headers: Headers
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    raw: bytes | None

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


class Usage(NamedTuple):
    """The usage of a call, or an item's share of it. Money in whole nano-dollars, so that shares
    add up exactly; 1,000,000,000 are one dollar. None: the price is not known. `calls`: that it
    stands for; the one of an item of a pipeline stands for those of its stages.
    `cache_read_tokens`: input that was read from the prompt cache, of `input_tokens`."""

    input_tokens: int
    output_tokens: int
    cost_nano_usd: int | None
    calls: int = 1
    cache_read_tokens: int = 0


def added(cost: int | None, further: int | None) -> int | None:
    """The sum of two costs; a part that is not known makes the whole unknown."""
    return None if cost is None or further is None else cost + further


class Unanswered(Enum):
    """An item that a reply left without a usable answer; the value is its dead-letter code."""

    MISSING = "no_answer"  # the reply has no record with its id
    INVALID = "invalid_answer"  # its record breaks the schema, or two records differ
    CUT = "truncated"  # the reply was cut at max_tokens before it


class Drop(Enum):
    """The outcome of an item that leaves nothing: a custom function answered None."""

    DROP = "drop"


DROP: Final = Drop.DROP


class Forward(Enum):
    """The outcome of a tombstone that goes on to the sink as a tombstone."""

    FORWARD = "forward"


FORWARD: Final = Forward.FORWARD

Answer = Any
"""One item's answer in a reply: `ItemError` (dead letter), `DROP`, an `Unanswered` (asked again),
or anything else: its result."""

Outcome = Any
"""The one thing that happens to an item: `ItemError`, `DROP`, `FORWARD`, or its result."""


class Quota(NamedTuple):
    """One limit of an account from a response. `limit`: per minute. `remaining`: what is left of it
    now (Anthropic rounds tokens to thousands). `reset_s`: seconds until it is full. None: the
    response does not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


class RateLimits(NamedTuple):
    """What the headers of a response say about the account's limits; None: nothing of that kind.
    https://platform.claude.com/docs/en/api/rate-limits#response-headers"""

    requests: Quota | None = None
    input_tokens: Quota | None = None
    output_tokens: Quota | None = None


class Reply(NamedTuple):
    """A call's answer. `answers`: one per item, in the items' order. `usage`: None where the call
    cost nothing that is counted (custom functions). `rate_limits`: None where the response has no
    such headers."""

    answers: Sequence[Answer]
    usage: Usage | None = None
    rate_limits: RateLimits | None = None


Caller = Callable[[Sequence[Item]], Awaitable[Reply]]
"""Makes one API call for one microbatch. Raises `streams.errors.CallError` when it fails as a
whole; any other exception is a defect of the caller and counts as `Fault.FUNCTION`."""

__all__ = [
    "DROP",
    "FORWARD",
    "Answer",
    "Caller",
    "Drop",
    "Forward",
    "Headers",
    "Item",
    "Outcome",
    "Position",
    "Quota",
    "RateLimits",
    "Reply",
    "Unanswered",
    "Usage",
    "added",
]
