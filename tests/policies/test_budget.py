"""Calls start while there is money for them, in the hour, in the day and in all."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.budget import (
    OVER,
    Allowance,
    Budget,
    Budgets,
    OnBudget,
    Spending,
    Spent,
)

HOUR, DAY = 3600.0, 86400.0
NOON = 500 * DAY + 12 * HOUR
"""A moment at which an hour begins, in the middle of a day."""


def spend(budget: Budget, nano_usd: int, now: float, cost: int | None = None) -> None:
    got = budget.reserve(nano_usd, now)
    assert isinstance(got, Allowance)
    if cost is not None:
        budget.correct(got, cost)


def test_a_call_that_would_pass_the_hours_budget_waits_for_the_next_hour() -> None:
    budget = Budget(Budgets(hour=100), "pause", NOON)
    spend(budget, 60, NOON)
    assert budget.reserve(60, NOON + 10) == NOON + HOUR
    spend(budget, 40, NOON + 10)
    assert budget.reserve(1, NOON + HOUR - 1) == NOON + HOUR
    spend(budget, 60, NOON + HOUR)


def test_the_tightest_budget_says_how_long() -> None:
    budget = Budget(Budgets(hour=100, day=150), "pause", NOON)
    spend(budget, 100, NOON)
    assert budget.reserve(50, NOON) == NOON + HOUR
    spend(budget, 50, NOON + HOUR)
    assert budget.reserve(1, NOON + HOUR) == 501 * DAY
    spend(budget, 100, 501 * DAY)


def test_the_total_is_for_ever_and_so_is_a_call_dearer_than_its_budget() -> None:
    budget = Budget(Budgets(total=100), "pause", NOON)
    spend(budget, 100, NOON)
    assert budget.reserve(1, NOON + 1_000 * DAY) == inf
    assert Budget(Budgets(hour=100), "pause", NOON).reserve(101, NOON) == inf


def test_what_a_call_did_not_cost_is_there_again() -> None:
    budget = Budget(Budgets(hour=100), "pause", NOON)
    spend(budget, 90, NOON, cost=30)
    assert budget.left_nano_usd(NOON) == Budgets(hour=70)
    spend(budget, 70, NOON)


def test_a_call_counts_in_the_hour_in_which_it_began() -> None:
    budget = Budget(Budgets(hour=100, day=1_000), "pause", NOON)
    began = budget.reserve(90, NOON + HOUR - 1)
    assert isinstance(began, Allowance)
    spend(budget, 100, NOON + HOUR)
    budget.correct(began, 10)
    assert budget.left_nano_usd(NOON + HOUR) == Budgets(hour=0, day=890)


def test_without_a_budget_calls_start() -> None:
    spend(Budget(Budgets(), "pause", NOON), 10**15, NOON)


def test_beyond_it_items_are_dead_letters_where_that_is_asked_for() -> None:
    budget = Budget(Budgets(hour=100), "dead_letter", NOON)
    spend(budget, 100, NOON)
    assert budget.reserve(1, NOON) is OVER
    spend(budget, 1, NOON + HOUR)


def test_slow_spreads_the_money_evenly_over_the_hour() -> None:
    budget, now, at = Budget(Budgets(hour=3_600), "slow", NOON), NOON, []
    while now < NOON + HOUR:
        got = budget.reserve(36, now)
        if isinstance(got, Allowance):
            at.append(now)
        else:
            assert isinstance(got, float)
            assert got > now
            now = got
    assert len(at) == 100
    by_quarter = [
        sum(NOON + n * 900 <= each < NOON + (n + 1) * 900 for each in at) for n in range(4)
    ]
    assert by_quarter == pytest.approx([25, 25, 25, 25], abs=1)


def test_slow_spreads_what_is_left_where_a_restart_begins_in_mid_hour() -> None:
    recorded = {"hour": Spent(int(NOON // HOUR), 3_400)}
    now = NOON + 1_800
    budget = Budget(Budgets(hour=3_600), "slow", now, recorded)
    spend(budget, 20, now)
    assert budget.reserve(20, now) == pytest.approx(now + 180)


def test_a_restart_goes_on_where_the_record_ends_with_calls_under_way_as_spent() -> None:
    budget = Budget(Budgets(hour=100), "pause", NOON)
    spend(budget, 50, NOON, cost=40)
    spend(budget, 30, NOON)  # killed before its reply
    again = Budget(Budgets(hour=100), "pause", NOON + 5, budget.record())
    assert again.left_nano_usd(NOON + 5) == Budgets(hour=30)
    assert again.left_nano_usd(NOON + HOUR) == Budgets(hour=100)


def test_a_clock_that_goes_back_gives_no_second_budget() -> None:
    budget = Budget(Budgets(hour=100), "pause", NOON)
    spend(budget, 100, NOON)
    assert budget.reserve(1, NOON - 1) == NOON + HOUR


def test_a_negative_budget_is_an_error() -> None:
    with pytest.raises(ValueError, match="day"):
        Budget(Budgets(day=-1), "pause", NOON)


@settings(max_examples=60)
@given(
    st.integers(0, 500),
    st.integers(0, 2_000),
    st.sampled_from(["pause", "slow", "dead_letter"]),
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 100), st.floats(0, 900), st.booleans()),
        max_size=60,
    ),
)
def test_no_hour_and_no_total_is_passed_whatever_ends_and_restarts(
    hour: int, total: int, on_budget: OnBudget, steps: list[tuple[int, int, float, bool]]
) -> None:
    now, budgets = NOON, Budgets(hour=hour, total=total)
    budget = Budget(budgets, on_budget, now)
    under_way: list[Allowance] = []
    paid: dict[int, int] = {}
    for cost, percent, passed_s, restart in steps:
        now += passed_s
        got = budget.reserve(cost, now)
        if isinstance(got, Allowance):
            paid[int(now // HOUR)] = paid.get(int(now // HOUR), 0) + cost
            under_way.append(got)
        elif isinstance(got, float):
            assert got > now
        if restart:  # killed: what was under way is paid, and the record knows it
            recorded: Spending = budget.record()
            budget, under_way = Budget(budgets, on_budget, now, recorded), []
        elif len(under_way) > 3:
            ended = under_way.pop(0)
            less = ended.nano_usd * percent // 100
            paid[ended.periods[0]] -= ended.nano_usd - less
            budget.correct(ended, less)
        assert max(paid.values(), default=0) <= hour
        assert sum(paid.values()) <= total
        left = budget.left_nano_usd(now)
        assert left == Budgets(
            hour - paid.get(int(now // HOUR), 0), None, total - sum(paid.values())
        )
