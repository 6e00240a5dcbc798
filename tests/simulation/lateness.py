"""How late healthy items are for the sake of the one that the API refuses alone: the same schedule
once more, where that item is as healthy as they are."""

from __future__ import annotations

from streams.core.verdict import PATIENCE_S
from tests.simulation.ledger import Item, Ledger
from tests.simulation.parameters import Parameters

BACKOFF_S = 4.0
"""The longest wait of an item by itself (`assembly.task_parts`)."""

COMPANY_S = 0.5
"""And three calls: how often others come (`World._keep_company`), so that they are no burden."""

LEAST_ATTEMPTS = {"limited": 5}
"""How often an item is tried at least (4, if not here): one failure cannot tell whose it is, and a
limit passes more often than anything else (decision 42)."""

SLACK = {"limited": 1.5}
"""What a 429 gets above that: nobody is divided for it before many others were answered, and where
these come rarely it took 119 % in 3 of 422 schedules, 110 % in one of 1,700."""


def company_s(call_s: float) -> float:
    """How long until one more item comes, to some worker."""
    return COMPANY_S + 3 * call_s


def bound_s(given: Parameters) -> float:
    """`max_attempts` x (call + back-off), where a call may take ten times as long as usual. Where
    others come less often to the item's worker, it is their answers that an attempt waits for; and
    their calls, where there is one at a time. One of which answers say little is tried for
    `PATIENCE_S`, and once more."""
    call_s = min(given.call_s * 10, given.timeout_s) * (1 + (given.max_in_flight == 1))
    readers = min(given.workers, given.partitions)
    attempts = max(given.max_attempts, LEAST_ATTEMPTS.get(given.alone or "", 4))
    attempt_s = max(call_s + BACKOFF_S, readers * company_s(given.call_s))
    tried_s = SLACK.get(given.alone or "", 1.0) * attempts * attempt_s
    return max(tried_s, PATIENCE_S + attempt_s)


def latest(with_it: Ledger, without: Ledger) -> tuple[float, Item | None]:
    """By how many seconds the latest of the healthy items is later, and which one it is."""
    late: tuple[float, Item | None] = (0.0, None)
    for items, others in zip(with_it.items, without.items, strict=True):
        for offset, item in items.items():
            other = others.get(offset)
            if item is with_it.alone or other is None or not item.copies or not other.copies:
                continue
            late_s = item.copies[0].at_s - other.copies[0].at_s
            if late_s > late[0]:
                late = late_s, item
    return late
