"""Refusals of an API that never says its limits: is it the rate of calls, or how many at once?"""

from __future__ import annotations

import pytest

from streams.core.account import Account
from streams.core.limits import Limits
from streams.core.rate_line import RateLine
from streams.core.reservation import Reservation
from streams.core.seat import Seat
from streams.errors import CallError, Fault
from streams.policies.demand import Demand, PerMinute
from streams.policies.rate import Rate
from streams.policies.retry import Backoff, Cause

CALL = Demand(1, 100, 10)
REFUSED = CallError(Fault.THROTTLED, "429", status=429)


class Caller:
    """One engine's seat, in an account that adapts; calls ten times a second."""

    def __init__(self) -> None:
        rates = RateLine(Rate(PerMinute(), 0.0, says_limits=False))
        self.account = Account(Backoff(), Backoff(), lambda: 0.0, rates=rates, adapts=True)
        self.seat = Seat(self.account, Limits(max_in_flight=10, adaptive=True), lambda: None)
        self.now = 0.0

    def begin(self) -> Reservation:
        self.now += 0.1
        reservation = self.seat.reserve(CALL, self.now)
        assert isinstance(reservation, Reservation)
        return reservation

    def pass_(self, reservation: Reservation) -> None:
        self.seat.learn(reservation, CALL, None, self.now)
        self.seat.succeeded(reservation, self.now)

    def refuse(self, reservation: Reservation) -> None:
        self.seat.learn_failure(reservation, REFUSED, CALL, self.now)
        self.seat.failed(reservation, Cause.THROTTLED, REFUSED, self.now)

    @property
    def calls_at_once(self) -> int:
        assert self.account.concurrency is not None
        return self.account.concurrency.limit

    @property
    def per_minute(self) -> PerMinute:
        assert self.account.rates is not None
        return self.account.rates.rate.per_minute


def test_a_refusal_bounds_the_rate_and_leaves_the_calls_at_once_where_places_were_free() -> None:
    caller = Caller()
    for _ in range(50):
        caller.pass_(caller.begin())
    caller.refuse(caller.begin())
    assert caller.per_minute.requests == pytest.approx(600, rel=0.1)
    assert caller.per_minute.input_tokens == pytest.approx(75_000, rel=0.1)
    assert caller.calls_at_once == 10


def test_a_refusal_with_all_places_taken_cuts_the_calls_at_once_too() -> None:
    caller = Caller()
    for _ in range(50):
        caller.pass_(caller.begin())
    begun = [caller.begin() for _ in range(10)]
    caller.refuse(begun[-1])
    assert caller.per_minute.requests is not None
    assert caller.calls_at_once == 7


def test_an_overload_says_nothing_about_the_rate() -> None:
    caller = Caller()
    for _ in range(50):
        caller.pass_(caller.begin())
    overloaded = CallError(Fault.THROTTLED, "529", status=529)
    caller.seat.learn_failure(caller.begin(), overloaded, CALL, caller.now)
    assert caller.per_minute == PerMinute()
