"""Workers under one limit use it up together, in simulated time: their calls are asked for, their
words go through a list."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.core.rate_line import RateLine
from streams.errors import BrokerError
from streams.policies.demand import Demand, Grant, PerMinute
from streams.policies.limit_parts import FRESH_S
from streams.policies.rate import Rate
from streams.worker.limit_shares import LOOK_S, TELL_S, LimitShares

PARTITIONS = 12
LIMITS = PerMinute(6_000, 600_000, None)
SHORT = Demand(1, 10, 1)  # requests bind, at 100 a second
LONG = Demand(1, 1_000, 1)  # input tokens bind, at 10 a second


class Member:
    """An engine, as its rate line sees it. `per_s`: the calls that come; None: it has a backlog."""

    priority = 0

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.per_s: float | None = None
        self.due = 0.0
        self.calls: list[float] = []

    def wake(self) -> None: ...

    def call(self, line: RateLine, start: float, end: float) -> None:
        """As early as they may start."""
        now = start
        while now < end:
            if self.per_s is not None:
                now = max(now, self.due)
            if now >= end:
                return
            got = line.reserve(self, self.demand, now)
            if isinstance(got, Grant):
                line.answered(self, got, self.demand, None, now)
                self.calls.append(now)
                if self.per_s is not None:
                    self.due = now + (1 / self.per_s if self.per_s else 1e9)
            else:
                now = got


class OneWorker:
    def __init__(self, partitions: int, demand: Demand = SHORT) -> None:
        self.line = RateLine(Rate(LIMITS, 0.0, says_limits=False), "limit")
        self.member = Member(demand)
        self.assigned = partitions
        task = SimpleNamespace(
            parts=SimpleNamespace(source="in", rate_lines={"limit": self.line}),
            route=SimpleNamespace(source_partitions=PARTITIONS),
        )
        self.tasks: Any = [task]
        self.shares = LimitShares(self.tasks, self.partitions, None, print)

    def partitions(self) -> Any:
        return [SimpleNamespace(where=SimpleNamespace(topic="in"))] * self.assigned

    def calls(self, start: float, end: float) -> int:
        return sum(start <= at < end for at in self.member.calls)


class Group:
    """`reaches`: whether words reach anybody. `told`: how many there were."""

    def __init__(self, *workers: OneWorker, reaches: bool = True) -> None:
        self.workers = list(workers)
        self.reaches = reaches
        self.now = 0.0
        self.told = 0

    def run(self, seconds: float) -> float:
        """The calls a second of all workers that live now, over the last half of the time."""
        steps = round(seconds / LOOK_S)
        for _ in range(steps):
            for worker in self.workers:
                worker.shares.look(self.now)
            if self.now % TELL_S == 0:
                self.tell()
            for worker in self.workers:
                worker.member.call(worker.line, self.now, self.now + LOOK_S)
            self.now += LOOK_S
        half = self.now - seconds / 2
        return sum(each.calls(half, self.now) for each in self.workers) / (seconds / 2)

    def tell(self) -> None:
        records = [record for each in self.workers for record in each.shares.records(self.now)]
        self.told += len(records)
        if self.reaches:
            for worker in self.workers:
                for record in records:
                    worker.shares.hear(record, self.now)


def rates(workers: Iterable[OneWorker], group: Group, seconds: float) -> list[float]:
    return [each.calls(group.now - seconds, group.now) / seconds for each in workers]


def test_four_workers_with_a_backlog_use_the_limit_by_their_partitions() -> None:
    workers = [OneWorker(n) for n in (6, 3, 2, 1)]
    group = Group(*workers)
    assert group.run(60) == pytest.approx(100, rel=0.01)
    assert rates(workers, group, 30) == pytest.approx([50, 25, 16.7, 8.3], rel=0.02)


def test_what_idle_workers_do_not_use_is_used_by_the_others() -> None:
    workers = [OneWorker(3) for _ in range(4)]
    workers[0].member.per_s, workers[1].member.per_s = 0.0, 10.0
    group = Group(*workers)
    assert group.run(60) == pytest.approx(100, rel=0.02)
    assert rates(workers, group, 30) == pytest.approx([0, 10, 45, 45], rel=0.02)


def test_a_worker_that_was_idle_has_its_part_at_once_and_the_limit_is_kept_after_it() -> None:
    workers = [OneWorker(3) for _ in range(4)]
    workers[0].member.per_s = 0.0
    group = Group(*workers)
    group.run(60)
    workers[0].member.per_s, workers[0].member.due = None, group.now
    group.run(10)
    all_calls = sum(each.calls(60, 70) for each in workers)
    assert all_calls <= 1_000 + 2 * 25 + TELL_S * 25  # its burst, and what it takes unheard
    assert workers[0].calls(65, 70) >= 0.9 * 5 * 25


def test_a_killed_workers_part_is_used_before_its_partitions_have_another_owner() -> None:
    workers = [OneWorker(3) for _ in range(4)]
    group = Group(*workers)
    group.run(40)
    group.workers = workers[:3]
    group.run(FRESH_S + TELL_S + 2)
    assert group.run(2) == pytest.approx(100, rel=0.03)


def test_a_rebalance_shares_anew() -> None:
    workers = [OneWorker(12), OneWorker(0)]
    workers[1].member.per_s = 0.0
    group = Group(*workers)
    assert group.run(40) == pytest.approx(100, rel=0.01)
    for worker in workers:
        worker.assigned = 6
    workers[1].member.per_s, workers[1].member.due = None, group.now
    assert group.run(20) == pytest.approx(100, rel=0.02)
    assert rates(workers, group, 10) == pytest.approx([50, 50], rel=0.03)


def test_a_worker_alone_tells_nothing_and_has_the_limit() -> None:
    group = Group(OneWorker(PARTITIONS))
    assert group.run(40) == pytest.approx(100, rel=0.01)
    assert group.told == 0


def test_a_worker_that_does_not_call_tells_nothing() -> None:
    worker = OneWorker(3)
    worker.member.per_s = 1.0
    group = Group(worker)
    group.run(20)
    assert group.told > 10
    worker.member.per_s, worker.member.due = 0.0, 1e9
    group.run(5)
    group.told = 0
    group.run(20)
    assert group.told == 0


def test_without_the_topic_each_keeps_to_its_own_part() -> None:
    workers = [OneWorker(3) for _ in range(4)]
    workers[0].member.per_s = 0.0
    group = Group(*workers, reaches=False)
    assert group.run(60) == pytest.approx(75, rel=0.01)


def test_workers_that_are_held_back_by_different_limits_use_up_both() -> None:
    short, long = OneWorker(6, SHORT), OneWorker(6, LONG)
    group = Group(short, long)
    group.run(60)
    with_short, with_long = rates([short, long], group, 30)
    assert with_short + with_long == pytest.approx(100, rel=0.02)
    assert 10 * with_short + 1_000 * with_long == pytest.approx(10_000, rel=0.02)


async def test_a_topic_that_cannot_be_used_stops_nobody_and_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = asyncio.Event()

    async def refuse(on_record: Any) -> Any:
        tried.set()
        raise BrokerError("no right to create it")

    defects: list[BaseException] = []
    worker = OneWorker(3)
    shares = LimitShares(worker.tasks, worker.partitions, refuse, defects.append)
    shares.start()
    await asyncio.wait_for(tried.wait(), 10)
    await asyncio.sleep(0)
    await shares.stop()
    assert "no right to create it. Each worker keeps to its own part" in caplog.text
    assert worker.line.rate.per_minute == PerMinute(1_500, 150_000, None)
    assert not defects
