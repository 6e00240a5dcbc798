"""A task's item on its way through the stages of a pipeline, and what all of them take.

    task's call ─► Trip ─► elements of the stages ─► outcome ─► task's call

Rules:
1. A trip follows its item through every stage, with all parts that it is made into: what a call of
   a stage cost is added when the stage releases the part, each share once, so the sums are exact.
2. Memory is an estimate, on the high side, of what stages made and no later one has taken; the item
   itself is the task's.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Hashable
from typing import Any, Final

from streams.core.call import Slot
from streams.model import Usage, added

FIRST_TRIP_BYTES: Final = 16_000
"""The assumed peak of a trip before the first one has ended."""

ROUND_SHARE: Final = 0.1
"""Weight of the newest trip in the moving average of peaks; a higher peak counts at once."""


class Load:
    """What all trips of a run take. `limit_bytes`: items wait for their trip while the stages hold
    more, or would when those under way are as large as others were."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._trips = 0
        self._mean_peak: float = FIRST_TRIP_BYTES
        self.bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether one more may begin. The first one always may, however large it becomes."""
        expected = max(self.bytes, self._trips * self._mean_peak)
        return not self._trips or expected < self.limit_bytes

    @property
    def free_bytes(self) -> int:
        """Below 0: they hold more than the limit."""
        return self.limit_bytes - self.bytes

    def begin(self, trip: Trip) -> None:
        trip.lane.trips.add(trip)
        self._trips += 1

    def end(self, trip: Trip) -> None:
        trip.lane.trips.discard(trip)
        self._trips -= 1
        self.bytes -= trip.bytes
        self._mean_peak += ROUND_SHARE * (trip.peak_bytes - self._mean_peak)

    def hold(self, size: int, peak_bytes: int) -> None:
        """A trip has taken so much more, and never had more than this in all."""
        self.bytes += size
        self._mean_peak = max(self._mean_peak, peak_bytes)


class TaskLane:
    """A source partition while it has one owner. `trips`: those under way; `is_open`: whether
    anybody waits for them."""

    __slots__ = ("is_open", "trips")

    def __init__(self) -> None:
        self.is_open = True
        self.trips: set[Trip] = set()


class Trip:
    """One item's way. `outcome`: set once the last stage has one. `lane`, `order_key`: whose order
    it keeps. `calls`: in how many it or a part of it was at one stage, the most of all stages."""

    __slots__ = (
        "bytes", "calls", "cost_nano_usd", "input_tokens", "item", "lane", "load", "order_key",
        "outcome", "output_tokens", "peak_bytes",
    )  # fmt: skip

    def __init__(self, item: Any, lane: TaskLane, order_key: Hashable, load: Load) -> None:
        self.item = item
        self.lane = lane
        self.order_key = order_key
        self.load = load
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.calls = 1
        self.input_tokens = self.output_tokens = 0
        self.cost_nano_usd: int | None = 0
        self.bytes = self.peak_bytes = 0

    def hold(self, size: int) -> None:
        """A stage has made something of so many bytes for it."""
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        self.load.hold(size, self.peak_bytes)

    def let_go(self, size: int) -> None:
        self.bytes -= size
        self.load.bytes -= size

    def add(self, slot: Slot) -> None:
        """What a stage's calls took for it or for a part of it."""
        self.calls = max(self.calls, slot.calls)
        self.input_tokens += slot.input_tokens
        self.output_tokens += slot.output_tokens
        self.cost_nano_usd = added(self.cost_nano_usd, slot.cost_nano_usd)

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.output_tokens, self.cost_nano_usd, self.calls)


_VALUE_BYTES: Final = 56
_FLOAT_BYTES: Final = 32
_MEMBER_BYTES: Final = 120


def memory_of(value: Any) -> int:
    """About how many bytes a value takes; a list of numbers is judged by its first. What is none of
    Python's own types counts by its attributes."""
    if isinstance(value, str):
        return value.__sizeof__()
    if isinstance(value, bytes | bytearray | memoryview):
        return _VALUE_BYTES + len(value)
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], float | int):
            return _VALUE_BYTES + _FLOAT_BYTES * len(value)
        return _VALUE_BYTES + 8 * len(value) + sum(map(memory_of, value))
    if isinstance(value, dict):
        members = sum(map(memory_of, value.values())) + sum(map(memory_of, value))
        return _VALUE_BYTES + _MEMBER_BYTES * len(value) + members
    if isinstance(value, array):
        return _VALUE_BYTES + value.itemsize * len(value)
    attributes = getattr(value, "__dict__", None)
    return _VALUE_BYTES if not attributes else memory_of(attributes)
