"""Every position of a range has exactly one outcome, or the run is not complete."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.jobs.judge import Outcome, judge
from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.outcome_marks import PAGE
from streams.kafka.extents import Extent

RANGE = {0: Extent(0, 3 * PAGE), 1: Extent(10, 20)}


def outcome(partition: int, offset: int, topic: str = "out", key: bytes | None = None) -> Outcome:
    return Outcome(topic, 0, partition, offset, key)


def test_a_range_is_complete_with_one_outcome_for_each_position() -> None:
    found = Completeness(RANGE, "partition")
    found.expected(0, [0, 1, PAGE, 2 * PAGE])
    found.expected(1, [10, 11, 12])
    for offset in (0, PAGE, 2 * PAGE):
        found.outcome(outcome(0, offset))
    found.outcome(outcome(0, 1, "dead"), dead=True)
    found.outcome(outcome(1, 11))
    found.dropped(1, [(10, 10), (12, 12)])
    assert found.verdict.is_complete
    assert (found.items, found.outcomes, found.dead, found.drops) == (7, 5, 1, 2)
    assert found.verdict == (0, 0, 0)


def test_it_names_what_is_lost_and_what_is_there_twice() -> None:
    found = Completeness(RANGE, "partition")
    found.expected(0, range(5))
    for offset in (0, 2, 2, 4, 4, 4):
        found.outcome(outcome(0, offset))
    assert found.lost() == [(0, 1), (0, 3)]
    assert found.repeated() == [(0, 2), (0, 4)]
    assert found.verdict == (2, 3, 0)
    assert not found.verdict.is_complete
    assert found.lost(1) == [(0, 1)]


def test_a_drop_and_a_result_of_one_position_are_two_outcomes() -> None:
    found = Completeness(RANGE, "partition")
    found.expected(1, [10])
    found.outcome(outcome(1, 10))
    found.dropped(1, [(10, 10)])
    assert found.verdict == (0, 1, 0)


def test_outcomes_of_other_positions_do_not_count() -> None:
    found = Completeness(RANGE, "partition")
    found.outcome(outcome(1, 20))
    found.outcome(outcome(7, 0))
    assert found.outcomes == 0


def test_it_knows_what_an_earlier_process_has_written() -> None:
    found = Completeness(RANGE, "partition")
    found.outcome(outcome(0, PAGE + 3))
    assert found.has(0, PAGE + 3)
    assert not found.has(0, PAGE + 2)
    assert not found.has(1, 10)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30), st.sampled_from(["a", "b", None]))),
    st.sampled_from(["partition", "key", "none"]),
    st.randoms(use_true_random=False),
)
def test_it_judges_as_the_judge_of_whole_topics_does(
    rows: list[tuple[int, int, str | None]], order: str, chance: random.Random
) -> None:
    keys = {place[:2]: place[2] for place in rows}
    outcomes = [
        Outcome("out", chance.randrange(2), p, o, None if k is None else k.encode())
        for (p, o), k in keys.items()
        for _ in range(chance.choice([0, 1, 1, 2]))
    ]
    chance.shuffle(outcomes)
    expected = {(p, o) for p, o, _ in rows}
    found = Completeness({0: Extent(0, 31), 1: Extent(0, 31)}, order)  # type: ignore[arg-type]
    for each in outcomes:
        found.outcome(each)
    for partition, offset in expected:
        found.expected(partition, [offset])
    assert found.verdict == judge(expected, outcomes, order)  # type: ignore[arg-type]
