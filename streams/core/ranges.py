"""Ranges of sequence numbers, and the few bytes they are written in.

A range is its first and its last number, both included. Written, each is a pair of unsigned LEB128
numbers (7 bits a byte): how many numbers lie between it and what is before it, and how many it
covers less one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import merge
from operator import itemgetter

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
