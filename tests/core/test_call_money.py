"""An engine starts calls while its budget has money for them."""

from __future__ import annotations

import pytest

from streams.core import (
    Arrived,
    Delivered,
    Engine,
    Failed,
    Limits,
    Opened,
    Release,
    Replied,
    Slot,
    StartCall,
    Tick,
)
from streams.core.call_money import CallMoney
from streams.errors import CallError, Fault, ItemError
from streams.model import Usage
from streams.policies.budget import Budget, Budgets, OnBudget
from streams.policies.call_costs import CallCosts, Learned
from streams.policies.demand import Demand

HOUR = 3600.0
START = 100 * HOUR


class Bench:
    """An engine whose items cost 10 each, with a budget for some of them."""

    def __init__(self, budgets: Budgets, on_budget: OnBudget = "pause") -> None:
        costs = CallCosts(1.0, 1.0)
        costs.told = Learned(10.0, 0.0, 100)
        self.now = START
        self.budget = Budget(budgets, on_budget, self.now)
        self.woken = 0
        self.engine = Engine(
            Limits(max_items=2, max_wait_s=0, max_in_flight=3),
            random=lambda: 0.5,
            money=CallMoney(self.budget, costs),
            wake=self.wake,
        )
        self.seq = 0
        self.started: list[str] = []
        self.outcomes: list[object] = []
        self.handle(Opened("lane"))

    def wake(self) -> None:
        self.woken += 1

    def handle(self, event) -> None:
        for action in self.engine.handle(event, self.now):
            if isinstance(action, StartCall):
                self.started.append(action.call.id)
            if isinstance(action, Release):
                self.outcomes += [slot.outcome for slot in action.slots]
                self.handle(Delivered(action.lane, action.slots))
        self.engine.check_invariants()

    def arrive(self, count: int) -> None:
        slots = [Slot("lane", self.seq + n, f"item {n}", 1) for n in range(count)]
        self.seq += count
        for slot in slots:
            slot.arrived_at = self.now
        self.handle(Arrived(slots))

    def reply(self, cost: int | None, items: int = 2) -> None:
        call_id = self.started.pop(0)
        self.handle(Replied(call_id, ["yes"] * items, Usage(1, 1, cost)))

    def fail(self, fault: Fault) -> None:
        self.handle(Failed(self.started.pop(0), CallError(fault, "", retry_after_s=0)))

    @property
    def left(self) -> int | None:
        return self.budget.left_nano_usd(self.now).total


def test_no_call_starts_that_would_pass_the_budget() -> None:
    bench = Bench(Budgets(total=50))
    bench.arrive(10)
    assert len(bench.started) == 2
    assert bench.engine.next_deadline() is None


def test_what_a_reply_did_not_cost_starts_another_call() -> None:
    bench = Bench(Budgets(total=55))
    bench.arrive(10)
    assert len(bench.started) == 2
    bench.reply(10)
    assert len(bench.started) >= 2


def test_a_call_that_the_api_refuses_costs_nothing() -> None:
    bench = Bench(Budgets(total=40))
    bench.arrive(4)
    bench.fail(Fault.SERVER)
    assert bench.left == 20


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.CONNECTION])
def test_a_call_whose_end_nobody_knows_stays_spent(fault: Fault) -> None:
    bench = Bench(Budgets(total=40))
    bench.arrive(4)
    bench.fail(fault)
    assert bench.left == 0


def test_a_reply_that_does_not_say_what_it_cost_stays_at_what_was_reserved() -> None:
    bench = Bench(Budgets(total=40))
    bench.arrive(2)
    bench.reply(None)
    assert bench.left == 20


def test_the_next_hour_starts_what_waits() -> None:
    bench = Bench(Budgets(hour=20))
    bench.arrive(4)
    assert len(bench.started) == 1
    assert bench.engine.next_deadline() == START + HOUR
    bench.now = START + HOUR
    bench.handle(Tick())
    assert len(bench.started) == 2


def test_beyond_the_budget_items_are_dead_letters_in_order_and_without_a_call() -> None:
    bench = Bench(Budgets(total=20), "dead_letter")
    bench.arrive(6)
    assert len(bench.started) == 1
    bench.reply(20)
    assert bench.outcomes[:2] == ["yes", "yes"]
    assert [each.code for each in bench.outcomes[2:] if isinstance(each, ItemError)] == [
        "budget"
    ] * 4
    assert bench.engine.statistics().calls == 1
    assert bench.engine.watermark("lane") == 6


def test_who_waits_for_money_of_another_engine_is_woken_when_it_comes_back() -> None:
    bench = Bench(Budgets(total=40))
    other = bench.budget.take(40, bench.now)
    bench.arrive(2)
    assert not bench.started
    bench.budget.correct(other, 0)
    assert bench.woken == 1
    bench.handle(Tick())
    assert bench.started


def test_costs_are_learned_and_reserved_with_a_margin() -> None:
    costs, demand = CallCosts(0.5, 1.0), Demand(1, 300, 20)
    assert costs.of(2, demand) == 2 * 170
    for _ in range(200):
        costs.learn(2, demand, 340)
    assert 340 <= costs.of(2, demand) < 350
    other = CallCosts(0.5, 1.0)
    other.told = costs.learned
    assert 340 <= other.of(2, Demand(1, 0, 0)) < 350
    assert other.of(4, demand) == pytest.approx(2 * other.of(2, demand), abs=1)
