"""The failures of other coalescers are run against ours in every test run, not in benchmarks alone;
and what measures the uses measures what it says."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.uses.__main__ import USES, run
from benchmarks.uses.callers import equal
from benchmarks.uses.failure_table import verdict
from benchmarks.uses.failures import FAILURES, Make, callers, ended, quick
from benchmarks.uses.measure import Effort, one_by_one, percentile
from benchmarks.uses.peers import Ours, Peer
from benchmarks.uses.stage_failures import STAGE_FAILURES, stage_verdict
from benchmarks.uses.stage_peers import OurStages


@pytest.mark.parametrize("number", STAGE_FAILURES)
def test_our_stages_pass_the_failure(number: int) -> None:
    assert stage_verdict(number, OurStages) == "passes"


def test_together_they_are_the_eighteen() -> None:
    assert sorted([*FAILURES, *STAGE_FAILURES]) == list(range(1, 19))


@pytest.mark.parametrize("number", FAILURES)
def test_ours_passes_the_failure(number: int) -> None:
    _, failure = FAILURES[number]
    assert verdict(failure, Ours) == "passes"


class Forgetful(Peer):
    """One that answers nobody."""

    name = "forgetful"
    lacks = frozenset({"unique"})

    def __init__(self, function: object, **options: object) -> None:
        pass

    async def submit(self, item: object) -> object:
        return await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        pass


def test_a_library_that_hangs_or_lacks_a_word_is_told_as_such() -> None:
    async def answers(make: Make) -> None:
        await ended(callers(make(quick), [1]))

    async def needs_unique(make: Make) -> None:
        make(quick, unique=lambda item: item)

    async def wrong(make: Make) -> None:
        raise AssertionError("so it is")

    assert verdict(answers, Forgetful) == "hangs: 1 of 1 callers hang"
    assert verdict(needs_unique, Forgetful) == "-: no unique"
    assert verdict(wrong, Forgetful) == "fails: so it is"


async def test_one_call_per_item_is_measured_for_some_and_counted_for_all() -> None:
    calls: list[int] = []

    async def call(item: int) -> None:
        calls.append(item)

    await one_by_one(call, range(100), Effort())
    assert len(calls) == 20
    await one_by_one(call, range(100), Effort(whole=True))
    assert len(calls) == 120


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_each_use_is_in_the_table_and_gives_a_report_with_bars() -> None:
    assert {"classification", "embedding", "failures"} <= USES.keys()
    report = run(equal, Effort(1))
    assert report.bars
    assert all(bar.held for bar in report.bars)
