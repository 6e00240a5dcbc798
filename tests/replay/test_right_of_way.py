"""A live replay gives way: live traffic of the same account goes first."""

from __future__ import annotations

from itertools import groupby
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.jobs.replay.right_of_way import (
    MAX_LOOK_S,
    MAX_SEEN,
    LiveTraffic,
    Remaining,
    Tenth,
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
    assert max(ages[1:]) <= 1.0


def test_what_waits_at_the_first_look_is_taken_for_old_until_it_is_committed() -> None:
    look = Look()
    assert look(1_000, 10) == inf
    assert look(1_001, 999) == inf
    assert look(1_002, 1_000) == 1.0


def test_a_partition_that_the_group_has_never_committed_does_not_wait() -> None:
    look = Look()
    assert [look(10, None), look(20, None)] == [0.0, 0.0]


def test_a_group_that_stands_still_for_long_takes_bounded_memory_and_stays_old() -> None:
    look = Look()
    look(5, 5)
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


LOOK_S = 0.25
FREE, WAITS = way(), way(age_s=99.0)


class Stretches:
    """Applies the tenth at each look; `gone_s`: how long the replay went, of `now` seconds."""

    def __init__(self) -> None:
        self.tenth, self.now, self.gone_s = Tenth(), 0.0, 0.0
        self.went = [True]
        self.found = self.tenth.apply(FREE, 0.0)

    def look(self, asked: Way, after_s: float = LOOK_S) -> Way:
        self.now += after_s
        if not self.found.hold:
            self.gone_s += after_s
        self.found = self.tenth.apply(asked, self.now)
        self.went.append(not self.found.hold)
        return self.found

    def looks(self, asked: Way, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.look(asked)


def test_a_replay_that_must_wait_all_the_time_has_a_tenth_of_it_in_stretches_of_a_second() -> None:
    run = Stretches()
    run.looks(WAITS, 1000)
    assert 0.09 <= run.gone_s / run.now <= 0.12
    stretches_s = [len(list(looks)) * LOOK_S for went, looks in groupby(run.went) if went]
    assert all(0.9 <= each <= 1.3 for each in stretches_s[1:-1])


def test_the_first_nine_seconds_that_it_must_wait_it_waits() -> None:
    run = Stretches()
    run.looks(WAITS, 9)
    assert not any(run.went[1:])


def test_it_says_that_it_goes_all_the_same_and_keeps_to_its_calls_at_once() -> None:
    run = Stretches()
    while (found := run.look(way(share=0.5, remaining=0.1))).hold:
        assert run.now < 11
    assert found == Way(
        False, 5, "its share of the limits is used, but one second in ten is the replay's"
    )
    assert run.look(FREE) == FREE


def test_a_hold_right_after_it_went_freely_holds_at_once() -> None:
    """Also one that comes while it has nearly earned its second, or right after that second."""
    for waited_s in range(30):
        run = Stretches()
        run.looks(WAITS, waited_s)
        run.look(FREE)
        assert run.look(WAITS) == WAITS
    run.looks(FREE, 2)
    run.looks(WAITS, 9)
    assert not any(run.went[-round(9 / LOOK_S) :])


def test_a_look_that_hung_for_minutes_earns_no_second() -> None:
    run = Stretches()
    run.look(WAITS)
    assert run.look(WAITS, after_s=600.0) == WAITS
    run.looks(WAITS, 5)
    assert not any(run.went[1:])


def test_a_look_that_hung_in_its_second_ends_it_and_is_made_up_for() -> None:
    run = Stretches()
    while run.look(WAITS).hold:
        pass
    assert run.look(WAITS, after_s=MAX_LOOK_S) == WAITS
    run.looks(WAITS, 25)
    assert not any(run.went[-100:])


def test_holds_that_come_and_go_leave_it_a_tenth_too() -> None:
    run = Stretches()
    for _ in range(100):
        run.looks(WAITS, 9.5)
        run.look(FREE)
    assert run.gone_s / run.now >= 0.09


@given(st.lists(st.tuples(st.booleans(), st.floats(0.25, 1.0)), min_size=1, max_size=300))
def test_whatever_holds_come_it_goes_for_a_tenth_and_what_it_has_earned(
    looks: list[tuple[bool, float]],
) -> None:
    run, free_s = Stretches(), 0.0
    for holds, after_s in looks:
        if run.found == FREE:
            free_s += after_s
        run.look(WAITS if holds else FREE, after_s)
    losses_s = 0.1 * len(list(groupby(run.went)))  # what a look earns beyond a second
    assert run.gone_s >= 0.1 * run.now - 1.0 - losses_s
    assert run.gone_s - free_s <= 0.1 * run.now + 1.0
