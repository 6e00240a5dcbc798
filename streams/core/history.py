"""What happened to each item, in notes of the engine: for failure messages of tests."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable

from streams.core.call import Slot

HISTORY_ITEMS = 10_000
HISTORY_NOTES = 50


class History:
    """The last notes of the last items, for failure messages; older ones are forgotten."""

    def __init__(self) -> None:
        self._notes: OrderedDict[tuple[Hashable, int], deque[str]] = OrderedDict()

    def note(self, slots: Iterable[Slot], now: float, what: str) -> None:
        for slot in slots:
            place = (slot.lane, slot.seq)
            notes = self._notes.get(place)
            if notes is None:
                notes = self._notes[place] = deque(maxlen=HISTORY_NOTES)
                if len(self._notes) > HISTORY_ITEMS:
                    self._notes.popitem(last=False)
            notes.append(f"{now:.3f} {what}")

    def of(self, lane: Hashable, seq: int) -> list[str]:
        return list(self._notes.get((lane, seq), ()))
