"""What holds a task back now, and what that lets through at most; for pages and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import NamedTuple, Protocol

from streams.core.admission import Admission
from streams.core.sizing import Sizing
from streams.policies.demand import Demand, PerMinute
from streams.policies.rate import Rate


class Limited(Protocol):
    """The attributes of an engine that are read."""

    @property
    def admission(self) -> Admission: ...
    @property
    def sizing(self) -> Sizing: ...


class LimitView(NamedTuple):
    """`binding`: what holds the next call back: "requests", "input_tokens" or "output_tokens" (the
    limits per minute), "in_flight" (the calls that the API takes at once), "retry_after" (it asked
    to wait), "first_replies" (which will say the limits), or why the account pauses; None: nothing.
    `per_minute`: our limits; None: not known. `allows_items_per_s`: what they let through of calls
    like the latest one, at most; None: not known. `pace`: the part of them that the slow start
    allows, from 0.1 to 1. `in_flight`, `batch_items`: calls at once, and items of a call, at most
    now. `waited_s`: how long calls waited, by `binding`."""

    binding: str | None
    per_minute: PerMinute
    allows_items_per_s: float | None
    pace: float
    in_flight: int
    batch_items: int
    waited_s: Mapping[str, float]


def limit_view(engine: Limited, now: float) -> LimitView:
    seat, account = engine.admission.seat, engine.admission.seat.account
    rate = None if account.rates is None else account.rates.rate
    bound = account.pauses.limit if seat.adaptive else inf
    return LimitView(
        binding=seat.waits.reason,
        per_minute=PerMinute() if rate is None else rate.per_minute,
        allows_items_per_s=None if rate is None else _allows(rate, engine.admission.latest),
        pace=1.0 if rate is None else rate.pace,
        in_flight=int(min(bound, seat.max_in_flight)),
        batch_items=engine.sizing.max_items,
        waited_s=seat.waits.until(now),
    )


def _allows(rate: Rate, latest: tuple[int, Demand] | None) -> float | None:
    if latest is None:
        return None
    size, demand = latest
    calls = [
        limit / 60 / amount
        for limit, amount in zip(rate.per_minute, demand, strict=True)
        if limit is not None and amount > 0
    ]
    return size * min(calls) if calls else None
