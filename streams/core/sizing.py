"""How many items the microbatches of a task have at most now: what is configured, or fewer while
the replies show that they are too large (`streams.policies.batch_size`).

What waits, and what is repeated, is cut by the new number as by a configured one.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from streams.core.admission import Admission
from streams.core.call import Call
from streams.core.limits import Limits
from streams.core.windows import Windows
from streams.errors import CallError, Fault
from streams.model import Unanswered
from streams.policies.batch_size import BatchSize, Sign

UNUSABLE = {Fault.TRUNCATED, Fault.BAD_REPLY, Fault.TOO_LARGE}


class Sizing:
    """Of one engine. Without `Limits.adaptive` the configured number always holds."""

    def __init__(self, limits: Limits, windows: Windows, admission: Admission) -> None:
        self._limits = limits
        self._windows = windows
        self._admission = admission
        self._size = BatchSize(limits.max_items) if limits.adaptive else None

    @property
    def max_items(self) -> int:
        """Of one call, now."""
        return self._limits.max_items if self._size is None else self._size.limit

    def change(self, limits: Limits) -> None:
        """Other limits: what waits, and repeated calls, keep to them."""
        self._limits = limits
        if self._size is not None:
            self._size.resize(limits.max_items)
        self._apply()

    def replied(self, call: Call, unanswered: list[Unanswered], now: float) -> None:
        """A call was answered, and left these of its items without an answer."""
        if self._size is not None:
            is_slow = now - call.started_at > (self._limits.slow_s or inf)
            sign = Sign.SLOW if is_slow else Sign.FINE
            if Unanswered.CUT in unanswered:
                sign = Sign.UNUSABLE
            self._ended(self._size, call, len(unanswered), sign, now)

    def failed(self, call: Call, error: CallError, now: float) -> None:
        """A call failed; of what may be due to its size, that says something."""
        if self._size is not None and error.fault in UNUSABLE:
            self._ended(self._size, call, 0, Sign.UNUSABLE, now)
        elif self._size is not None and error.fault is Fault.TIMEOUT:
            self._ended(self._size, call, 0, Sign.SLOW, now)

    def _ended(self, size: BatchSize, call: Call, left_out: int, sign: Sign, now: float) -> None:
        before = size.limit
        begun, took_s = self._admission.started, now - call.started_at
        size.ended(call.number, begun, call.size, left_out, took_s, sign, now)
        if size.limit != before:
            self._apply()

    def _apply(self) -> None:
        limits = replace(self._limits, max_items=self.max_items)
        self._windows.change(limits)
        self._admission.change(limits)
