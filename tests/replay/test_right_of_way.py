"""A live replay gives way: live traffic of the same account goes first."""

from __future__ import annotations

import pytest

from streams.jobs.replay.right_of_way import (
    MAX_SEEN,
    LiveTraffic,
    Remaining,
    Way,
    decide,
    undisturbed_s,
)
from streams.model import Quota, RateLimits


def way(**given: object) -> Way:
    facts = {
        "share": None,
        "max_in_flight": 10,
        "age_s": 0.0,
        "undisturbed_s": 2.0,
        "remaining": 1.0,
        **given,
    }
    return decide(**facts)  # type: ignore[arg-type]


def test_nothing_holds_it_where_no_live_group_runs() -> None:
    assert way(age_s=None, remaining=0.0) == Way(False, 10)


def test_it_calls_while_live_items_take_no_longer_than_ever() -> None:
    assert way(age_s=0.0) == Way(False, 10)
    assert way(age_s=2.0) == Way(False, 10)


def test_it_waits_while_a_live_item_waits() -> None:
    found = way(age_s=2.1)
    assert (found.hold, found.why) == (True, "live traffic goes first")


def test_it_leaves_live_traffic_a_part_of_each_limit() -> None:
    assert way(remaining=0.3).hold is False
    assert way(remaining=0.1).hold is True


def test_a_share_bounds_its_calls_and_its_part_of_the_limits_and_nothing_else() -> None:
    assert way(share=0.5, age_s=99.0) == Way(False, 5)
    assert way(share=0.5, remaining=0.4).hold is True
    assert way(share=0.5, remaining=0.6).hold is False
    assert way(share=0.01).max_in_flight == 1
    assert way(share=1.0, remaining=0.0) == Way(False, 10)


def test_an_undisturbed_item_takes_its_window_its_call_and_its_commit() -> None:
    assert undisturbed_s(0.05, 0.1, 2.0, 0.25) == pytest.approx(3.65)
    assert undisturbed_s(0.0, 0.0, None, 0.0) == 1.5


class Look:
    """Looks of one second each at a partition."""

    def __init__(self) -> None:
        self.traffic, self.now = LiveTraffic(), 0.0

    def __call__(self, end: int, committed: int | None) -> float:
        self.now += 1.0
        commits = {} if committed is None else {0: committed}
        self.traffic.observe(self.now, {0: end}, commits)
        return self.traffic.age_s(self.now, commits)


def test_the_age_is_that_of_the_oldest_item_that_is_not_committed() -> None:
    look = Look()
    assert look(10, 10) == 0.0
    assert look(12, 10) == 0.0  # came since the last look
    assert look(14, 10) == 1.0
    assert look(14, 11) == 2.0
    assert look(14, 12) == 2.0  # those of the third look are left
    assert look(14, 14) == 0.0
    assert look(15, 14) == 0.0


def test_steady_traffic_that_is_committed_as_it_comes_never_grows_old() -> None:
    look = Look()
    ages = [look(10 * n, 10 * (n - 1)) for n in range(1, 500)]
    assert max(ages) <= 1.0


def test_a_partition_that_the_group_has_never_committed_does_not_wait() -> None:
    look = Look()
    assert [look(10, None), look(20, None)] == [0.0, 0.0]


def test_a_group_that_stands_still_for_long_takes_bounded_memory_and_stays_old() -> None:
    look = Look()
    ages = [look(10 + n, 5) for n in range(3 * MAX_SEEN)]
    assert ages[-1] == 3 * MAX_SEEN - 1
    assert len(look.traffic._seen[0]) <= MAX_SEEN + 1
    assert look(10 + 3 * MAX_SEEN, 9 + 3 * MAX_SEEN) > 0


def test_what_is_left_of_a_limit_fills_up_by_a_sixtieth_a_second() -> None:
    remaining = Remaining()
    assert remaining.share(0.0) == 1.0
    limits = RateLimits(requests=Quota(60, 10, 50.0), input_tokens=Quota(6000, 5900, 1.0))
    remaining.learn(limits, 5.0)
    assert remaining.share(5.0) == pytest.approx(10 / 60)
    remaining.learn(limits, 30.0)  # the same answer again says nothing new
    assert remaining.share(30.0) == pytest.approx(35 / 60)
    assert remaining.share(65.0) == 1.0


def test_a_limit_that_holds_less_than_a_minute_s_worth_is_full_at_its_reset() -> None:
    remaining = Remaining()
    remaining.learn(RateLimits(requests=Quota(600, 18, 0.2)), 0.0)
    assert remaining.share(0.0) == pytest.approx(0.9)
    remaining.learn(RateLimits(requests=Quota(600, 0, 2.0)), 1.0)
    assert remaining.share(1.0) == 0.0
    assert remaining.share(2.0) == pytest.approx(0.5)


def test_a_limit_that_says_nothing_holds_nothing() -> None:
    remaining = Remaining()
    remaining.learn(RateLimits(requests=Quota(None, None, None)), 0.0)
    assert remaining.share(0.0) == 1.0
    remaining.learn(RateLimits(requests=Quota(600, 60, None)), 1.0)
    assert remaining.share(1.0) == pytest.approx(0.1)
    assert remaining.share(31.0) == pytest.approx(0.6)
