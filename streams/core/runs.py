"""Which slots of a lane are settled beyond its watermark, as runs of arrivals.

Two slots that arrived one after the other are in one run, whatever numbers lie between them: those
are no slots. A run takes no more memory than one slot's number, however many it holds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from streams.core.call import Slot
from streams.core.ranges import Range


class Runs:
    """`ranges`: first and last sequence number of each run, in order."""

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self._places: list[Range] = []  # first and last place of each

    def add(self, slots: Iterable[Slot]) -> None:
        """Slots that are in no run yet, in any order."""
        first = last = None
        for slot in slots:
            if last is None or slot.place != last.place + 1:
                if first is not None and last is not None:
                    self._add(first, last)
                first = slot
            last = slot
        if first is not None and last is not None:
            self._add(first, last)

    def _add(self, first: Slot, last: Slot) -> None:
        places, ranges = self._places, self.ranges
        at = bisect_left(places, (first.place,))
        start = at - (at > 0 and places[at - 1][1] == first.place - 1)
        end = at + (at < len(places) and places[at][0] == last.place + 1)
        place, seq = (first.place, last.place), (first.seq, last.seq)
        if start < at:
            place, seq = (places[start][0], place[1]), (ranges[start][0], seq[1])
        if end > at:
            place, seq = (place[0], places[at][1]), (seq[0], ranges[at][1])
        places[start:end], ranges[start:end] = [place], [seq]

    def drop(self, head: Slot | None) -> None:
        """Forget what arrived before this slot; None: all."""
        passed = len(self.ranges) if head is None else bisect_left(self._places, (head.place,))
        del self._places[:passed], self.ranges[:passed]

    def with_(self, slots: Iterable[Slot]) -> Runs:
        """The same and these, too."""
        runs = Runs()
        runs.ranges, runs._places = self.ranges.copy(), self._places.copy()
        runs.add(slots)
        return runs
