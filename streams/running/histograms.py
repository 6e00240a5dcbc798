"""Histograms of what is counted: a few buckets, or whole milliseconds."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

DAY_MS = 86_400_000
FINE_MS = 10_000
STEPS_MS = ((FINE_MS, 1), (1_000_000, 100), (DAY_MS, 10_000))
"""Up to each bound, latencies are distinguished by so many milliseconds: a backlog of a day makes
at most 28,000 different ones."""


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

    def include(self, other: Distribution) -> None:
        """Count the values of another one with the same bounds, too."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Latencies:
    """A histogram of whole milliseconds, exact to 1 ms below 10 s, to 1 % above, up to a day.

    Bounded in size, and fed with lists: 0.05 us per item.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, milliseconds: Iterable[int]) -> None:
        # Count equal values first, since items that come together mostly have the same latency.
        for ms, count in Counter(milliseconds).items():
            self._counts[ms if 0 <= ms < FINE_MS else _rounded(ms)] += count

    def include(self, others: Latencies) -> None:
        """Count these, too."""
        self._counts.update(others._counts)

    def distribution(self, bounds_s: Sequence[float]) -> Distribution:
        """The same in a few buckets, in seconds."""
        values = Distribution(bounds_s)
        for ms, count in self._counts.items():
            values.add(ms / 1000, count)
        return values

    def percentile(self, share: float) -> int | None:
        """The smallest value that at least this `share` (0 to 1) of all do not exceed; None if
        there are none."""
        total = sum(self._counts.values())
        if not total:
            return None
        rank, passed_count = share * total, 0
        for value in sorted(self._counts):
            passed_count += self._counts[value]
            if passed_count >= rank:
                return value
        return max(self._counts)


def _rounded(ms: int) -> int:
    """The latency to count. Different clocks can make it negative: then 0."""
    for bound, step in STEPS_MS:
        if ms < bound:
            return max(0, ms) // step * step
    return DAY_MS
