"""A limit per minute that the API keeps to and never says."""

from __future__ import annotations

import pytest

from streams.policies.demand import Demand
from streams.policies.found_limit import CUT, LEAST_CALLS, SLACK, FoundLimit


class Calls:
    """Tells a `FoundLimit` of calls, each with 100 input tokens and no output."""

    def __init__(self) -> None:
        self.found = FoundLimit()
        self.count = 0
        self.now = 0.0

    @property
    def used(self) -> list[float]:
        return [self.count, self.count * 100, 0.0]

    def pass_(self, calls: int, each_s: float) -> None:
        for _ in range(calls):
            self.count += 1
            self.found.began(self.used, self.now)
            self.now += each_s

    def refuse(self) -> bool:
        return self.found.refused(self.used, (1, 100, 0), self.now)

    @property
    def per_s(self) -> list[float]:
        return self.found.per_s(self.used)


def test_what_calls_took_of_late_is_the_ceiling_and_they_go_on_just_below_it() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    assert calls.refuse()
    assert calls.found.ceiling == pytest.approx([10, 1_000 * SLACK, 0], rel=0.05)
    requests, inputs, outputs = calls.per_s
    assert (requests, inputs) == pytest.approx((CUT * 10, CUT * 1_000 * SLACK), rel=0.05)
    assert outputs == float("inf"), "nothing was used of it, so nothing is known"


def test_what_is_allowed_stays_near_the_ceiling_for_a_minute_and_then_grows_ever_faster() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    calls.refuse()
    assert calls.found.ceiling is not None
    ceiling = calls.found.ceiling[0]
    course = []
    for _ in range(5):
        calls.pass_(300, each_s=0.1)
        course.append(round(calls.per_s[0] / ceiling, 2))
    assert course == sorted(course)
    assert course[:2] == pytest.approx([1.0, 1.05], abs=0.02)
    assert course[4] > 3


def test_what_nobody_uses_does_not_grow() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    calls.refuse()
    before = calls.per_s
    calls.now += 3_600
    assert calls.per_s == before


def test_tokens_that_replies_correct_meanwhile_do_not_hold_calls_back() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    calls.refuse()
    calls.pass_(10, each_s=0.1)
    requests, inputs, outputs = calls.used
    calls.found.refused([requests, inputs - 990, outputs], (1, 100, 0), calls.now)
    assert calls.found.ceiling == pytest.approx([10, 1_000 * SLACK, 0], rel=0.2)


def test_time_without_calls_does_not_count() -> None:
    calls = Calls()
    calls.pass_(50, each_s=0.1)
    calls.refuse()
    calls.now += 0.5
    calls.pass_(50, each_s=0.1)
    calls.now += 3_600
    calls.pass_(50, each_s=0.1)
    assert calls.refuse()
    assert calls.found.ceiling == pytest.approx([10, 1_000 * SLACK, 0], rel=0.3)


def test_the_pause_after_a_refusal_counts_since_the_limit_refills_in_it() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.01)
    calls.refuse()
    for _ in range(10):
        calls.now += 1.0
        calls.pass_(10, each_s=0.0)
        calls.refuse()
    assert calls.found.ceiling == pytest.approx([10, 1_000 * SLACK, 0], rel=0.05)


def test_a_few_calls_say_nothing() -> None:
    calls = Calls()
    calls.pass_(LEAST_CALLS - 1, each_s=0.1)
    assert not calls.refuse()
    assert calls.found.ceiling is None


def test_calls_that_began_before_a_refusal_and_are_refused_too_took_nothing() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    calls.refuse()
    for _ in range(30):
        calls.count -= 1
        calls.found.refused_too(Demand(1, 100, 0), calls.now - 1.0)
    calls.now += 0.5
    calls.pass_(50, each_s=0.1)
    calls.refuse()
    assert calls.found.ceiling is not None
    assert calls.found.ceiling[0] == pytest.approx(50 / 5.5, rel=0.05)


def test_after_an_outage_calls_go_on_as_before() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    calls.refuse()
    before = calls.per_s
    for _ in range(150):
        calls.now += 4.0
        calls.refuse()
    assert calls.per_s == before
    calls.pass_(20, each_s=0.1)
    calls.refuse()
    assert calls.found.ceiling == pytest.approx([10, 1_000 * SLACK, 0], rel=0.1)


def test_a_refusal_far_below_the_ceiling_may_be_for_the_calls_at_once() -> None:
    calls = Calls()
    calls.pass_(100, each_s=0.1)
    assert calls.refuse()
    calls.now += 0.5
    calls.pass_(60, each_s=1.0)
    assert not calls.refuse()
    assert calls.found.ceiling == pytest.approx([1, 100 * SLACK, 0], rel=0.05), "and is kept to"
