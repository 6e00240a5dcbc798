"""The budgets of a program's own calls: one for each `streams.Limits` that has any.

Kept in the process alone. Workers keep theirs in a topic (`streams.worker.task_budgets`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from streams.core.call_money import CallMoney
from streams.policies.budget import Budget, budgets_in_usd
from streams.running.api_limits import Limits

if TYPE_CHECKING:
    from streams.providers.prices import Price

_budgets: WeakKeyDictionary[Limits, Budget] = WeakKeyDictionary()


def check_price(allowed: Limits | None, price: Price | None) -> None:
    """Raises ValueError for a budget where nobody knows what a call costs."""
    if allowed is not None and allowed.has_budget and price is None:
        raise ValueError(
            "limits: a budget needs a known price, and this model has none: add price="
            "streams.ModelPrice(input=..., output=...), in USD per million tokens; a function of "
            "your own can have no budget"
        )


def money_of(allowed: Limits | None, price: Price | None) -> CallMoney | None:
    """What one door's calls may cost, in the running loop; None: anything."""
    if allowed is None or price is None or not allowed.has_budget:
        return None
    now = asyncio.get_running_loop().time()
    if allowed not in _budgets:
        budgets = budgets_in_usd(
            allowed.budget_usd_per_hour, allowed.budget_usd_per_day, allowed.budget_usd
        )
        epoch_s = time.time() - now
        _budgets[allowed] = Budget(budgets, allowed.on_budget, now, epoch_s=epoch_s)
    return CallMoney(_budgets[allowed], price.call_costs())
