"""One budget for all workers of a group, who write to one log and read it in its order.

    claim(now) ──► record {what I may have spent, with a slice ahead} ──► the log (one partition)
    read(worker, claim, now) ◄── every record in the log's order ◄─────────┘
         └── our own: the slice is ours if it fits beside all that others claim before it

Rules:
1. A worker's latest record is what it may spend; every reader counts it at its face value. So only
   the latest record of each worker decides, and compaction loses nothing.
2. Each worker judges its own claims, at their place in the log: beside the others' records before
   it. Of two that do not fit together the later one does not hold. So what is ours together never
   passes a budget, whoever reads what when.
3. A claim that does not hold is taken back with the next record. A claim that is lowered counts as
   lower at once here, before others read it.
4. A slice is what the calls of `AHEAD_S` will cost, and a claim's way through the log; no more than
   a part (`PART`) of what is left, at least the call that waits. So there are some records a second
   at most, and few calls' worth is lost with a worker that is killed: what it had claimed stays
   spent, since the API may have been asked.
5. What is not needed goes back: after `IDLE_S` without a call, and after `UNUSED_S` when a budget
   gets short, so that all of it can be spent.
6. Only after `SETTLE_S` in which nothing came back, "dead_letter" gives items up.
7. A claim that was under way for `JUDGE_WITHIN_S` is none: the process stood still, and the log may
   have been compacted meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import exp, inf
from typing import Final, NamedTuple

from streams.policies.budget import (
    PERIODS_S,
    Allowance,
    Budget,
    Budgets,
    OnBudget,
    Spending,
    Spent,
)

AHEAD_S: Final = 0.1
PART: Final = 32
IDLE_S: Final = 1.0
UNUSED_S: Final = 0.1
SETTLE_S: Final = 2.0
JUDGE_WITHIN_S: Final = 60.0
MEMORY_S: Final = 0.5
"""The time that the pace of calls is taken over."""
TRIP_SHARE: Final = 0.2
"""Weight of the latest claim in the mean time of a claim's way."""


class Claim(NamedTuple):
    """A record of the log. `number`: counts the worker's claims from 1."""

    number: int
    spending: Spending


