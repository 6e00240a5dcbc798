"""What an account shows of itself."""

from __future__ import annotations

from typing import NamedTuple

from streams.model import RateLimits


class AccountStatistics(NamedTuple):
    """Counts of one moment. `in_line`: members that wait. `in_flight`, `reserved_tokens`: of the
    calls under way. `ramp`: how many of them there may be while they ramp up, else None. `calls`,
    `answers`: since the start. `rate_limits`: the latest that a response told; None: none did."""

    members: int
    in_line: int
    in_flight: int
    reserved_tokens: float
    ramp: int | None
    calls: int
    answers: int
    paused_reason: str | None
    paused_until: float | None
    paused_message: str
    probing: bool
    rate_limits: RateLimits | None
