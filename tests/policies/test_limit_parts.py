"""Workers of a group share a limit: each has its part, and what some do not use goes to others."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.policies.limit_parts import FRESH_S, LimitParts, Word

LIMIT = 100.0


def word(own_part: float, per_s: float, at: float = 0.0, *, waits: bool = False) -> Word:
    return Word(own_part, [per_s], [waits], at)


def parts_of(words: list[Word], now: float = 0.0) -> list[float]:
    """What each may use, when all have heard all."""
    parts = []
    for name, own in enumerate(words):
        worker = LimitParts(str(name))
        worker.own_part = own.own_part
        for other, each in enumerate(words):
            worker.hear(str(other), each, now)
        parts += worker.parts([LIMIT], now)
    return parts


def test_what_one_does_not_use_goes_to_those_that_wait_by_their_own_parts() -> None:
    words = [word(0.4, 35, waits=True), word(0.2, 27, waits=True), word(0.4, 16)]
    assert parts_of(words) == pytest.approx([0.56, 0.28, 0.4])


def test_who_uses_more_than_its_own_part_gives_it_back_when_others_wait() -> None:
    words = [word(0.25, 40), word(0.75, 60, waits=True)]
    assert parts_of(words) == pytest.approx([0.25, 0.75])


def test_who_uses_more_than_its_own_part_and_does_not_wait_may_go_on_so() -> None:
    assert parts_of([word(0.25, 40), word(0.75, 5)]) == pytest.approx([0.4, 0.75])


def test_kinds_are_shared_one_by_one() -> None:
    one = LimitParts("a")
    one.own_part = 0.5
    one.hear("a", Word(0.5, [10, 50], [False, True], 0.0), 0.0)
    one.hear("b", Word(0.5, [50, 10], [True, False], 0.0), 0.0)
    assert one.parts([LIMIT, LIMIT], 0.0) == pytest.approx((0.5, 0.9))


def test_who_says_nothing_any_more_uses_nothing() -> None:
    one = LimitParts("a")
    one.own_part = 0.25
    one.hear("b", word(0.75, 75, waits=True), 0.0)
    one.hear("a", word(0.25, 25, at=FRESH_S - 1, waits=True), FRESH_S - 1)
    assert one.parts([LIMIT], FRESH_S - 0.1) == pytest.approx((0.25,))
    assert one.parts([LIMIT], FRESH_S) == (1.0,)


def test_each_keeps_to_its_own_part_while_its_words_do_not_come_back() -> None:
    one = LimitParts("a")
    one.own_part = 0.25
    assert one.parts([LIMIT], 0.0) == (0.25,)
    one.hear("a", word(0.25, 25, at=0.0, waits=True), FRESH_S)  # it was on its way for too long
    assert one.parts([LIMIT], FRESH_S) == (0.25,)


def test_after_a_rebalance_the_new_own_part_counts_at_once() -> None:
    one = LimitParts("a")
    one.hear("a", word(0.25, 25, waits=True), 0.0)
    one.hear("b", word(0.75, 75, waits=True), 0.0)
    one.own_part = 0.5
    assert one.parts([LIMIT], 1.0)[0] >= 0.5
    one.own_part = 1.0
    assert one.parts([LIMIT], 1.0) == (1.0,)


def test_a_limit_that_nobody_knows_is_shared_by_the_own_parts() -> None:
    one = LimitParts("a")
    one.own_part = 0.25
    one.hear("a", word(0.25, 25), 0.0)
    assert one.parts([inf], 0.0) == (0.25,)


WORDS = st.lists(
    st.tuples(st.integers(1, 50), st.floats(0, 2 * LIMIT), st.booleans()), min_size=1, max_size=8
)


@given(WORDS, st.integers(0, 50))
def test_together_they_use_the_limit_and_no_more_and_nobody_gets_less_than_its_own_part(
    rows: list[tuple[int, float, bool]], unassigned: int
) -> None:
    partitions = sum(row[0] for row in rows) + unassigned
    words = [word(own / partitions, per_s, waits=waits) for own, per_s, waits in rows]
    parts = parts_of(words)
    assert all(part >= each.own_part for part, each in zip(parts, words, strict=True))
    wanted = [inf if each.waits[0] else each.per_s[0] / LIMIT for each in words]
    used = [min(part, want) for part, want in zip(parts, wanted, strict=True)]
    assert sum(used) <= 1 + 1e-9
    if any(waits for _, _, waits in rows):
        assert sum(used) == pytest.approx(1)
