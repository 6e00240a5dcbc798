"""What a `Coalescer` shows of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from streams.running.caller_places import Places
from streams.running.runner import Runner

REASONS = {
    "count": "full",
    "bytes": "tokens",
    "answers": "tokens",
    "deadline": "flush",
    "flush": "close",
}
"""The engine's reasons in a caller's words; others are the same."""


class CoalescerStatistics(NamedTuple):
    """One moment. `pending`: callers without an outcome. `waiting`: items in open windows.
    `in_flight`, `calls`: calls now, and so far. `items`: of all calls; those of repeated calls
    count again. `left`: why microbatches left: "full", "tokens", "time", "idle", "flush" and
    "close"."""

    pending: int = 0
    waiting: int = 0
    in_flight: int = 0
    calls: int = 0
    items: int = 0
    mean_batch_items: float = 0.0
    max_in_flight_seen: int = 0
    left: Mapping[str, int] = {}


def coalescer_statistics(runner: Runner, places: Places, *, is_idle: bool) -> CoalescerStatistics:
    """`is_idle`: windows do not wait, so time is no reason."""
    engine, items = runner.engine.statistics(), runner.tally.called_items
    left: dict[str, int] = {}
    for reason, count in engine.calls_by_reason.items():
        name = REASONS.get(reason, reason)
        if name == "time" and is_idle:
            name = "idle"
        left[name] = left.get(name, 0) + count
    return CoalescerStatistics(
        pending=places.taken + places.waiting,
        waiting=engine.waiting,
        in_flight=engine.in_flight,
        calls=engine.calls,
        items=items,
        mean_batch_items=round(items / engine.calls, 2) if engine.calls else 0.0,
        max_in_flight_seen=engine.max_in_flight_seen,
        left=left,
    )
