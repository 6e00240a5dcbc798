"""The question before a large run, and the estimate as a person reads it."""

from __future__ import annotations

import sys
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest

from streams.cli import replay_money
from streams.cli.replay_money import ask_first, basis, lines
from streams.cli.replay_request import ReplayRequest
from streams.errors import UsageError
from streams.jobs.replay import RangeEstimate

SUMMARY = {
    "items": 5_000,
    "calls": 250,
    "input_tokens": 400_000,
    "output_tokens": 50_000,
    "live": {"cost_usd": 12.5, "time_s": 100.0},
    "batch": {"cost_usd": 6.25, "time_s": 3_600.0},
}
JOB: Any = SimpleNamespace(
    settings=None, environ={}, plan=None, choice=None, where=None, into=None, mode="live",
    max_cost_usd=None,
)  # fmt: skip


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was estimated."""
    calls: list[Any] = []

    async def estimate(*arguments: Any, **keywords: Any) -> RangeEstimate:
        calls.append(keywords)
        return RangeEstimate(SUMMARY, False, 0)

    monkeypatch.setattr(replay_money, "estimate_range", estimate)
    return calls


@pytest.mark.parametrize(
    ("answer", "begins"),
    [("y\n", True), ("Yes\n", True), ("\n", False), ("no\n", False), ("", False)],
)
def test_on_a_terminal_a_large_run_is_asked_about(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, answer: str, begins: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", said := Terminal())
    assert ask_first(JOB, ReplayRequest(first="earliest"), 100_000) is begins
    assert "live   $12.5000, 100.0 s" in said.getvalue()
    assert said.getvalue().endswith("Begin it in live mode? [y/N] ")


def test_elsewhere_it_needs_the_flag(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    with pytest.raises(UsageError, match=r"about 5,000 items and \$12.5000: --yes begins it"):
        ask_first(JOB, ReplayRequest(first="earliest"), 100_000)


def test_a_yes_beforehand_costs_not_even_an_estimate(asked: list[Any]) -> None:
    assert ask_first(JOB, ReplayRequest(first="earliest", yes=True), 100_000)
    assert asked == []


def test_what_costs_less_in_batches_may_need_no_yes(asked: list[Any]) -> None:
    batch = SimpleNamespace(**{**vars(JOB), "mode": "batch"})
    assert ask_first(batch, ReplayRequest(first="earliest"), 100_000)  # type: ignore[arg-type]


def test_a_person_reads_both_prices_and_what_they_are_made_of() -> None:
    assert lines(SUMMARY) == [
        "5,000 items, 250 calls, 400,000 tokens in, 50,000 out",
        "live   $12.5000, 100.0 s",
        "batch  $6.2500, most of it within 60 min",
    ]
    unknown = {**SUMMARY, "live": {"cost_usd": None, "time_s": 1.0}}
    assert "cost not known" in lines({**unknown, "batch": None})[1]
    assert "a sample" in basis(RangeEstimate(SUMMARY, False, 0))
    assert "as 80 results of this task took" in basis(RangeEstimate(SUMMARY, True, 80))
