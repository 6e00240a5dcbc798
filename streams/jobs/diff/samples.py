"""A few examples of many, chosen by chance but the same ones each time.

Each item has a rank that its number gives it, and the examples of a kind are the items with the
lowest ranks. So they are spread over the whole topic, however it is read.
"""

from __future__ import annotations

from heapq import heappush, heappushpop
from typing import Generic, TypeVar

_ODD = 0x9E3779B97F4A7C15  # 2 ** 64 / the golden ratio: neighbours get ranks far apart
_BITS = (1 << 64) - 1

T = TypeVar("T")


def rank(number: int) -> int:
    return number * _ODD & _BITS


class Sample(Generic[T]):
    """The `size` examples with the lowest ranks."""

    __slots__ = ("_count", "_heap", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._count = 0
        self._heap: list[tuple[float, int, T]] = []

    def wants(self, rank: float) -> bool:
        """Whether an example of this rank would be one of them: ask before making it."""
        heap = self._heap
        return len(heap) < self._size or (self._size > 0 and -rank > heap[0][0])

    def add(self, rank: float, example: T) -> None:
        self._count += 1  # of two with one rank the first stays; examples are never compared
        entry = (-rank, -self._count, example)
        if len(self._heap) < self._size:
            heappush(self._heap, entry)
        else:
            heappushpop(self._heap, entry)

    def items(self) -> list[T]:
        """The lowest rank first."""
        return [example for _, _, example in sorted(self._heap, reverse=True)]
