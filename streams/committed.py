"""What a commit says of a lane: the watermark, and in its metadata what is known beyond it.

Metadata are one line of text that travels with the offset, also inside a transaction:

    streams/1 beyond=BASE64 ledger=4711

`beyond`: ranges of offsets above the watermark that are settled already (order "key" and "none"),
as pairs of unsigned LEB128 numbers (how many offsets lie between this range and what is before it,
how many it covers less one), base64url without padding. `ledger`: the offset of the ledger's
partition below which nothing is of interest any more. A part with nothing to say is left out;
metadata of anybody else's say nothing.

Kafka takes 4,096 bytes (`offset.metadata.max.bytes`), and more than that ends an aiokafka producer
(facts measured on 0.14.0), so a text never passes MAX_METADATA_BYTES.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import NamedTuple, Self

MAX_METADATA_BYTES = 3500
HEAD = "streams/1"
LEDGER_BYTES = len(f"{HEAD} beyond= ledger={2**63}")
"""Everything in the metadata that is not the ranges, at its longest."""

MAX_BEYOND_BYTES = (MAX_METADATA_BYTES - LEDGER_BYTES) * 3 // 4
"""The ranges' own bytes, before base64."""

Ranges = Sequence[tuple[int, int]]
"""First and last offset of each range, both included, in order and apart from each other."""


class Committed(NamedTuple):
    """`offset`: the watermark. `beyond`: what is settled above it. `ledger_offset`: where the
    ledger is to be read from; None: there is none. `made`: False where nobody has committed yet,
    and this is where the partition begins all the same."""

    offset: int
    beyond: Ranges = ()
    ledger_offset: int | None = None
    made: bool = True

    @property
    def metadata(self) -> str:
        """Raises ValueError where the ranges do not fit (`beyond_bytes` tells before)."""
        parts = [HEAD]
        if self.beyond:
            packed = _packed(self.offset, self.beyond)
            if len(packed) > MAX_BEYOND_BYTES:
                raise ValueError(f"{len(packed)} bytes of ranges, {MAX_BEYOND_BYTES} are allowed")
            parts.append("beyond=" + base64.urlsafe_b64encode(packed).decode().rstrip("="))
        if self.ledger_offset is not None:
            parts.append(f"ledger={self.ledger_offset}")
        return " ".join(parts) if len(parts) > 1 else ""

    @classmethod
    def read(cls, offset: int, metadata: str) -> Self:
        """What was committed; metadata that cannot be read say nothing."""
        head, *parts = metadata.split(" ")
        if head != HEAD:
            return cls(offset)
        said = dict(part.partition("=")[::2] for part in parts)
        try:
            ledger = int(said["ledger"]) if "ledger" in said else None
            return cls(offset, tuple(_unpacked(offset, said.get("beyond", ""))), ledger)
        except (ValueError, binascii.Error):
            return cls(offset)


def beyond_bytes(offset: int, ranges: Iterable[tuple[int, int]]) -> int:
    """How much room these ranges take; at most MAX_BEYOND_BYTES can be committed."""
    return len(_packed(offset, ranges))


def _packed(offset: int, ranges: Iterable[tuple[int, int]]) -> bytes:
    packed, before = bytearray(), offset
    for first, last in ranges:
        for number in (first - before, last - first):
            while number > 0x7F:
                packed.append(number & 0x7F | 0x80)
                number >>= 7
            packed.append(number)
        before = last + 1
    return bytes(packed)


def _unpacked(offset: int, text: str) -> Iterator[tuple[int, int]]:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift or len(numbers) % 2:
        raise ValueError("cut off")
    before = offset
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        first = before + gap
        yield first, first + length
        before = first + length + 1


def covered(offset: int, ranges: Ranges) -> bool:
    """Whether one of the ranges holds this offset."""
    place = bisect_right(ranges, offset, key=itemgetter(0))
    return place > 0 and offset <= ranges[place - 1][1]


def joined(watermark: int, one: Ranges, other: Ranges) -> list[tuple[int, int]]:
    """The ranges of both that are not below the watermark, in order; those that touch are one."""
    ranges: list[tuple[int, int]] = []
    for first, last in merge(one, other):
        if last < watermark:
            continue
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], last))
        else:
            ranges.append((max(first, watermark), last))
    return ranges
