"""What the benchmark of limits reads from a simulator's journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.limited_calls import Journal, read_journal

BEGAN = 1_000_000.0


def line(arrived: float, ended: float, **changes: object) -> str:
    record = {
        "model": "claude-haiku-5-5",
        "arrived_at": BEGAN + arrived,
        "ended_at": BEGAN + ended,
        "status": 200,
        "limit": "",
        "fault": "",
        "items": ["a", "b"],
        "input_tokens": 100,
        "output_tokens": 10,
    }
    return json.dumps(record | changes)


REFUSED = {"status": 429, "limit": "requests", "input_tokens": 0, "output_tokens": 0}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Two calls at once, one beside their end, a refusal, a call that was cut off."""
    lines = [
        line(1, 2.9),
        line(0, 2, items=["a"]),
        line(2.5, 2.5, **REFUSED),
        line(2.8, 7, model="claude-opus-4-8"),
        line(8, 9, status=499),
    ]
    path = tmp_path / "journal.jsonl"
    path.write_text("\n".join(lines))
    return read_journal(path)


def test_calls_are_counted_when_they_came_and_output_when_it_was_answered(journal: Journal) -> None:
    assert journal.used("requests", 0, 3) == 60
    assert journal.used("input_tokens", 0, 6) == 3000
    assert journal.used("output_tokens", 0, 6) == 200
    assert journal.used("output_tokens", 6, 8) == 300
    assert journal.began == BEGAN


def test_refusals_use_nothing_and_have_their_share(journal: Journal) -> None:
    assert (journal.refused(0, 9), journal.refused(3, 9)) == (1, 0)
    assert journal.refused_share(0, 9) == 0.25
    assert journal.refusals() == {"requests": 1}


def test_calls_in_flight_are_those_that_the_api_worked_on(journal: Journal) -> None:
    assert journal.in_flight(0, 9) == [1, 2, 2, 1, 1, 1, 1, 1, 0]
    assert journal.in_flight(4, 6, step_s=0.5) == [1, 1, 1, 1]


def test_a_model_has_its_own_calls(journal: Journal) -> None:
    assert journal.of("claude-opus-4-8").answers(0, 9) == 1
    assert journal.mean_items(0, 2) == 1.5