class SharedBudget(Budget):
    """`worker`: our name in the log, of this process alone. `ask()`: `claim` has something to write
    now; without it `claim` is to be called some times a second."""

    def __init__(
        self,
        budgets: Budgets,
        on_budget: OnBudget,
        now: float,
        *,
        worker: str,
        ask: Callable[[], None] = lambda: None,
        epoch_s: float = 0.0,
    ) -> None:
        self._records: dict[str, Spending] = {}
        self._sums: list[Counter[int]] = [Counter() for _ in PERIODS_S]  # of others, by period
        super().__init__(budgets, on_budget, now, epoch_s=epoch_s)
        self._worker = worker
        self._ask = ask
        self._number = 0
        self._face = list(self._own)  # what our latest record says
        self._held = list(self._own)  # what of it is ours to spend
        self._under_way_since: float | None = None
        self._trip_s = 0.0
        self._wanted = 0  # by the call that waits for a claim
        self._recent = 0.0  # cost of the calls of late, of those before `MEMORY_S` about a third
        self._taken = 0  # by calls since `_since`
        self._since = self._used_at = now
        self._low = 0.0  # a rest below it asks for a claim
        self._short_since: float | None = None

    # -- the log ---------------------------------------------------------------------------------

    def claim(self, now: float, *, ends: bool = False) -> Claim | None:
        """What to write now; None: nothing, or the latest claim is under way still. `ends`: no call
        starts any more, and what is not spent goes back."""
        if self._under_way_since is not None and not ends:
            return None
        self._turn(now)
        ahead = 0 if ends else self._slice(now)
        face = [Spent(period, nano_usd + (ahead or 0)) for period, nano_usd in self._own]
        if ahead is None or face == self._face == self._held:
            return None
        self._held = [_lower(*each) for each in zip(self._held, face, strict=True)]
        self._face, self._under_way_since = face, now
        self._number += 1
        return Claim(self._number, dict(zip(PERIODS_S, face, strict=True)))

    def read(self, worker: str, claim: Claim, now: float) -> None:
        """A record of the log, in its order; our own too."""
        self._turn(now)
        if worker != self._worker:
            self._count(self._records.get(worker), -1)
            self._count(claim.spending, 1)
            self._records[worker] = claim.spending
        elif claim.number == self._number and self._under_way_since is not None:
            took_s = now - self._under_way_since
            self._trip_s += TRIP_SHARE * (min(took_s, 1.0) - self._trip_s)
            if took_s <= JUDGE_WITHIN_S and self._holds():
                self._held = list(self._face)
            self._under_way_since, self._used_at = None, now
        self._short_since = None
        self._changed()

    def _count(self, spending: Spending | None, times: int) -> None:
        for name, sums in zip(PERIODS_S, self._sums, strict=True):
            spent = None if spending is None else spending.get(name)
            if spent is not None:
                sums[spent.period] += times * spent.nano_usd

    def _holds(self) -> bool:
        """Whether our claim fits beside what the log has before it."""
        rows = zip(self.budgets, self._face, self._held, self._sums, strict=True)
        return all(
            limit is None
            or (face.period == held.period and face.nano_usd <= held.nano_usd)
            or face.nano_usd + others[face.period] <= limit
            for limit, face, held, others in rows
        )

    # -- how much --------------------------------------------------------------------------------

    def _slice(self, now: float) -> int | None:
        """What to claim beyond what is spent; None: no record is needed."""
        rest, ahead = self._rest(), self._ahead(now)
        wanted, self._wanted = self._wanted, 0
        if wanted > rest:
            for size in (max(wanted, ahead), wanted):
                if self._fits(size):
                    return size
        if rest < 0:  # calls cost more than they reserved: others have to know
            return 0 if self._fits(0) or self._owes() else None
        unused_s = now - self._used_at
        short = unused_s > UNUSED_S and not self._fits(rest + self._latest)
        behind = self._is_behind()
        if short or unused_s > IDLE_S:
            return 0 if rest or behind else None
        if behind:
            return rest
        return ahead if rest < self._low and self._fits(ahead) else None

    def _rest(self) -> int:
        """What is ours and not spent."""
        held, spent, periods = self._held, self._spent, self._periods
        rest = None
        for n, _ in self._limits:
            here = (held[n].nano_usd if held[n].period == periods[n] else 0) - spent[n]
            if rest is None or here < rest:
                rest = here
        return rest or 0

    def _is_behind(self) -> bool:
        """Whether our record says more than what is ours: it did not hold."""
        return any(
            face.period == held.period and face.nano_usd > held.nano_usd
            for face, held in zip(self._face, self._held, strict=True)
        )

    def _owes(self) -> bool:
        """Whether more is spent than our record says."""
        return any(
            own.period != face.period or own.nano_usd > face.nano_usd
            for own, face in zip(self._own, self._face, strict=True)
        )

    def _ahead(self, now: float) -> int:
        """What calls will cost until the next claim but one holds; 0: less than one call."""
        self._recent = self._recent * exp((self._since - now) / MEMORY_S) + self._taken
        self._taken, self._since = 0, now
        pace = self._recent / MEMORY_S
        lefts = [left for left in map(self._left, range(len(PERIODS_S))) if left is not None]
        ahead = min(int(pace * (AHEAD_S + 2 * self._trip_s)), *(n // PART for n in lefts))
        ahead = ahead if ahead >= self._latest else 0
        self._low = ahead / 2
        return ahead

    # -- what calls ask and tell -----------------------------------------------------------------

    def take(self, nano_usd: int, now: float) -> Allowance:
        self._used_at, self._short_since = now, None
        self._taken += nano_usd
        allowance = super().take(nano_usd, now)
        if self._rest() < self._low:
            self._ask()
        return allowance

    def correct(self, allowance: Allowance, nano_usd: int) -> None:
        super().correct(allowance, nano_usd)
        if self._rest() < 0:
            self._ask()

    def _others(self, n: int) -> int:
        return self._sums[n][self._periods[n]]

    def _opens_at(self, nano_usd: int) -> float:
        return -inf if nano_usd <= self._rest() else super()._opens_at(nano_usd)

    def _claimed_at(self, nano_usd: int, now: float) -> float:
        if nano_usd <= self._rest():
            return -inf
        self._wanted, self._used_at = max(self._wanted, nano_usd), now
        self._ask()
        return inf

    def _given_up_at(self, now: float) -> float:
        if self._short_since is None:
            self._short_since = now
        return self._short_since + SETTLE_S


def _lower(held: Spent, face: Spent) -> Spent:
    """What is ours between a claim and its place in the log."""
    return Spent(
        face.period, min(held.nano_usd, face.nano_usd) if held.period == face.period else 0
    )
