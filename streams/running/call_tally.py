"""What one task's calls were: fed once per call and once per pause, never per item."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

from streams.core.call import Call
from streams.core.events import Cancelled, Failed, Replied

CALL_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
WAIT_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
ITEMS: Final = (1, 2, 5, 10, 20, 50, 96, 100, 200, 500, 1000, 10_000)

OK: Final = "ok"
CANCELLED: Final = "cancelled"
THROTTLED: Final = "throttled"


class Distribution:
    """How many values fell at or below each of `bounds` (ascending), and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last: above every bound
        self.total: float = 0

    def add(self, value: float, count: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count


class CallTally:
    """Counts of one task since its start; times in the loop's seconds.

    `by_status`: calls that ended, "ok" for those that were answered, else the fault or "cancelled".
    `retries`: calls that repeat an item, by what caused them. `wait_s`: from the arrival of a new
    microbatch's oldest item to its call.
    """

    def __init__(self) -> None:
        self.by_status: Counter[str] = Counter({OK: 0})
        self.retries: Counter[str] = Counter()
        self.seconds = Distribution(CALL_S)
        self.items = Distribution(ITEMS)
        self.wait_s = Distribution(WAIT_S)
        self._throttled_s = 0.0
        self._throttled_since: float | None = None

    def started(self, call: Call) -> None:
        self.items.add(call.size)
        if call.cause == "new":
            oldest = min(slot.arrived_at for slot in call.slots)
            self.wait_s.add(max(0.0, call.started_at - oldest))
        elif call.cause != "split":
            self.retries[call.reason] += 1

    def ended(self, event: Replied | Failed | Cancelled, seconds: float) -> None:
        if isinstance(event, Failed):
            self.by_status[event.error.fault.value] += 1
        else:
            self.by_status[OK if isinstance(event, Replied) else CANCELLED] += 1
        self.seconds.add(seconds)

    def paused(self, reason: str, now: float) -> None:
        """The task may not call, for this reason; said again when the reason changes."""
        if reason != THROTTLED:
            self.resumed(now)
        elif self._throttled_since is None:
            self._throttled_since = now

    def resumed(self, now: float) -> None:
        self._throttled_s = self.throttled_s(now)
        self._throttled_since = None

    def throttled_s(self, now: float) -> float:
        """Seconds that the API's limits have kept the task from calling, this pause included."""
        since = self._throttled_since
        return self._throttled_s + (0.0 if since is None else now - since)
