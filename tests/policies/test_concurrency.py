"""How many calls at once, where the API only refuses and never says what it allows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.concurrency import REMEMBERED_S, START, SUCCESSES, Concurrency


class Calls:
    """A cap with as many calls in flight as it allows, unless told otherwise."""

    def __init__(self, configured: int) -> None:
        self.cap = Concurrency(configured)
        self.begun = self.cap.limit
        self.now = 0.0

    def succeed(self, times: int, in_flight: int | None = None) -> Calls:
        for _ in range(times):
            self.cap.succeeded(self.cap.limit if in_flight is None else in_flight, self.now)
            self.begun += 1
        return self

    def refuse(self, times: int = 1, in_flight: int | None = None) -> Calls:
        """So many of those in flight, the latest ones."""
        at_once = self.cap.limit if in_flight is None else in_flight
        for n in range(times):
            self.cap.refused(self.begun - n, self.begun, at_once, self.now)
        self.begun += times
        return self


def after_cut() -> Calls:
    """The cap was 100 and is 75."""
    calls = Calls(200).succeed(180)
    assert calls.cap.limit == 100
    return calls.refuse()


def test_it_starts_low_and_grows_with_each_second_success_up_to_the_configured_cap() -> None:
    calls = Calls(50)
    assert calls.cap.limit == START
    assert calls.succeed(10).cap.limit == START + 5
    assert calls.succeed(500).cap.limit == 50


def test_a_small_configured_cap_is_there_at_once() -> None:
    assert Concurrency(5).limit == 5


def test_a_refusal_takes_a_quarter_away() -> None:
    assert after_cut().cap.limit == 75


def test_a_cut_is_taken_back_if_the_next_call_is_refused_all_by_itself() -> None:
    calls = after_cut()
    assert calls.cap.refused(calls.begun, calls.begun, 1, calls.now)
    assert (calls.cap.limit, calls.cap.ceiling) == (100, None)


def test_a_cut_stays_if_the_next_call_passes() -> None:
    calls = after_cut().succeed(1, in_flight=1)
    assert not calls.cap.refused(calls.begun, calls.begun, 1, calls.now)
    assert calls.cap.limit == 75


def test_what_the_rate_of_calls_explains_cuts_only_where_the_cap_was_reached() -> None:
    cap = after_cut().cap
    assert not cap.refused(1_001, 1_001, 74, 0.0, is_for_rate=True)
    assert cap.refused(1_001, 1_001, 75, 0.0, is_for_rate=True)


def test_fifty_refusals_at_once_are_one_cut() -> None:
    assert Calls(200).succeed(180).refuse(50).cap.limit == 75


def test_a_refusal_of_a_later_call_is_another_cut() -> None:
    calls = after_cut()
    calls.begun += 1
    assert calls.refuse().cap.limit == 56


def test_after_a_refusal_it_grows_by_one_each_25_successes() -> None:
    calls = after_cut()
    assert calls.succeed(SUCCESSES - 1).cap.limit == 75
    assert calls.succeed(1).cap.limit == 76


def test_it_is_frozen_while_nobody_reaches_it() -> None:
    calls = after_cut()
    assert calls.succeed(1_000, in_flight=74).cap.limit == 75


def test_refusals_while_few_calls_are_in_flight_say_nothing() -> None:
    """Ten minutes of nothing but refusals: probes, one at a time."""
    calls = after_cut()
    for _ in range(100):
        calls.begun += 1
        calls.refuse(in_flight=1)
    assert calls.cap.limit == 75


def test_it_rests_below_the_ceiling_for_ten_minutes() -> None:
    calls = after_cut().succeed(10_000)
    assert calls.cap.limit == 95
    calls.now = REMEMBERED_S - 1
    assert calls.succeed(10_000).cap.limit == 95


def test_then_it_probes_a_little_above_the_ceiling_and_goes_back_where_that_is_refused() -> None:
    calls = after_cut().succeed(10_000)
    calls.now = REMEMBERED_S
    assert calls.succeed(10 * SUCCESSES - 1).cap.limit == 104
    assert calls.refuse().cap.limit == 95
    calls.now += REMEMBERED_S - 1
    assert calls.succeed(10_000).cap.limit == 95


def test_a_ceiling_that_is_gone_is_passed_by_five_percent_each_ten_minutes_at_least() -> None:
    calls = after_cut().succeed(10_000)
    for _ in range(20):
        calls.now += REMEMBERED_S
        calls.succeed(10_000)
    assert calls.cap.limit == 200


def test_one_timeout_may_be_its_items_fault_two_are_a_refusal() -> None:
    cap = Concurrency(10)
    assert not cap.timed_out(10, 10, 10, 0.0)
    assert cap.timed_out(9, 10, 10, 0.0)
    assert cap.limit == 7


def test_timeouts_among_successes_cut_nothing() -> None:
    calls = Calls(10)
    for _ in range(50):
        calls.begun += 1
        assert not calls.cap.timed_out(calls.begun, calls.begun, 10, 0.0)
        calls.succeed(SUCCESSES)
    assert calls.cap.limit == 10


def test_another_configured_cap_bounds_it_at_once() -> None:
    calls = Calls(50).succeed(500)
    calls.cap.resize(20)
    assert calls.cap.limit == 20
    calls.cap.resize(30)
    assert calls.succeed(20).cap.limit == 30


def test_a_cap_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Concurrency(0)


@settings(max_examples=60)
@given(
    st.integers(1, 300),
    st.lists(
        st.tuples(
            st.sampled_from(["success", "refusal", "timeout", "resize"]),
            st.integers(0, 300),
            st.floats(0, 300),
        ),
        max_size=100,
    ),
)
def test_it_stays_between_one_and_what_is_configured(
    configured: int, steps: list[tuple[str, int, float]]
) -> None:
    cap, now, begun = Concurrency(configured), 0.0, 0
    for step, amount, passed_s in steps:
        now, begun = now + passed_s, begun + 1
        before = cap.limit
        if step == "success":
            cap.succeeded(amount, now)
            assert before <= cap.limit <= before + 1
        elif step == "resize":
            configured = max(1, amount)
            cap.resize(configured)
        else:
            tell = cap.refused if step == "refusal" else cap.timed_out
            tell(max(1, begun - amount), begun, amount, now)
            assert min(before, int(0.7 * before)) <= cap.limit <= before
        assert 1 <= cap.limit <= configured
