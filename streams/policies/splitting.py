"""Into how many parts a microbatch is divided, and which items go into which part."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TypeVar

T = TypeVar("T")


def divide(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    """`items` in `parts` runs of equal length (the first ones longer by one at most), in order.

    Never an empty run: more parts than items gives each item its own.
    """
    parts = min(parts, len(items))
    short, longer = divmod(len(items), parts)
    runs: list[Sequence[T]] = []
    start = 0
    for i in range(parts):
        end = start + short + (i < longer)
        runs.append(items[start:end])
        start = end
    return runs


def parts_to_isolate(size: int) -> int:
    """How many parts to make of `size` items with one bad item: halves, but three one by one.

    Halving three takes four calls for two of them and two for the third. One by one it is three for
    each, so that none of 20 items costs more than 9 calls, wherever it is (8.6 on average).
    """
    return 3 if size == 3 else 2


def parts_until_alone(size: int, attempts_left: int) -> int:
    """How many parts to make of `size` items so that each is alone by its last attempt.

    With k attempts left and p = ceil(size ** (1/k)), p ** k >= size: dividing by p each time
    leaves one item after k divisions. At least 2; with no attempt left, all of them at once.
    20 items and 5 attempts left: 2, 2, 2, 2, 2.
    """
    root: float = size ** (1 / max(1, attempts_left))
    return max(2, ceil(root))
