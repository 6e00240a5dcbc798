"""Ranges of sequence numbers, the few bytes they are written in, and the runs that settle.

A range is its first and its last number, both included. Written, each is a pair of unsigned LEB128
numbers (7 bits a byte): how many numbers lie between it and what is before it, and how many it
covers less one.

`Runs` are the slots that a lane settled beyond its watermark. Two slots that arrived one after the
other are in one run, whatever numbers lie between them: those are no slots. A run takes no more
memory than one slot's number, however many slots are in it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from heapq import merge
from operator import itemgetter

from streams.core.call import Slot

Range = tuple[int, int]
Ranges = Sequence[Range]
"""In order and apart from each other."""


def number_bytes(number: int) -> int:
    """How long this number is, written."""
    return (number.bit_length() + 6) // 7 or 1


def packed_bytes(start: int, ranges: Iterable[Range]) -> int:
    """How long these ranges are, written; `start`: what is before the first, not above it."""
    size, before = 0, start
    for first, last in ranges:
        size += number_bytes(first - before) + number_bytes(last - first)
        before = last + 1
    return size


def pack(start: int, ranges: Iterable[Range]) -> bytes:
    packed, before = bytearray(), start
    for first, last in ranges:
        for number in (first - before, last - first):
            while number > 0x7F:
                packed.append(number & 0x7F | 0x80)
                number >>= 7
            packed.append(number)
        before = last + 1
    return bytes(packed)


def unpack(start: int, packed: bytes) -> list[Range]:
    """ValueError where the bytes end within a range."""
    numbers, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift or len(numbers) % 2:
        raise ValueError("cut off")
    ranges, before = [], start
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        first = before + gap
        ranges.append((first, first + length))
        before = first + length + 1
    return ranges


def covered(number: int, ranges: Ranges) -> bool:
    """Whether one of the ranges holds this number."""
    place = bisect_right(ranges, number, key=itemgetter(0))
    return place > 0 and number <= ranges[place - 1][1]


def joined(start: int, one: Ranges, other: Ranges) -> list[Range]:
    """What either covers from `start` on; ranges that touch are one."""
    ranges: list[Range] = []
    for first, last in merge(one, other):
        if last < start:
            continue
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], last))
        else:
            ranges.append((max(first, start), last))
    return ranges


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
