"""What the headers of a response say about waiting and about the account's limits. Pure.

Headers come from APIs, proxies and gateways: a value that cannot be read says nothing, and is never
an error. Names are looked up in lower case. Times count from the response's own `Date` where it has
one, as two clocks need not agree; else from `now`, the wall clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from streams.model import Quota, RateLimits

Headers = Mapping[str, str]

_PREFIX: Final = "anthropic-ratelimit-"
"""Voyage sends no such headers."""

_MAX_DIGITS: Final = 15
"""A limit with more digits is ignored."""


def rate_limits(headers: Headers, *, now: datetime) -> RateLimits | None:
    """The account's limits from `anthropic-ratelimit-*`; None: there are no such headers, or they
    cannot be read."""
    ours = {
        name.lower(): value for name, value in headers.items() if name.lower().startswith(_PREFIX)
    }
    if not ours:
        return None
    start = _date(headers.get("date")) or now
    limits = RateLimits(
        _quota(ours, "requests", start),
        _quota(ours, "input-tokens", start),
        _quota(ours, "output-tokens", start),
    )
    return None if limits == RateLimits() else limits


def retry_after_s(headers: Headers, *, now: datetime) -> float | None:
    """How long the API asks to wait, in seconds from now, 0 or more; None: it does not say.

    `retry-after-ms` before `Retry-After`, which is in seconds or an HTTP date.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    until = _date(value)
    return None if until is None else _seconds(until, _date(headers.get("date")) or now)


def should_retry(headers: Headers) -> bool | None:
    """What the API says of the same request: it may pass, it will not; None: nothing."""
    return {"true": True, "false": False}.get((headers.get("x-should-retry") or "").strip().lower())


def reset_after_s(headers: Headers, *, now: datetime) -> float | None:
    """When the exhausted limits are full again, in seconds from now: from the
    `anthropic-ratelimit-*` headers of a 429 without `Retry-After`. None: they do not say."""
    start = _date(headers.get("date")) or now
    resets = []
    for kind in ("requests", "tokens", "input-tokens", "output-tokens"):
        if _number(headers.get(f"{_PREFIX}{kind}-remaining")) == 0:
            until = _rfc3339(headers.get(f"{_PREFIX}{kind}-reset"))
            if until is not None:
                resets.append(_seconds(until, start))
    return max(resets, default=None)


def _quota(headers: Headers, kind: str, start: datetime) -> Quota | None:
    reset = _rfc3339(headers.get(f"{_PREFIX}{kind}-reset"))
    quota = Quota(
        _count(headers.get(f"{_PREFIX}{kind}-limit")),
        _count(headers.get(f"{_PREFIX}{kind}-remaining")),
        None if reset is None else _seconds(reset, start),
    )
    return None if quota == Quota() else quota


def _count(value: str | None) -> int | None:
    if value is None or not value.isascii() or not value.isdecimal() or len(value) > _MAX_DIGITS:
        return None
    return int(value)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _seconds(until: datetime, start: datetime) -> float:
    return max(0.0, (until - start).total_seconds())


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value) if value is not None else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date


def _rfc3339(value: str | None) -> datetime | None:
    try:
        date = datetime.fromisoformat(value) if value is not None else None
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date
