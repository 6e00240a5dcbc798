"""Windows by a time of each: which is the first.

A heap. What stands in it for a window that has another time by now, or is gone, is passed by when
it comes first, or goes when it is more than half.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from streams.core.window import Window

SPARE = 16
"""So many entries may be in vain in any case."""


class WindowHeap:
    def __init__(self) -> None:
        self._times: dict[Window, float] = {}
        self._heap: list[tuple[float, int, Window]] = []
        self._tie = count()

    def place(self, window: Window, time: float) -> None:
        """The window's time is this from now on."""
        if self._times.get(window) == time:
            return
        self._times[window] = time
        heappush(self._heap, (time, next(self._tie), window))
        if len(self._heap) > 2 * len(self._times) + SPARE:
            self._heap = [(time, next(self._tie), each) for each, time in self._times.items()]
            heapify(self._heap)

    def remove(self, window: Window) -> None:
        self._times.pop(window, None)

    def first(self) -> tuple[float, Window | None]:
        """The earliest time, and its window; inf and None: there is none."""
        heap, times = self._heap, self._times
        while heap:
            time, _, window = heap[0]
            if times.get(window) == time:
                return time, window
            heappop(heap)
        return inf, None
