"""The open windows of a task, one per call key, and the microbatches cut from them.

1. Late binding: there is no queue of closed microbatches. As long as no call may start, a window
   goes on filling, so the next microbatch is as full as it can be.
2. Of the windows that close now, the one that is due the longest is cut first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from math import inf

from streams.core.call import Call, Slot, State
from streams.core.limits import Limits
from streams.core.order import Lane
from streams.core.window import Window
from streams.policies.packing import Packing

WAITING = State.WAITING


class Windows:
    """`flushing`: the input has ended; windows close without waiting for more. `packing`: says what
    slots weigh, in all of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.packing = Packing(limits.call_shape, limits.max_tokens)
        self._open: dict[Hashable, Window] = {}  # none is empty
        self.flushing = False

    def __iter__(self) -> Iterator[Window]:
        return iter(self._open.values())

    @property
    def count(self) -> int:
        """How many slots wait."""
        return sum(window.count for window in self._open.values())

    def add(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """Slots of one lane, in order; each run of equal call keys goes to its window, or stays
        out of them while the lane is halted."""
        if lane.halted:
            lane.parked += slots
            return
        start = 0
        for end in range(1, len(slots) + 1):
            if end == len(slots) or slots[end].call_key != slots[start].call_key:
                key = slots[start].call_key
                window = self._open.get(key)
                if window is None:
                    window = self._open[key] = Window(self._limits, key, self.packing)
                window.add(lane, slots[start:end])
                start = end

    def halt(self, lane: Lane) -> None:
        """What waits of the lane stays out of the windows until `resume`."""
        if not lane.halted:
            lane.halted = True
            lane.parked = self.remove(lane)

    def resume(self, lane: Lane) -> None:
        lane.halted = False
        parked, lane.parked = lane.parked, []
        self.add(lane, parked)

    def remove(self, lane: Lane) -> list[Slot]:
        """Takes a lane out; returns its waiting slots, those of each call key in order."""
        slots: list[Slot] = []
        for key, window in list(self._open.items()):
            slots += window.remove(lane)
            if not window.count:
                del self._open[key]
        return slots

    def withdraw(self, slots: Sequence[Slot]) -> None:
        """These slots waited here, and are DROPPED now."""
        for key, group in _by_call_key(slots).items():
            window = self._open[key]
            window.withdraw(group)
            if not window.count:
                del self._open[key]

    def expedite(self, slots: Sequence[Slot], now: float) -> None:
        """The windows of those that wait close now, or as soon as their lanes resume."""
        for slot in slots:
            if slot.state is not WAITING:
                continue
            slot.deadline_at = now if slot.deadline_at is None else min(now, slot.deadline_at)
            if not slot.home.halted:
                self._open[slot.call_key].expedite(slot, slot.deadline_at)

    def change(self, limits: Limits) -> None:
        """Other limits: what waits is cut by them from now on."""
        self._limits = limits
        for window in self._open.values():
            window.change(limits)

    def due(self, now: float) -> Window | None:
        """Of the windows that close now the one that is due the longest; None: none closes."""
        due: Window | None = None
        for window in self._open.values():
            if window.closes(now, self.flushing) and (due is None or window.due_at < due.due_at):
                due = window
        return due

    def cut(self, window: Window, now: float, limit: int) -> Call:
        """A microbatch of `limit` items or fewer of a window that closes now."""
        reason = window.closes(now, self.flushing)
        assert reason is not None
        cut = window.cut(now, limit)
        call = Call(cut.slots, "new", reason)
        call.tokens_by_script = cut.tokens
        if not window.count:
            del self._open[window.key]
        return call

    def next_at(self) -> float:
        """When the next window closes as things stand; -inf: one would now; inf: none is open."""
        next_at = inf
        for window in self._open.values():
            if window.closes(-inf, self.flushing):
                return -inf
            next_at = min(next_at, window.due_at)
        return next_at


def _by_call_key(slots: Sequence[Slot]) -> dict[Hashable, list[Slot]]:
    groups: dict[Hashable, list[Slot]] = {}
    for slot in slots:
        groups.setdefault(slot.call_key, []).append(slot)
    return groups
