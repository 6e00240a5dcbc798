"""How late healthy items are for the sake of the one that the API refuses alone: the same schedule
once more, where that item is as healthy as they are."""

from __future__ import annotations

from streams.policies.splitting import parts_to_isolate
from tests.simulation.ledger import Item, Ledger
from tests.simulation.parameters import Parameters

BACKOFF_S = 4.0
"""The longest wait of an item by itself (`assembly.task_parts`)."""


def bound_s(given: Parameters) -> float:
    """`max_attempts` x (call + back-off), where a call may take ten times as long as usual, and an
    item is first found among the others of its microbatch. A 429 takes more proof than one or two
    attempts, whatever `max_attempts` is, and pauses the account until then."""
    call_s = min(given.call_s * 10, given.timeout_s)
    halvings = 0
    size = given.max_items
    while size > 1:
        size -= size // parts_to_isolate(size)
        halvings += 1
    attempts = max(given.max_attempts, 6) if given.alone == "limited" else given.max_attempts
    return (attempts + halvings + 1) * (call_s + BACKOFF_S)


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
