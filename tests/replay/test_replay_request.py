"""The options of `streams replay`, and which do not go together."""

from __future__ import annotations

from typing import Any

import pytest

from streams.cli.replay_request import ReplayRequest
from streams.errors import UsageError


def refused(**options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        ReplayRequest(**options).check()
    return str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"first": "earliest"},
        {"first": "-2h", "until": "latest", "share": 0.5},
        {"first": "0", "mode": "batch", "deadline": "6h", "max_cost_usd": 10},
        {"resume": "x", "share": 0.5},
        {"resume": "x", "deadline": "1d12h", "max_cost_usd": 5, "yes": True},
        {"list_runs": True},
        {"cancel": "x"},
    ],
)
def test_these_go_together(options: dict[str, Any]) -> None:
    ReplayRequest(**options).check()


def test_a_range_needs_its_beginning() -> None:
    assert refused().startswith("--from")
    assert refused(until="latest").startswith("--from")


def test_one_thing_at_a_time() -> None:
    assert refused(resume="x", cancel="y") == "say one of --list, --resume RUN and --cancel RUN"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"resume": "x", "first": "0"}, "--from cannot be given with --resume"),
        ({"resume": "x", "where": "a", "into": "b"}, "--where, --into cannot be given"),
        ({"list_runs": True, "max_cost_usd": 1}, "--max-cost cannot be given with --list"),
        ({"cancel": "x", "dry_run": True}, "--dry-run cannot be given with --cancel"),
    ],
)
def test_a_run_goes_on_as_it_began(options: dict[str, Any], named: str) -> None:
    assert named in refused(**options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mode": "fast"}, "--mode must be live or batch"),
        ({"share": 0}, "--share must be"),
        ({"share": 1.5}, "--share must be"),
        ({"share": 0.5, "mode": "batch"}, "--share belongs to --mode live"),
        ({"deadline": "6h"}, "--deadline belongs to --mode batch"),
        ({"deadline": "soon", "mode": "batch"}, "--deadline must be a time"),
        ({"deadline": "0h", "mode": "batch"}, "--deadline must be a time"),
        ({"max_cost_usd": 0}, "--max-cost must be"),
        ({"max_cost_usd": float("nan")}, "--max-cost must be"),
        ({"exact": True}, "--exact belongs to --dry-run"),
    ],
)
def test_a_value_out_of_range_is_named(options: dict[str, Any], named: str) -> None:
    assert named in refused(first="earliest", **options)


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21_600), ("1d12h", 129_600), ("90m", 5400), ("30s", 30)]
)
def test_a_deadline_is_days_hours_minutes_seconds(text: str, seconds: float) -> None:
    request = ReplayRequest(first="0", mode="batch", deadline=text)
    assert request.deadline_s == seconds
