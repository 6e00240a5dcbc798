"""The durations of the latest calls, and the one that 95 of 100 do not pass. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil
from typing import Final

SIZE: Final = 100
SHARE: Final = 0.95


class Recent:
    """The latest `SIZE` durations. `p95`: as long as `SHARE` of them at least, in seconds; with few
    of them the longest; None: there is none yet."""

    def __init__(self) -> None:
        self._in_turn: deque[float] = deque()
        self._sorted: list[float] = []
        self.p95: float | None = None

    def add(self, seconds: float) -> None:
        self._in_turn.append(seconds)
        insort(self._sorted, seconds)
        if len(self._in_turn) > SIZE:
            del self._sorted[bisect_left(self._sorted, self._in_turn.popleft())]
        self.p95 = self._sorted[ceil(SHARE * len(self._sorted)) - 1]
