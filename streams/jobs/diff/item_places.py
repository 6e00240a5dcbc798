"""Where the result of each item stands, for millions of items in little memory.

An item has a number. Where items are matched by their position in the source, the number is made of
it; else each new id or key gets the next one. A place is a partition and an offset of a sink.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Literal

from streams.jobs.diff.enriched import Enriched

Matching = Literal["position", "id", "key"]

OFFSET_BITS, PARTITION_BITS = 47, 15
_PAGE_BITS = 11
_PAGE = array("q", [-1]) * (1 << _PAGE_BITS)
_IN_PAGE = (1 << _PAGE_BITS) - 1
NOWHERE = -1


def place(partition: int, offset: int) -> int:
    """As one number; the later of two in a partition is the larger."""
    return partition << OFFSET_BITS | offset


class Numbers:
    """Gives items their numbers: the same item has the same one on both sides. About 100 bytes for
    each id or key, nothing for positions."""

    def __init__(self, matching: Matching) -> None:
        self.matching: Matching = matching
        self._topics: dict[str, int] = {}
        self._by_hash: dict[int, int] = {}

    def of(self, item: Enriched) -> int | None:
        """None: the item has no position, id or key."""
        if self.matching == "position":
            if item.offset < 0:
                return None
            topic = self._topics.setdefault(item.topic, len(self._topics)) if item.topic else 0
            return topic << PARTITION_BITS + OFFSET_BITS | place(item.partition, item.offset)
        name = item.id if self.matching == "id" else item.key
        if not name:
            return None
        # 64 bits: among a million names two are the same with a chance of 1 to 37 million.
        return self._by_hash.setdefault(hash(name), len(self._by_hash))


class Places:
    """By an item's number; 8 bytes each where numbers stand close together."""

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Numbers with their places."""
        for high, page in self._pages.items():
            for low, where in enumerate(page):
                if where != NOWHERE:
                    yield high << _PAGE_BITS | low, where

    def get(self, number: int) -> int:
        """`NOWHERE` if it has none."""
        page = self._pages.get(number >> _PAGE_BITS)
        return NOWHERE if page is None else page[number & _IN_PAGE]

    def put(self, number: int, where: int) -> bool:
        """The largest of an item counts. Returns whether it is the item's first."""
        page = self._pages.get(number >> _PAGE_BITS)
        if page is None:
            page = self._pages[number >> _PAGE_BITS] = _PAGE[:]
        low = number & _IN_PAGE
        before = page[low]
        if where > before:
            page[low] = where
        self._count += before == NOWHERE
        return before == NOWHERE

    def include(self, other: Places) -> None:
        for number, where in other:
            self.put(number, where)

    def shared_with(self, other: Places) -> int:
        """How many items both have."""
        few, many = sorted((self, other), key=len)
        return sum(many.get(number) != NOWHERE for number, _ in few)
