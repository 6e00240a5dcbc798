"""Tasks that share an account: where a limit binds, the higher priority goes first."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.rate_line import RateLine
from streams.errors import Fault
from streams.policies.demand import PerMinute
from streams.policies.rate import Rate

from .scenario import Company, words

REQUESTS_PER_S = 10
CALL_S = 1.0
STEP_S = 0.05
ONE_ITEM: dict[str, Any] = {
    "max_items": 1, "max_in_flight": 20, "order": "none", "check": False, "adaptive": True,
}  # fmt: skip


class Shared(Company):
    """Members named a, b, ..., with these priorities, which call one item at a time, and 20 times
    at once: ten calls a second together, or so many at once. Each call takes a second."""

    def __init__(self, *priorities: int, calls_at_once: int | None = None, **limits: Any) -> None:
        given = {**ONE_ITEM, **limits}
        super().__init__(
            **{"abcdef"[n]: {**given, "priority": p} for n, p in enumerate(priorities)}
        )
        self.began: Counter[str] = Counter()
        self._ends: list[tuple[float, int, str]] = []
        if calls_at_once is None:
            rate = Rate(PerMinute(60 * REQUESTS_PER_S), 0.0, says_limits=False)
            self.account.rates = RateLine(rate)
        else:
            self.account.pauses.bound(calls_at_once, 1_000)

    def arrive(self, count: int, *members: int) -> None:
        """So many items at each of these members; at all where none is named."""
        for n in members or range(len(self.members)):
            start = len(self.members[n].slots)
            self.members[n].arrive(words("abcdef"[n], count, start))

    def work(self, seconds: float) -> Counter[str]:
        """How many calls of each member began."""
        before, until = self.began.copy(), self.now + seconds
        self._note()
        while self.now < until:
            end = self._ends[0][0] if self._ends else until
            self.at(min(until, end, self.now + STEP_S))
            self._note()
            while self._ends and self._ends[0][0] <= self.now:
                _, n, call = heappop(self._ends)
                self.members[n].reply(call)
                self.turn()
                self._note()
        return self.began - before

    def _note(self) -> None:
        for n, member in enumerate(self.members):
            for call in member.calls():
                self.began["abcdef"[n]] += 1
                heappush(self._ends, (self.now + CALL_S, n, call))


@pytest.mark.parametrize("calls_at_once", [None, 5])
def test_with_more_to_call_than_the_limit_the_lower_has_a_tenth(calls_at_once: int | None) -> None:
    made = Shared(0, 7, calls_at_once=calls_at_once)
    made.arrive(700)
    made.work(20.0)  # the slow start
    began = made.work(40.0)
    assert began.total() >= 0.9 * 40 * (calls_at_once or REQUESTS_PER_S)
    assert 0.1 * began.total() <= began["a"] <= 0.12 * began.total() + 1


@pytest.mark.parametrize("calls_at_once", [None, 5])
def test_equals_have_equal_parts(calls_at_once: int | None) -> None:
    made = Shared(3, 3, calls_at_once=calls_at_once)
    made.arrive(400)
    began = made.work(40.0)
    assert abs(began["a"] - began["b"]) <= 0.03 * began.total()


@pytest.mark.parametrize("calls_at_once", [None, 5])
def test_what_the_higher_does_not_need_the_lower_has(calls_at_once: int | None) -> None:
    made = Shared(0, 7, calls_at_once=calls_at_once)
    made.arrive(700, 0)
    made.work(20.0)
    began: Counter[str] = Counter()
    for _ in range(30):
        made.arrive(1, 1)
        began += made.work(1.0)
    assert began["b"] >= 29
    assert began.total() >= 0.9 * 30 * (calls_at_once or REQUESTS_PER_S)


def test_an_item_of_the_higher_waits_for_no_backlog_of_the_lower() -> None:
    made = Shared(0, 7)
    made.arrive(700, 0)
    made.work(20.0)
    for n in range(20):
        made.arrive(1, 1)
        assert made.work(0.5)["b"] == 1, n


def test_probes_take_turns_whatever_the_priority() -> None:
    """The higher's own items may be what the API refuses."""
    made = Shared(0, 7, calls_at_once=1_000, max_attempts=100)
    low, high = made.members
    low.arrive("a0")
    high.arrive("b0")
    assert (low.calls(), high.calls()) == (["a0"], ["b0"])
    low.fail("a0", Fault.SERVER)
    high.fail("b0", Fault.SERVER)
    probes: list[str] = []
    for _ in range(6):
        made.at(made.now + 400.0)
        for member in made.members:
            for call in member.calls():
                probes.append(call)
                member.fail(call, Fault.SERVER)
        made.turn()
    assert {"a0", "b0"} <= set(probes)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=4), st.booleans())
def test_nobody_starves_and_the_limit_is_used(priorities: list[int], is_rate: bool) -> None:
    made = Shared(*priorities, calls_at_once=None if is_rate else 4)
    made.arrive(500)
    made.work(20.0)
    began = made.work(20.0)
    assert began.total() >= 0.9 * 20 * (REQUESTS_PER_S if is_rate else 4)
    top = max(priorities)
    lower = [n for n, priority in enumerate(priorities) if priority < top]
    if lower:
        share = sum(began["abcd"[n]] for n in lower) / began.total()
        assert 0.09 <= share <= 0.11, began
    assert all(began["abcd"[n]] for n in range(len(priorities))), began
