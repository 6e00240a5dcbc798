"""How long before its `flush_by` an item's window closes, so that its outcome is back in time.

window closes ─► call (p95 of recent ones) ─► outcome (p95 of recent deliveries) ─► flush_by
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.core.call import Call, Slot
from streams.policies.recent import Recent

FIRST_CALL_S: Final = 1.0
"""The assumed time of a call before the first reply: its items leave early rather than late."""

MARGIN_S: Final = 0.01
"""Timers of a busy loop are late by some ms."""


class Lead:
    """Refusals and failures are not counted: they are quick, or say nothing of the next call."""

    def __init__(self) -> None:
        self._calls, self._deliveries = Recent(), Recent()
        self._s: float | None = FIRST_CALL_S

    @property
    def s(self) -> float:
        """The lead in seconds; computed where somebody asks, since most tasks have no deadlines."""
        if self._s is None:
            call_s, delivery_s = self._calls.p95, self._deliveries.p95
            self._s = FIRST_CALL_S
            if call_s is not None:
                self._s = call_s + (delivery_s or 0.0) + MARGIN_S
        return self._s

    def answered(self, call: Call, now: float) -> None:
        """The call was answered now."""
        call.ended_at = now
        self._calls.add(now - call.started_at)
        self._s = None

    def delivered(self, slots: Sequence[Slot], now: float) -> None:
        """The outcomes of these slots, in the order of their release, are durable now. The first is
        the one that the others may have waited for, so its call ended last."""
        call = slots[0].call if slots else None
        if call is not None and call.ended_at is not None:
            self._deliveries.add(now - call.ended_at)
            self._s = None
