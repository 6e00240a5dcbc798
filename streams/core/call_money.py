"""The money of an engine's calls: what each is likely to cost, and whether its budget has that.

A budget may be that of several engines, and of several processes (`streams.policies.budget`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from streams.core.call import Call
from streams.errors import CallError, Fault
from streams.model import Usage
from streams.policies.budget import Budget, Over
from streams.policies.call_costs import CallCosts
from streams.policies.demand import Demand

UNPAID = frozenset({Fault.THROTTLED, Fault.SERVER, Fault.ACCOUNT, Fault.CLIENT, Fault.REJECTED,
                    Fault.TOO_LARGE})  # fmt: skip
"""What the API answers instead of working. After any other failure without a usage it may have
worked: after a time limit, and where the connection fell."""


class CallMoney:
    """`budget`, `costs`: what they are for is in their modules. `wake()`: see `Engine`."""

    def __init__(self, budget: Budget, costs: CallCosts) -> None:
        self.budget = budget
        self.costs = costs
        self.wake: Callable[[], None] = lambda: None
        self._asks_at, self._changes = -inf, -1

    @property
    def opens_at(self) -> float:
        """From when on it makes sense to ask again; inf: when the engine is woken."""
        return self._asks_at if self._changes == self.budget.changes else -inf

    def ready_at(self, items: float, demand: Demand, now: float) -> float | Over:
        """When a call for so many items may start, or OVER: there is no money for it."""
        at = self.budget.ready_at(self.costs.of(items, demand), now, self.wake)
        self._asks_at = -inf if isinstance(at, Over) else at
        self._changes = self.budget.changes
        return at

    def pay(self, call: Call, now: float) -> None:
        """The call starts: what it is likely to cost is taken."""
        cost = self.costs.of(call.size, call.reservation.demand)
        call.allowance = self.budget.take(cost, now)

    def ended(self, call: Call, usage: Usage | None, error: CallError | None = None) -> None:
        """What the call really cost. Where nobody says, what was taken for it stays spent, unless
        the API has refused it."""
        cost = None if usage is None else usage.cost_nano_usd
        if cost is None and usage is None and error is not None and error.fault in UNPAID:
            cost = 0
        if cost is None or call.allowance is None:
            return
        if error is None:
            self.costs.learn(call.size, call.reservation.demand, cost)
        self.budget.correct(call.allowance, cost)
