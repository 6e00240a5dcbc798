"""Microbatches shrink where their replies show that they are too large, and grow back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.batch_size import COMPARED, GROW_AFTER, REMEMBERED_S, BatchSize, Sign

FINE, UNUSABLE, SLOW = Sign.FINE, Sign.UNUSABLE, Sign.SLOW


class Task:
    """Full microbatches, one call after the other."""

    def __init__(self, configured: int = 20) -> None:
        self.size = BatchSize(configured)
        self.calls = 0
        self.now = 0.0

    def reply(
        self, sign: Sign = FINE, *, times: int = 1, left_out: int = 0, took_s: float = 1.0
    ) -> Task:
        for _ in range(times):
            self.calls += 1
            items = self.size.limit
            left = min(items, left_out)
            self.size.ended(self.calls, self.calls, items, left, took_s, sign, self.now)
        return self


def test_it_begins_as_configured() -> None:
    assert BatchSize(20).limit == 20


@pytest.mark.parametrize("sign", [UNUSABLE, SLOW])
def test_a_sign_takes_a_quarter_away(sign: Sign) -> None:
    assert Task().reply(sign).size.limit == 15


def test_a_tenth_of_the_items_without_an_answer_is_a_sign_and_fewer_are_none() -> None:
    assert Task().reply(left_out=1).size.limit == 20
    assert Task().reply(left_out=2).size.limit == 15


def test_calls_that_had_begun_before_a_cut_are_one_sign_with_it() -> None:
    size = BatchSize(20)
    for number in (3, 1, 2, 5, 4):
        size.ended(number, 5, 20, 0, 1.0, UNUSABLE, 0.0)
    assert size.limit == 15


def test_a_small_call_says_nothing_of_large_ones() -> None:
    size = BatchSize(20)
    size.ended(1, 1, 5, 0, 1.0, UNUSABLE, 0.0)
    assert size.limit == 20


def test_it_grows_back_to_just_below_what_was_too_large() -> None:
    task = Task().reply(UNUSABLE).reply(times=GROW_AFTER)
    assert task.size.limit == 16
    assert task.reply(times=1_000).size.limit == 19


def test_after_ten_minutes_it_tries_again_what_was_too_large() -> None:
    task = Task().reply(UNUSABLE).reply(times=1_000)
    task.now = REMEMBERED_S
    assert task.reply(times=GROW_AFTER).size.limit == 20


def test_items_that_are_never_answered_leave_the_size_as_it_was_in_the_end() -> None:
    """A tenth of the items, whatever the size."""
    task = Task()
    for _ in range(10 * COMPARED):
        task.reply(left_out=-(-task.size.limit // 10))
    assert task.size.limit == 20


def test_fewer_items_left_out_by_smaller_microbatches_keep_them_small() -> None:
    task = Task().reply(left_out=4, times=1)
    for _ in range(5 * COMPARED):
        task.reply(left_out=4 if task.size.limit > 15 else 0)
    assert 15 <= task.size.limit <= 19


def test_an_api_that_is_slow_whatever_it_is_asked_gets_full_microbatches_again() -> None:
    task = Task().reply(SLOW, took_s=40.0, times=20 * COMPARED)
    assert task.size.limit == 20


def test_one_whose_time_follows_the_items_gets_as_many_as_it_answers_in_time() -> None:
    task = Task()
    for _ in range(30 * COMPARED):
        took_s = 2.5 * task.size.limit
        task.reply(SLOW if took_s > 30 else FINE, took_s=took_s)
    assert 9 <= task.size.limit <= 14


def test_another_configured_number_holds_at_once() -> None:
    size = BatchSize(20)
    size.resize(8)
    assert size.limit == 8
    size.resize(30)
    assert size.limit == 30


def test_a_microbatch_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        BatchSize(0)


@settings(max_examples=60)
@given(
    st.integers(1, 100),
    st.lists(
        st.tuples(
            st.sampled_from(Sign), st.integers(1, 100), st.integers(0, 100), st.floats(0, 99)
        ),
        max_size=100,
    ),
)
def test_it_stays_between_one_and_what_is_configured(
    configured: int, replies: list[tuple[Sign, int, int, float]]
) -> None:
    size, now = BatchSize(configured), 0.0
    for number, (sign, items, left_out, took_s) in enumerate(replies, 1):
        now += took_s
        items = min(items, configured)
        size.ended(number, number, items, min(left_out, items), took_s, sign, now)
        assert 1 <= size.limit <= configured
