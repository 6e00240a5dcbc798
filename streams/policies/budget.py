"""How much money calls may cost: in an hour, in a day, in all.

    on_budget    while money is left             when a call would pass a budget
    -----------  ------------------------------  -------------------------------------------
    pause        calls start                     wait for the next hour or day; for ever, if
                                                 it is the total, or less than one call
    slow         calls start evenly: what is     the same
                 left over the rest of the time
    dead_letter  calls start                     no call: the items are dead letters "budget"

Rules:
1. A call reserves its estimate before it starts and is corrected at its reply. Reserved counts as
   spent, so calls at once do not pass a budget together; estimates on the low side can pass it by
   what they are off, one call's at most if they are right on the whole.
2. Money is whole nano-dollars. Hours and days are those of UTC, `now` is in seconds since the
   epoch: all workers and a restart mean the same period. A clock that goes back changes none.
3. A call belongs to the period in which it started, also if it is answered in the next one.
4. What is recorded holds what calls under way have reserved: when a worker is killed, the API has
   been asked, and the money may be spent. A restart goes on from there and never spends it twice.
5. Spending of other workers of the group counts as ours, for the same periods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final, Literal, NamedTuple

OnBudget = Literal["pause", "slow", "dead_letter"]

PERIODS_S: Final[Mapping[str, float]] = {"hour": 3600.0, "day": 86400.0, "total": inf}


class Over(Enum):
    """No call: its items are dead letters."""

    OVER = "budget"


OVER: Final = Over.OVER


class Budgets(NamedTuple):
    """In nano-dollars; None: no such budget. The fields are the keys of `PERIODS_S`."""

    hour: int | None = None
    day: int | None = None
    total: int | None = None


class Spent(NamedTuple):
    """In one period. `period`: counts hours or days since the epoch; 0 for the total."""

    period: int
    nano_usd: int


Spending = Mapping[str, Spent]
"""By the keys of `PERIODS_S`: what a worker records, and what others tell."""


@dataclass(slots=True, eq=False)
class Allowance:
    """The right to one call of this cost. `periods`: in which it counts, in their order."""

    nano_usd: int
    periods: tuple[int, ...]


class Budget:
    """`recorded`: where an earlier run ended; None: nothing is spent. `left_nano_usd`: of each
    budget now, for the page. `ValueError`: a budget is negative."""

    def __init__(
        self, budgets: Budgets, on_budget: OnBudget, now: float, recorded: Spending | None = None
    ) -> None:
        for name, limit in budgets._asdict().items():
            if limit is not None and limit < 0:
                raise ValueError(f"the budget of the {name} must not be negative: {limit}")
        self._budgets = budgets
        self._on_budget = on_budget
        self._own = [(recorded or {}).get(name, Spent(0, 0)) for name in PERIODS_S]
        self._others: dict[str, Spending] = {}
        self._next_at = -inf
        self._turn(now)

    def reserve(self, nano_usd: int, now: float) -> Allowance | float | Over:
        """The right to a call that costs so much by estimate; or the time to ask again (inf: never,
        as things stand), or OVER."""
        self._turn(now)
        at = max(self._opens_at(nano_usd), self._next_at)
        if at > now:
            return OVER if self._on_budget == "dead_letter" else at
        if self._on_budget == "slow":
            self._next_at = now + self._spacing_s(nano_usd, now)
        allowance = Allowance(nano_usd, tuple(spent.period for spent in self._own))
        self._add(nano_usd, allowance.periods)
        return allowance

    def correct(self, allowance: Allowance, nano_usd: int) -> None:
        """The call is over and cost this much; 0: it was refused, or never sent."""
        self._add(nano_usd - allowance.nano_usd, allowance.periods)
        allowance.nano_usd = nano_usd

    def hear(self, worker: str, spending: Spending) -> None:
        """What another worker has recorded; its latest word counts. What it spent before it left
        stays spent."""
        self._others[worker] = spending

    def record(self) -> Spending:
        """Of this worker alone, with what calls under way have reserved."""
        return dict(zip(PERIODS_S, self._own, strict=True))

    def left_nano_usd(self, now: float) -> Budgets:
        """Below 0 where estimates were too low. None: no such budget."""
        self._turn(now)
        return Budgets(*map(self._left, range(len(PERIODS_S))))

    def _turn(self, now: float) -> None:
        """Begins the periods that have come."""
        for n, length_s in enumerate(PERIODS_S.values()):
            period = 0 if length_s == inf else int(now // length_s)
            if period > self._own[n].period:
                self._own[n] = Spent(period, 0)
                self._next_at = -inf

    def _add(self, nano_usd: int, periods: tuple[int, ...]) -> None:
        for n, (spent, period) in enumerate(zip(self._own, periods, strict=True)):
            if spent.period == period:
                self._own[n] = Spent(period, spent.nano_usd + nano_usd)

    def _left(self, n: int) -> int | None:
        limit, spent, name = self._budgets[n], self._own[n], Budgets._fields[n]
        if limit is None:
            return None
        theirs = (spending.get(name) for spending in self._others.values())
        return (
            limit
            - spent.nano_usd
            - sum(
                each.nano_usd for each in theirs if each is not None and each.period == spent.period
            )
        )

    def _opens_at(self, nano_usd: int) -> float:
        """When a call of this cost fits all budgets; -inf: now."""
        at = -inf
        for n, length_s in enumerate(PERIODS_S.values()):
            left = self._left(n)
            if left is not None and nano_usd > left:
                fits_ever = nano_usd <= (self._budgets[n] or 0)
                at = max(at, (self._own[n].period + 1) * length_s if fits_ever else inf)
        return at

    def _spacing_s(self, nano_usd: int, now: float) -> float:
        """The time that a call's share of what is left takes of the rest of the period."""
        spacings = [0.0]
        for n, length_s in enumerate(PERIODS_S.values()):
            left = self._left(n)
            if left and length_s < inf:
                rest_s = (self._own[n].period + 1) * length_s - now
                spacings.append(rest_s * nano_usd / left)
        return max(spacings)
