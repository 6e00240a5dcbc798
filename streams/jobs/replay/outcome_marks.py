"""Which positions of a range have an outcome, and how many: pure.

A byte for each position, in pages that exist where something is marked: a million positions take a
megabyte, whatever order they come in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PAGE: Final = 4096
EMPTY: Final = bytes(PAGE)
IN_RANGE: Final = 0x80
"""The position has an item that belongs to the range."""

COPIES: Final = 0x7F
"""How many outcomes it has; more are counted as so many."""


class Marks:
    """The positions of one partition."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, offset: int) -> int:
        """One outcome more of this position; returns how many it had before."""
        page, place = self._at(offset)
        before = page[place] & COPIES
        if before < COPIES:
            page[place] += 1
        return before

    def expect(self, offset: int) -> None:
        """This position belongs to the range."""
        page, place = self._at(offset)
        page[place] |= IN_RANGE

    def has(self, offset: int) -> bool:
        """Whether the position has an outcome."""
        page = self._pages.get(offset // PAGE)
        return page is not None and bool(page[offset % PAGE] & COPIES)

    def lost(self) -> Iterator[int]:
        """Positions of the range without an outcome, in order."""
        for number, page in sorted(self._pages.items()):
            if IN_RANGE in page:
                yield from (number * PAGE + at for at, mark in enumerate(page) if mark == IN_RANGE)

    def repeated(self) -> Iterator[tuple[int, int]]:
        """Positions with more than one outcome, in order, and how many they have."""
        for number, page in sorted(self._pages.items()):
            for at, mark in enumerate(page):
                if mark & COPIES > 1:
                    yield number * PAGE + at, mark & COPIES

    def _at(self, offset: int) -> tuple[bytearray, int]:
        number, place = divmod(offset, PAGE)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = bytearray(EMPTY)
        return page, place
