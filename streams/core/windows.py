"""The open windows of a task, one per call key, and the microbatches cut from them.

1. Late binding: there is no queue of closed microbatches. As long as no call may start, a window
   goes on filling, so the next microbatch is as full as it can be.
2. Of the windows that close now, the one that is due the longest is cut first; a full one whose
   time has not come is cut after those.
3. No event costs more for many windows: they stand in heaps. A window is due by the longest wait of
   its items, or by the first `flush_by` less the lead, which is the same for all and so moves none.
4. What slots weigh, and how many may share a call, changes with replies, and with it which windows
   are full. Then some are looked at, in turns; the others at their next change, or when due.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from math import inf

from streams.core.call import Call, Slot, State
from streams.core.lead import Lead
from streams.core.limits import Limits
from streams.core.order import Lane
from streams.core.window import Window
from streams.core.window_heap import WindowHeap
from streams.policies.packing import Packing

LOOKED_AT = 32
"""Windows that are looked at when a change is for all."""

WAITING = State.WAITING


class Windows:
    """`flushing`: the input has ended; windows close without waiting for more. `count`: how many
    slots wait. `packing`: says what slots weigh, in all of them. `lead`: how long before its
    `flush_by` an item's window closes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.packing = Packing(limits.call_shape, limits.max_tokens)
        self._open: dict[Hashable, Window] = {}  # none is empty
        self._by_wait, self._by_flush_by, self._full = WindowHeap(), WindowHeap(), WindowHeap()
        self.lead = Lead()
        self._factors = self.packing.factors
        self.flushing = False
        self.count = 0

    def __iter__(self) -> Iterator[Window]:
        return iter(self._open.values())

    def add(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """Slots of one lane, in order; those of each call key go to its window, or stay out of them
        while the lane is halted."""
        if lane.halted:
            lane.parked += slots
            return
        self.count += len(slots)
        for key, group in _by_call_key(slots).items():
            window = self._open.get(key)
            if window is None:
                window = self._open[key] = Window(self._limits, key, self.packing, self.lead)
            window.add(lane, group)
            self._place(window)

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
        for window in list(self._open.values()):
            if removed := window.remove(lane):
                slots += removed
                self._place(window)
        self.count -= len(slots)
        return slots

    def withdraw(self, slots: Sequence[Slot]) -> None:
        """These slots waited here, and are DROPPED now."""
        self.count -= len(slots)
        for key, group in _by_call_key(slots).items():
            window = self._open[key]
            window.withdraw(group)
            self._place(window)

    def expedite(self, slots: Sequence[Slot], now: float) -> None:
        """The windows of those that wait close now, or as soon as their lanes resume."""
        for slot in slots:
            if slot.state is not WAITING:
                continue
            slot.flush_by = now if slot.flush_by is None else min(now, slot.flush_by)
            if not slot.home.halted:
                window = self._open[slot.call_key]
                window.expedite(slot)
                self._place(window)

    def change(self, limits: Limits) -> None:
        """Other limits: what waits is cut by them from now on. Rule 4 holds for `max_items`, which
        changes more often (`sizing.py`)."""
        waits_as_before = limits.max_wait_s == self._limits.max_wait_s
        self._limits = limits
        for window in self._some() if waits_as_before else list(self._open.values()):
            window.change(limits)
            self._place(window)

    def due(self, now: float) -> Window | None:
        """Of the windows that close now the one that is due the longest; None: none closes."""
        self._reweigh()
        due_at, window = self._first()
        if window is not None and (due_at <= now or self.flushing):
            return window
        return self._full.first()[1]

    def cut(self, window: Window, now: float, limit: int) -> Call:
        """A microbatch of `limit` items or fewer of a window that closes now."""
        reason = window.closes(now)
        cut = window.cut(now, limit)
        call = Call(cut.slots, "new", reason)
        call.tokens_by_script = cut.tokens
        self.count -= call.size
        self._place(window)
        return call

    def next_at(self) -> float:
        """When the next window closes as things stand; -inf: one would now; inf: none is open."""
        self._reweigh()
        if self._full.first()[1] is not None or (self.flushing and self._open):
            return -inf
        return self._first()[0]

    def _first(self) -> tuple[float, Window | None]:
        """The open window that is due first by time, and when; inf and None: none is open."""
        by_wait, by_flush_by = self._by_wait.first(), self._by_flush_by.first()
        if by_flush_by[1] is None:
            return by_wait
        flush_at = by_flush_by[0] - self.lead.s
        return by_wait if by_wait[0] <= flush_at else (flush_at, by_flush_by[1])

    def _reweigh(self) -> None:
        """As rule 4 has it."""
        if self._factors is not self.packing.factors:
            self._factors = self.packing.factors
            for window in self._some():
                self._place(window)

    def _some(self) -> list[Window]:
        """As many windows as are looked at in one go; others the next time."""
        keys = list(islice(self._open, LOOKED_AT))
        windows = [self._open.pop(key) for key in keys]
        self._open.update(zip(keys, windows, strict=True))  # they are the last from now on
        return windows

    def _place(self, window: Window) -> None:
        """It has changed: an empty one goes, any other stands where it belongs."""
        if not window.count:
            del self._open[window.key]
            for heap in (self._by_wait, self._by_flush_by, self._full):
                heap.remove(window)
            return
        window.limits = self._limits
        self._by_wait.place(window, window.wait_until)
        if window.flush_by < inf:
            self._by_flush_by.place(window, window.flush_by)
        else:
            self._by_flush_by.remove(window)
        if window.full:
            self._full.place(window, window.wait_until)
        else:
            self._full.remove(window)


def _by_call_key(slots: Sequence[Slot]) -> dict[Hashable, list[Slot]]:
    groups: defaultdict[Hashable, list[Slot]] = defaultdict(list)
    for slot in slots:
        groups[slot.call_key].append(slot)
    return groups
