"""Token buckets for requests, input tokens and output tokens per minute, and their headers.

A bucket holds `limit * burst_s / 60` at most and is refilled by `limit / 60` a second. A call needs
one request and its input tokens, which are taken out when it starts; output tokens are taken out
when it is answered, so that a call starts while any are left (as the API does: it does not reserve
`max_tokens`) and the bucket may go below zero.
"""

from __future__ import annotations

import datetime
import math
from typing import Final, NamedTuple

from streams.simulator.wire import RefusalError

_ROUNDED_TO: Final = 1000
"""Remaining tokens are given in thousands."""


class Bucket:
    """One token bucket. All times are seconds of the same clock; full at `now`.

    `others_share`: of the limit, what another program takes, evenly. The API does not know that it
    goes on: `wait_s` and `full_in_s` are as if it ended now.
    """

    __slots__ = ("_at", "_burst_s", "_level", "_others_share", "capacity", "limit", "rate_per_s")

    def __init__(self, limit: int, burst_s: float, now: float, others_share: float = 0.0) -> None:
        self._burst_s = burst_s
        self._at = now
        self._set(limit, others_share)
        self._level = self.capacity

    def _set(self, limit: int, others_share: float) -> None:
        self.limit = limit
        self.rate_per_s = limit / 60
        self.capacity = max(1.0, limit * self._burst_s / 60)
        self._others_share = others_share

    def change(self, limit: int, others_share: float, now: float) -> None:
        """Another limit from now on; what is above its capacity is lost."""
        level = self.level(now)
        self._set(limit, others_share)
        self._level = min(level, self.capacity)

    def level(self, now: float) -> float:
        """The current level; below zero if more was taken than it held."""
        if now > self._at:
            gained = (now - self._at) * self.rate_per_s * (1 - self._others_share)
            self._level = min(self.capacity, self._level + gained)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = self.level(now) - amount

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until it holds `amount` (or is full, if it never holds so much); 0: now."""
        shortage = min(amount, self.capacity) - self.level(now)
        return max(0.0, shortage / self.rate_per_s)

    def full_in_s(self, now: float) -> float:
        return (self.capacity - self.level(now)) / self.rate_per_s


class Buckets(NamedTuple):
    """The limits of one group of models; None: no limit of that kind."""

    requests: Bucket | None = None
    input_tokens: Bucket | None = None
    output_tokens: Bucket | None = None

    @property
    def limited(self) -> bool:
        return any(bucket is not None for bucket in self)


def admit(buckets: Buckets, model: str, input_tokens: int, now: float, wall: float) -> None:
    """Takes one request and its input tokens. Raises RefusalError (429 with `retry-after`, and the
    headers of the limits) if a bucket lacks them; then nothing is taken."""
    demands = (
        (buckets.requests, 1, "requests"),
        (buckets.input_tokens, input_tokens, "input_tokens"),
        (buckets.output_tokens, 1, "output_tokens"),
    )
    for bucket, amount, kind in demands:
        if bucket is None or bucket.level(now) >= amount:
            continue
        wait_s = max(bucket.wait_s(amount, now), 0.001)
        message = (
            f"This request would exceed the rate limit of {bucket.limit:,} "
            f"{kind.replace('_', ' ')} per minute "
            f"for the model {model}. Please slow down, or ask for a higher limit."
        )
        after = {"retry-after": str(math.ceil(wait_s))}
        found = {**after, **headers(buckets, now, wall)}
        raise RefusalError(429, message, headers=found, limit=kind)
    for bucket, amount, _ in demands[:2]:
        if bucket is not None:
            bucket.take(amount, now)


def headers(buckets: Buckets, now: float, wall: float) -> dict[str, str]:
    """`anthropic-ratelimit-*` of the limits there are. `wall`: the same moment as `now`, in seconds
    since the epoch. `reset` is when the bucket is full again."""
    fields: dict[str, str] = {}
    if buckets.requests is not None:
        _put_three_fields(fields, "requests", buckets.requests, now, wall, 1)
    tokens = [b for b in (buckets.input_tokens, buckets.output_tokens) if b is not None]
    if tokens:
        tightest = min(tokens, key=lambda bucket: bucket.level(now) / bucket.capacity)
        _put_three_fields(fields, "tokens", tightest, now, wall, _ROUNDED_TO)
    if buckets.input_tokens is not None:
        _put_three_fields(fields, "input-tokens", buckets.input_tokens, now, wall, _ROUNDED_TO)
    if buckets.output_tokens is not None:
        _put_three_fields(fields, "output-tokens", buckets.output_tokens, now, wall, _ROUNDED_TO)
    return fields


def _put_three_fields(
    fields: dict[str, str], name: str, bucket: Bucket, now: float, wall: float, rounded_to: int
) -> None:
    remaining = max(0, math.floor(bucket.level(now)))
    if rounded_to > 1:
        remaining = round(remaining / rounded_to) * rounded_to
    full_at = math.ceil(wall + bucket.full_in_s(now))
    reset = datetime.datetime.fromtimestamp(full_at, datetime.UTC)
    prefix = f"anthropic-ratelimit-{name}-"
    fields[prefix + "limit"] = str(bucket.limit)
    fields[prefix + "remaining"] = str(remaining)
    fields[prefix + "reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
