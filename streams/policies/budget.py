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
2. Money is whole nano-dollars. Hours and days are those of UTC, `now` plus `epoch_s` is in seconds
   since the epoch: all workers and a restart mean the same period. A clock that goes back changes
   none.
3. A call belongs to the period in which it started, also if it is answered in the next one.
4. Who waits is woken when money comes back, and asks again (`changes` counts such moments).
5. Workers of a group share a budget through a log: `streams.policies.shared_budget`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final, Literal, NamedTuple

OnBudget = Literal["pause", "slow", "dead_letter"]

PERIODS_S: Final[Mapping[str, float]] = {"hour": 3600.0, "day": 86400.0, "total": inf}
NANO_USD: Final = 1_000_000_000
LENGTHS_S: Final = tuple(PERIODS_S.values())


class Over(Enum):
    """No call: its items are dead letters."""

    OVER = "budget"


OVER: Final = Over.OVER


class Budgets(NamedTuple):
    """In nano-dollars; None: no such budget. The fields are the keys of `PERIODS_S`."""

    hour: int | None = None
    day: int | None = None
    total: int | None = None


def budgets_in_usd(hour: float | None, day: float | None, total: float | None) -> Budgets:
    """None: no such budget."""
    usd = (hour, day, total)
    return Budgets(*(None if each is None else round(each * NANO_USD) for each in usd))


class Spent(NamedTuple):
    """In one period. `period`: counts hours or days since the epoch; 0 for the total."""

    period: int
    nano_usd: int


Spending = Mapping[str, Spent]
"""By the keys of `PERIODS_S`."""


@dataclass(slots=True, eq=False)
class Allowance:
    """The right to one call of this cost. `periods`: in which it counts, in their order."""

    nano_usd: int
    periods: tuple[int, ...]


class BudgetView(NamedTuple):
    """One moment, for logs and pages. `left`: of each budget, what calls and claims of others have
    not taken; below 0 where estimates were too low. `binding`: the period whose budget the latest
    call does not fit; None: it fits all. `opens_at`: when that one begins anew, in the shell's
    seconds; inf: never. `is_slowed`: calls wait for their turn, so that the money lasts."""

    budgets: Budgets
    left: Budgets
    on_budget: OnBudget
    binding: str | None
    opens_at: float
    is_slowed: bool

    @property
    def least_left(self) -> int:
        """What the tightest budget has left."""
        return min(left for left in self.left if left is not None)


