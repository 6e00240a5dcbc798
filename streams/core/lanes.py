"""The life of an engine's lanes: they open, are halted, resume and close; what they hold."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from streams.core.call import Slot
from streams.core.events import Opened
from streams.core.limits import Limits
from streams.core.order import Lane
from streams.core.windows import Windows


class Lanes(dict[Hashable, Lane]):
    """The open lanes by their keys. `buffered_bytes`: memory of all their slots that are not
    settled. `windows`: where what waits of them is, while they are not halted."""

    def __init__(self, limits: Limits, windows: Windows) -> None:
        super().__init__()
        self._order, self._limit = limits.order, limits.max_beyond_bytes
        self._windows = windows
        self._halted = False  # whether a lane that opens is
        self.buffered_bytes = 0

    def open(self, event: Opened) -> None:
        """Raises ValueError where it is open already."""
        if event.lane in self:
            raise ValueError(f"lane {event.lane} is open already")
        lane = Lane(event.lane, event.next_seq, self._order, done=event.done, limit=self._limit)
        lane.halted, self[event.lane] = self._halted, lane

    def close(self, key: Hashable) -> set[Slot]:
        """Its slots are DROPPED; returns them."""
        lane = self.pop(key)
        self._windows.remove(lane)
        self.buffered_bytes -= lane.buffered_bytes
        return lane.drop()

    def halt(self, keys: Collection[Hashable] | None) -> None:
        """None: all of them, and those that open until all resume."""
        if keys is None:
            self._halted = True
        for lane in self._chosen(keys):
            self._windows.halt(lane)

    def resume(self, keys: Collection[Hashable] | None) -> None:
        """None: all of them, and the input goes on after a `Flush`."""
        if keys is None:
            self._halted = self._windows.flushing = False
        for lane in self._chosen(keys):
            self._windows.resume(lane)

    def _chosen(self, keys: Collection[Hashable] | None) -> list[Lane]:
        return [self[key] for key in (self if keys is None else keys) if key in self]

    def arrive(self, slots: Sequence[Slot]) -> Lane:
        """Slots of one lane, which it returns. Raises ValueError where that is not open."""
        lane = self.get(slots[0].lane)
        if lane is None:
            raise ValueError(f"lane {slots[0].lane} is not open")
        before = lane.buffered_bytes
        lane.arrive(slots)
        self.buffered_bytes += lane.buffered_bytes - before
        return lane

    def settle(self, lane: Lane, slots: Sequence[Slot]) -> None:
        self.buffered_bytes -= lane.settle(slots)

    def forget(self, memory: int) -> None:
        """Slots that took so many bytes are gone from their lanes."""
        self.buffered_bytes -= memory
