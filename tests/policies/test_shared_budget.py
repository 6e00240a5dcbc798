"""Workers that share a budget through a log never pass it, and can spend all of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.budget import OVER, Allowance, Budgets, OnBudget, Spent
from streams.policies.shared_budget import IDLE_S, SETTLE_S, Claim, SharedBudget

NOON = 500 * 86400.0 + 12 * 3600.0


@dataclass
class Log:
    """One partition, with what each worker has not read yet. `written` records its order."""

    written: list[tuple[str, Claim]] = field(default_factory=list)
    unread: dict[str, deque[tuple[str, Claim]]] = field(default_factory=dict)

    def join(self, worker: str, *, compacted: bool = False) -> None:
        records = self.written
        if compacted:  # the latest of each worker, at its place
            places = {name: n for n, (name, _) in enumerate(records)}
            records = [each for n, each in enumerate(records) if places[each[0]] == n]
        self.unread[worker] = deque(records)

    def write(self, worker: str, claim: Claim) -> None:
        self.written.append((worker, claim))
        for unread in self.unread.values():
            unread.append((worker, claim))


class Group:
    """Workers by name, over one log, in one time."""

    def __init__(self, budgets: Budgets, on_budget: OnBudget = "pause") -> None:
        self.budgets, self.on_budget = budgets, on_budget
        self.log = Log()
        self.now = NOON
        self.workers: dict[str, SharedBudget] = {}
        self.paid = 0  # by calls that ended, and by those that a kill cut off
        self.under_way: dict[str, list[Allowance]] = {}

    def start(self, name: str, *, compacted: bool = False) -> None:
        self.workers[name] = SharedBudget(self.budgets, self.on_budget, self.now, worker=name)
        self.under_way[name] = []
        self.log.join(name, compacted=compacted)
        self.read(name)

    def kill(self, name: str) -> None:
        del self.workers[name], self.log.unread[name]
        self.paid += sum(each.nano_usd for each in self.under_way.pop(name))

    def write(self, name: str) -> None:
        claim = self.workers[name].claim(self.now)
        if claim is not None:
            self.log.write(name, claim)

    def read(self, name: str) -> None:
        while self.log.unread[name]:
            self.workers[name].read(*self.log.unread[name].popleft(), self.now)

    def settle(self) -> None:
        """Everybody writes and reads until nobody has anything to write."""
        for _ in range(50):
            before = len(self.log.written)
            for name in self.workers:
                self.write(name)
            for name in self.workers:
                self.read(name)
            if len(self.log.written) == before:
                return
        raise AssertionError("the workers do not stop to write")

    def call(self, name: str, cost: int) -> bool:
        got = self.workers[name].reserve(cost, self.now)
        if isinstance(got, Allowance):
            self.under_way[name].append(got)
        return isinstance(got, Allowance)

    def end(self, name: str, cost: int | None = None) -> None:
        allowance = self.under_way[name].pop(0)
        cost = allowance.nano_usd if cost is None else cost
        self.paid += cost
        self.workers[name].correct(allowance, cost)

    @property
    def spent(self) -> int:
        rest = (each.nano_usd for some in self.under_way.values() for each in some)
        return self.paid + sum(rest)


def test_a_call_waits_until_its_claim_is_in_the_log() -> None:
    group = Group(Budgets(total=100))
    group.start("a")
    assert group.workers["a"].reserve(10, group.now) == inf
    group.write("a")
    assert group.workers["a"].reserve(10, group.now) == inf
    group.read("a")
    assert group.call("a", 10)


def test_of_two_claims_that_do_not_fit_together_the_first_in_the_log_holds() -> None:
    group = Group(Budgets(total=100))
    group.start("a")
    group.start("b")
    assert not group.call("a", 60)
    assert not group.call("b", 60)
    group.write("b")
    group.write("a")
    group.read("a")
    group.read("b")
    assert group.call("b", 60)
    assert not group.call("a", 60)
    group.settle()  # a takes its claim back
    assert group.workers["b"].left_nano_usd(group.now) == Budgets(total=40)
    assert not group.call("a", 40)
    group.settle()
    assert group.call("a", 40)


def test_what_a_killed_worker_had_claimed_stays_spent_and_a_restart_reads_it() -> None:
    group = Group(Budgets(total=100))
    group.start("a")
    group.call("a", 60)
    group.settle()
    assert group.call("a", 60)
    group.kill("a")
    group.start("a2", compacted=True)
    assert group.workers["a2"].left_nano_usd(group.now) == Budgets(total=40)
    assert group.workers["a2"].reserve(41, group.now) == inf
    group.write("a2")
    assert group.log.written[-1][0] == "a"


def test_what_others_spent_counts_in_its_own_hour() -> None:
    group = Group(Budgets(hour=100, total=1_000))
    group.start("a")
    worker, hour = group.workers["a"], int(NOON // 3600)
    worker.read("b", Claim(1, {"hour": Spent(hour - 1, 90), "total": Spent(0, 90)}), NOON)
    assert worker.left_nano_usd(NOON) == Budgets(hour=100, total=910)
    worker.read("b", Claim(2, {"hour": Spent(hour, 30), "total": Spent(0, 120)}), NOON)
    assert worker.left_nano_usd(NOON) == Budgets(hour=70, total=880)


def test_a_call_that_cost_more_than_it_reserved_is_told_to_the_others() -> None:
    group = Group(Budgets(total=100))
    group.start("a")
    group.start("b")
    group.call("a", 60)
    group.settle()
    group.call("a", 60)
    group.end("a", 90)
    group.settle()
    assert group.workers["b"].left_nano_usd(group.now) == Budgets(total=10)
    assert not group.call("b", 11)


def test_what_an_idle_worker_holds_goes_back() -> None:
    group = Group(Budgets(total=3_200))
    group.start("a")
    group.start("b")
    for _ in range(20):
        group.call("a", 10)
        group.settle()
        group.now += 0.01
    for _ in range(len(group.under_way["a"])):
        group.end("a")
    group.now += IDLE_S + 0.1
    group.settle()
    left = group.workers["b"].left_nano_usd(group.now).total
    assert left == 3_200 - group.spent


def test_many_calls_share_a_record() -> None:
    group = Group(Budgets(total=10**9))
    group.start("a")
    calls = 0
    while group.now < NOON + 10:
        if group.call("a", 100):
            calls += 1
        group.settle()
        group.now += 0.002
    assert calls > 4_900
    assert len(group.log.written) < 300


def test_items_are_given_up_only_when_nothing_comes_back() -> None:
    group = Group(Budgets(total=100), "dead_letter")
    group.start("a")
    group.start("b")
    for name in "ab":
        group.call(name, 50)
        group.settle()
        assert group.call(name, 50)
    asks_at = group.workers["a"].reserve(10, group.now)
    assert asks_at == group.now + SETTLE_S
    group.end("b", 30)
    group.now += 0.5
    group.settle()
    assert group.workers["a"].reserve(20, group.now) == inf
    group.settle()
    assert group.call("a", 20)
    group.workers["a"].reserve(1, group.now)
    group.now += SETTLE_S
    assert group.workers["a"].reserve(1, group.now) is OVER


def test_an_hour_begins_with_claims_of_its_own() -> None:
    group = Group(Budgets(hour=100, total=1_000))
    group.start("a")
    group.call("a", 100)
    group.settle()
    assert group.call("a", 100)
    assert group.workers["a"].reserve(10, group.now) == NOON + 3600
    group.now += 3600
    assert group.workers["a"].reserve(10, group.now) == inf
    group.settle()
    assert group.call("a", 10)
    latest = group.log.written[-1][1].spending
    assert latest["hour"] == Spent(int(group.now // 3600), 10)
    assert latest["total"] == Spent(0, 110)


def test_a_claim_that_was_under_way_for_too_long_is_none() -> None:
    group = Group(Budgets(total=100))
    group.start("a")
    group.call("a", 10)
    group.write("a")
    group.now += 3_000  # the process stood still
    group.read("a")
    assert not group.call("a", 10)
    group.settle()
    assert group.call("a", 10)


def test_slow_spreads_the_groups_money_evenly_by_the_workers_shares() -> None:
    """One has three quarters of the partitions, and so of the pace."""
    group = Group(Budgets(hour=36_000), "slow")
    shares, calls = {"a": 0.75, "b": 0.25}, {"a": [0] * 4, "b": [0] * 4}
    for name, share in shares.items():
        group.start(name)
        group.workers[name].share = share
    while group.now < NOON + 3600:
        for name in shares:
            if group.call(name, 100):
                calls[name][int((group.now - NOON) // 900)] += 1
        group.settle()
        group.now += 1
    by_quarter = [sum(each) for each in zip(*calls.values(), strict=True)]
    assert sum(by_quarter) >= 350
    assert max(by_quarter) - min(by_quarter) <= 20
    assert sum(calls["a"]) == pytest.approx(3 * sum(calls["b"]), rel=0.1)


steps = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "write", "write", "read", "read", "end", "kill"]),
        st.integers(0, 3),
        st.integers(1, 300),
        st.floats(0, 1.5),
    ),
    max_size=250,
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 3_000), steps)
def test_no_budget_is_passed_whoever_writes_reads_and_dies_when(
    total: int, steps: list[tuple[str, int, int, float]]
) -> None:
    """And when all come to rest, one of them can spend what is left but less than a call."""
    group = Group(Budgets(total=total))
    names, lives = [f"w{n}" for n in range(4)], 4
    for name in names:
        group.start(name)
    for step, index, cost, passed_s in steps:
        group.now += passed_s * passed_s
        name = names[index]
        if step == "call":
            group.call(name, cost)
        elif step == "write":
            group.write(name)
        elif step == "read":
            group.read(name)
        elif step == "end" and group.under_way[name]:
            group.end(name, min(cost, group.under_way[name][0].nano_usd))
        elif step == "kill":
            group.kill(name)
            names[index], lives = f"w{lives}", lives + 1
            group.start(names[index], compacted=bool(lives % 2))
        assert group.spent <= total
    for _ in range(3):
        group.now += IDLE_S + 1
        group.settle()
    left = group.workers[names[0]].left_nano_usd(group.now).total
    assert left is not None
    assert all(each.left_nano_usd(group.now).total == left for each in group.workers.values())
    spendable = 0
    while spendable < left:
        group.call(names[0], 1)
        group.settle()
        if not group.call(names[0], 1):
            break
        spendable += 1
        group.now += 0.2
        if spendable > 20:
            return
    assert spendable == max(0, min(left, 21))  # below 0: a claim that died before it was judged