class Budget:
    """`recorded`: what was spent before. `epoch_s`: from the shell's clock to seconds since the
    epoch. `ValueError`: a budget is negative."""

    def __init__(
        self,
        budgets: Budgets,
        on_budget: OnBudget,
        now: float,
        recorded: Spending | None = None,
        *,
        epoch_s: float = 0.0,
    ) -> None:
        for name, limit in budgets._asdict().items():
            if limit is not None and limit < 0:
                raise ValueError(f"the budget of the {name} must not be negative: {limit}")
        self.budgets = budgets
        self.on_budget = on_budget
        self.share = 1.0
        """Of the pace of `slow`, where others have the rest."""
        self.changes = 0
        self.epoch_s = epoch_s
        own = [(recorded or {}).get(name, Spent(0, 0)) for name in PERIODS_S]
        self._periods = tuple(spent.period for spent in own)
        self._spent = [spent.nano_usd for spent in own]
        self._limits = [(n, limit) for n, limit in enumerate(budgets) if limit is not None]
        self._turns_at = -inf
        self._next_at = -inf
        self._latest = 0  # what the latest call that asked costs
        self._waiting: dict[Callable[[], None], None] = {}
        self._turn(now)

    # -- before a call ---------------------------------------------------------------------------

    def ready_at(
        self, nano_usd: int, now: float, wake: Callable[[], None] | None = None
    ) -> float | Over:
        """When a call that costs so much by estimate may start as things stand: -inf: now; inf:
        only an event can tell. `wake`: called once when money comes back before that time."""
        self._turn(now)
        self._latest = nano_usd
        at = self._opens_at(nano_usd)
        if at > now and self.on_budget == "dead_letter":
            at = self._given_up_at(now)
            if at <= now:
                return OVER
        else:
            at = max(at, self._next_at)
        if at <= now:
            at = self._claimed_at(nano_usd, now)
        if at <= now:
            return -inf
        if wake is not None:
            self._waiting[wake] = None
        return at

    def take(self, nano_usd: int, now: float) -> Allowance:
        """The right to a call, which was ready."""
        if self.on_budget == "slow":
            self._next_at = now + self._spacing_s(nano_usd, now) / self.share
        self._add(nano_usd, self._periods)
        return Allowance(nano_usd, self._periods)

    def reserve(self, nano_usd: int, now: float) -> Allowance | float | Over:
        """Both at once: the right to a call, or the time to ask again, or OVER."""
        at = self.ready_at(nano_usd, now)
        if isinstance(at, Over) or at > now:
            return at
        return self.take(nano_usd, now)

    # -- after it --------------------------------------------------------------------------------

    def correct(self, allowance: Allowance, nano_usd: int) -> None:
        """The call costs this much; 0: it was refused, or never sent."""
        less = allowance.nano_usd - nano_usd
        self._add(-less, allowance.periods)
        allowance.nano_usd = nano_usd
        if less > 0:
            self._changed()

    # -- seen ------------------------------------------------------------------------------------

    def record(self) -> Spending:
        """What is spent, with what calls under way have reserved."""
        return dict(zip(PERIODS_S, self._own, strict=True))

    @property
    def _own(self) -> list[Spent]:
        return [Spent(*each) for each in zip(self._periods, self._spent, strict=True)]

    def left_nano_usd(self, now: float) -> Budgets:
        """Below 0 where estimates were too low. None: no such budget."""
        self._turn(now)
        return Budgets(*map(self._left, range(len(PERIODS_S))))

    def view(self, now: float) -> BudgetView:
        left = self.left_nano_usd(now)
        binding = None
        for name, amount in left._asdict().items():
            if amount is not None and self._latest > amount:
                binding = name
        opens_at = now if binding is None else self._opens_at(self._latest)
        slowed = binding is None and self._next_at > now
        return BudgetView(self.budgets, left, self.on_budget, binding, opens_at, slowed)

    # -- what shared budgets do differently ------------------------------------------------------

    def _others(self, n: int) -> int:
        """What others have spent or claimed in our period."""
        return 0

    def _claimed_at(self, nano_usd: int, now: float) -> float:
        """When this much is ours to spend."""
        return -inf

    def _given_up_at(self, now: float) -> float:
        """When it is certain that no money comes back."""
        return -inf

    # --------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self.changes += 1
        waiting, self._waiting = self._waiting, {}
        for wake in waiting:
            wake()

    def _turn(self, now: float) -> None:
        """Begins the periods that have come."""
        if now + self.epoch_s < self._turns_at:
            return
        periods = list(self._periods)
        for n, length_s in enumerate(PERIODS_S.values()):
            period = 0 if length_s == inf else int((now + self.epoch_s) // length_s)
            if period > periods[n]:
                periods[n], self._spent[n] = period, 0
                self._next_at = -inf
        self._periods = tuple(periods)
        self._turns_at = min(map(self._ends_at, range(len(PERIODS_S))))

    def _ends_at(self, n: int) -> float:
        """When our period ends, in seconds since the epoch; inf: never."""
        return (self._periods[n] + 1) * LENGTHS_S[n]

    def _add(self, nano_usd: int, periods: tuple[int, ...]) -> None:
        spent, now = self._spent, self._periods
        for n, period in enumerate(periods):
            if period == now[n]:
                spent[n] += nano_usd

    def _left(self, n: int) -> int | None:
        limit = self.budgets[n]
        return None if limit is None else limit - self._spent[n] - self._others(n)

    def _fits(self, nano_usd: int) -> bool:
        spent, others = self._spent, self._others
        return all(nano_usd <= limit - spent[n] - others(n) for n, limit in self._limits)

    def _opens_at(self, nano_usd: int) -> float:
        """When a call of this cost fits all budgets; -inf: now."""
        at = -inf
        for n, limit in self._limits:
            if nano_usd > limit - self._spent[n] - self._others(n):
                at = max(at, self._ends_at(n) - self.epoch_s if nano_usd <= limit else inf)
        return at

    def _spacing_s(self, nano_usd: int, now: float) -> float:
        """The time that a call's share of what is left takes of the rest of the period."""
        spacings = [0.0]
        for n, _ in self._limits:
            left, ends_at = self._left(n), self._ends_at(n)
            if left and ends_at < inf:
                spacings.append((ends_at - now - self.epoch_s) * nano_usd / left)
        return max(spacings)
