"""A run as its state remembers it."""

from __future__ import annotations

import re

import pytest

from streams.core.ranges import Range
from streams.errors import StreamsError
from streams.jobs.replay.range_shell import DropNotes
from streams.jobs.replay.run_counts import calls_allowed
from streams.jobs.replay.run_facts import (
    RunFacts,
    RunProgress,
    new_run_id,
    read_ranges,
    task_digest,
    write_ranges,
)
from streams.kafka.extents import Extent
from streams.settings import TaskSettings

FACTS = RunFacts(
    run="20261129-120000-0f3a",
    task="sentiment",
    mode="live",
    fingerprint="5f1d",
    digest="77",
    source="reviews",
    sink="reviews.side",
    dead_letter="reviews.dead",
    first="earliest",
    until="latest",
    where="stars > `3`",
    share=0.5,
    deadline_at_ms=None,
    max_cost_usd=2.5,
    started_at_ms=1_795_000_000_000,
    extents={0: Extent(5, 17), 11: Extent(0, 0)},
    sink_starts={0: 7},
    dead_starts={0: 0},
    ledger_starts={0: 3},
)


def test_facts_are_the_same_after_writing_and_reading() -> None:
    assert RunFacts.read(FACTS.write()) == FACTS
    assert FACTS.offsets == 12


@pytest.mark.parametrize("value", [b"{}", b"[]", b"no JSON", b'{"extents": 7}'])
def test_facts_of_another_version_are_refused_in_one_line(value: bytes) -> None:
    with pytest.raises(StreamsError, match="another version"):
        RunFacts.read(value)


def test_progress_is_the_same_after_writing_and_reading_and_empty_without_a_record() -> None:
    progress = RunProgress("stopped", 10, 4, {0: 9}, {0: None, 1: 5}, {"calls": 3})
    assert RunProgress.read(progress.write()) == progress
    assert RunProgress.read(None) == RunProgress()


def test_a_run_id_fits_a_custom_id_and_sorts_by_time() -> None:
    first, second = new_run_id(1_795_000_000_000), new_run_id(1_795_000_001_000)
    assert re.fullmatch(r"[a-z0-9-]{20}", first)
    assert first < second
    assert new_run_id(1_795_000_000_000)[:15] == first[:15]


def task(**changes: object) -> TaskSettings:
    facts = {"name": "t", "source": "s", "sink": "o", "operation": "classify", "labels": ["a", "b"]}
    return TaskSettings.model_validate({**facts, **changes})


@pytest.mark.parametrize(
    "change", [{"text": "/body"}, {"order": "none"}, {"tombstones": "drop"}, {"labels": ["a", "c"]}]
)
def test_what_changes_results_changes_the_digest_of_a_task(change: dict[str, object]) -> None:
    assert task_digest(task(**change)) != task_digest(task())


@pytest.mark.parametrize(
    "change", [{"sink": "x"}, {"calls": {"max_in_flight": 9}}, {"batch": {"max_items": 7}}]
)
def test_how_fast_and_where_to_does_not(change: dict[str, object]) -> None:
    assert task_digest(task(**change)) == task_digest(task())


def test_drops_are_ranges_that_grow() -> None:
    notes = DropNotes({0: [(0, 3)]})
    assert notes.changed == []
    notes.add(0, [4, 9, 8])
    notes.add(2, [5])
    assert notes.changed == [0, 2]
    assert notes.ranges(0) == [(0, 4), (8, 9)]
    assert notes.changed == [2]
    assert notes.ranges(2) == [(5, 5)]
    assert notes.ranges(7) == []


@pytest.mark.parametrize("ranges", [[], [(0, 0)], [(3, 9), (12, 12), (2**40, 2**40 + 5)]])
def test_ranges_are_the_same_after_writing_and_reading(ranges: list[Range]) -> None:
    assert read_ranges(write_ranges(ranges)) == ranges


def test_the_first_call_goes_alone_and_the_last_ones_stay_within_the_cost() -> None:
    assert calls_allowed({"cost_usd": 0.0, "answered": 0}, 1.0) == 1
    assert calls_allowed({"cost_usd": 0.01, "answered": 1}, 0.46) == 29
    assert calls_allowed({"cost_usd": 0.45, "answered": 45}, 0.46) < 1


def test_calls_that_cost_nothing_are_not_bounded_by_money() -> None:
    assert calls_allowed({"cost_usd": 0.0, "answered": 3}, 1.0) > 10_000
