"""The durations of the latest calls, and the one that 95 of 100 do not pass. Pure."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final

SIZE: Final = 100
SHARE: Final = 0.95


class Recent:
    """The latest `SIZE` durations. `p95`: as long as `SHARE` of them at least, in seconds; with few
    of them the longest; None: there is none yet."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=SIZE)

    def add(self, seconds: float) -> None:
        self._latest.append(seconds)

    @property
    def p95(self) -> float | None:
        """Sorts: it costs some microseconds."""
        count = len(self._latest)
        return sorted(self._latest)[ceil(SHARE * count) - 1] if count else None
