"""Both results of an item come together, in whatever order they are read."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.jobs.diff.comparison import Comparison
from streams.jobs.diff.item_places import NOWHERE, Places, place
from streams.jobs.diff.join import NotAtOnceError
from tests.diff.written import Record, Topic, compared, label, numbered, result

LABELS = "abc"


def counts(found: Comparison) -> tuple[dict[tuple[str, str], int], int, int]:
    return dict(found.labels.flips), found.missing["a"], found.missing["b"]


def topic_of(results: list[Record], partitions: int, chance: random.Random) -> Topic:
    made: Topic = {partition: [] for partition in range(partitions)}
    for each in results:
        made[chance.randrange(partitions)].append(each)
    return {partition: numbered(records) for partition, records in made.items()}


@given(
    labels=st.lists(st.tuples(st.sampled_from(LABELS + "-"), st.sampled_from(LABELS + "-"))),
    partitions=st.integers(1, 4),
    seed=st.integers(),
    limit=st.sampled_from([0, 3_000, 10**9]),
)
def test_any_order_gives_the_same_counts_also_where_much_waits_on_disk(
    labels: list[tuple[str, str]], partitions: int, seed: int, limit: int
) -> None:
    """ "-": the side lacks the item."""
    chance = random.Random(seed)
    sides = []
    for side in (0, 1):
        results = [
            result(number // 3, label(both[side]), partition=number % 3)
            for number, both in enumerate(labels)
            if both[side] != "-"
        ]
        chance.shuffle(results)
        sides.append(topic_of(results, partitions, chance))
    flips: dict[tuple[str, str], int] = {}
    for both in labels:
        if "-" not in both:
            flips[both] = flips.get(both, 0) + 1
    only_a = sum(a != "-" and b == "-" for a, b in labels)
    only_b = sum(a == "-" and b != "-" for a, b in labels)
    expected = flips, only_a, only_b
    assert counts(compared(*sides, limit=limit)) == expected
    assert counts(compared(*sides, at_once=True)) == expected


def test_an_item_that_comes_twice_or_much_that_waits_takes_a_survey_first() -> None:
    one, other = result(1, label("x")), result(2, label("y"))
    b = {0: numbered([other])}
    for a in ([one, one], [one, result(1, label("y"), fingerprint="new")]):
        with pytest.raises(NotAtOnceError):
            compared({0: numbered(a)}, b, at_once=True)
    changed = numbered([one, result(2, label("y"), fingerprint="new")])
    assert counts(compared({0: changed}, b, at_once=True)) == ({("y", "y"): 1}, 1, 0)
    with pytest.raises(NotAtOnceError):
        compared({0: [one]}, b, at_once=True, limit=10)
    assert counts(compared({0: [one]}, b, at_once=True)) == ({}, 1, 1)


def test_items_of_two_copies_of_a_source_are_matched_by_their_ids() -> None:
    a = {0: numbered([result(n, label("x"), id=n, topic="one") for n in range(5)])}
    b = {0: numbered([result(n + 70, label("x"), id=n, topic="two") for n in range(5)])}
    assert compared(a, b, by="id").equal["label"] == 5


def test_an_id_keeps_its_type() -> None:
    a = {0: [result(0, label("x"), id=1)]}
    b = {0: [result(0, label("x"), id="1")]}
    assert counts(compared(a, b, by="id")) == ({}, 1, 1)


def test_positions_in_topics_of_different_names_are_different_items() -> None:
    a = {0: numbered([result(1, label("x"), topic="one"), result(1, label("y"), topic="two")])}
    b = {0: numbered([result(1, label("y"), topic="two")])}
    assert counts(compared(a, b)) == ({("y", "y"): 1}, 1, 0)


def test_places_hold_the_last_record_of_an_item_and_count_items_once() -> None:
    places = Places()
    assert places.put(5 << 40, place(1, 10))
    assert not places.put(5 << 40, place(1, 7))
    assert places.get(5 << 40) == place(1, 10)
    assert places.get((5 << 40) + 1) == NOWHERE
    assert (len(places), list(places)) == (1, [(5 << 40, place(1, 10))])
