"""What limits per minute count: requests, input and output tokens, of a call and of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """See `Bucket`."""

    rounded_to: int
    late: bool


KINDS: Final = {
    "requests": Kind(rounded_to=1, late=False),
    "input_tokens": Kind(rounded_to=1000, late=False),
    "output_tokens": Kind(rounded_to=1000, late=True),
}
"""The fields of `Demand`, `PerMinute` and `RateLimits`, in their order, and how the API counts."""


class Demand(NamedTuple):
    """What a call takes, or took: input that is not read from the prompt cache, and output that is
    generated (`max_tokens` is not reserved)."""

    requests: float
    input_tokens: float
    output_tokens: float


class PerMinute(NamedTuple):
    """Configured limits; None: only what the API says counts."""

    requests: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


class Use(NamedTuple):
    """Of one kind, by all calls. `amount`: since the start. `waits`: whether a call waits for this
    limit. `limit_per_s`: for all workers of the group; inf: none is known."""

    amount: float
    waits: bool
    limit_per_s: float


@dataclass(slots=True, eq=False)
class Grant:
    """The right to start one call. `number`: counts the calls from 1. `paths`: of each bucket,
    after the call took its estimate; None: what its response says is passed by."""

    number: int
    demand: Demand
    started_at: float
    paths: tuple[float, ...] | None
