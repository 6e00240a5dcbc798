"""Reads a sample of a range, spread over its partitions and offsets, for an estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, Final, NamedTuple

from streams.codec.call_terms import CallTerms
from streams.codec.records import Decoder
from streams.jobs.call_estimate import Estimate
from streams.jobs.replay.range_scan import RangeScanner
from streams.jobs.replay.where_filter import Where
from streams.kafka.extents import Extent
from streams.plans import decoder_of
from streams.settings import TaskSettings

SAMPLE_OFFSETS: Final = 10_000
PIECE_OFFSETS: Final = 200
"""A smaller range is read whole; of a larger one so many pieces of that size as make the sample."""


class Piece(NamedTuple):
    partition: int
    extent: Extent


def pieces(extents: Mapping[int, Extent], size: int = SAMPLE_OFFSETS) -> list[Piece]:
    """Parts of the range with about `size` offsets in all, at equal distances along its partitions
    one behind the other; the whole range where it is not larger."""
    found = [Piece(*each) for each in sorted(extents.items()) if each[1].end > each[1].first]
    lengths = [extent.end - extent.first for _, extent in found]
    total = sum(lengths)
    if total <= size:
        return found
    ends = list(accumulate(lengths))
    count = size // PIECE_OFFSETS
    middles = [(2 * number + 1) * total // (2 * count) for number in range(count)]
    return list(_around(middles, found, ends))


def _around(middles: list[int], whole: list[Piece], ends: list[int]) -> Iterator[Piece]:
    place = 0
    for middle in middles:
        while middle >= ends[place]:
            place += 1
        partition, (first, end) = whole[place]
        begin = end - (ends[place] - middle) - PIECE_OFFSETS // 2
        begin = max(first, min(begin, end - PIECE_OFFSETS))
        yield Piece(partition, Extent(begin, min(begin + PIECE_OFFSETS, end)))


async def add_range(
    estimate: Estimate,
    scanner: RangeScanner,
    task: TaskSettings,
    extents: Mapping[int, Extent],
    where: Where | None,
    *,
    exact: bool,
) -> float:
    """Add a sample of the range, or with `exact` all of it; returns how many times of what was
    added the whole range is. Raises BrokerError."""
    chosen = pieces(extents, sum(map(_length, extents.values())) if exact else SAMPLE_OFFSETS)
    decoder, terms = decoder_of(task), CallTerms(task.batch.key)
    for partition, extent in chosen:
        async for records in scanner.scan(partition, extent):
            inside = records if where is None else where.selected(records)
            _add(estimate, decoder, terms, task.source, partition, inside)
    estimate.close_calls()
    covered = sum(_length(piece.extent) for piece in chosen)
    return sum(map(_length, extents.values())) / covered if covered else 1.0


def _add(
    estimate: Estimate,
    decoder: Decoder,
    terms: CallTerms,
    topic: str,
    partition: int,
    records: list[Any],
) -> None:
    decoded = decoder.decode(records, topic, partition)
    keys = terms.call_keys(decoded.items)
    for place, (item, key) in enumerate(zip(decoded.items, keys, strict=True)):
        if place not in decoded.settled:
            estimate.add(item.text, key)


def _length(extent: Extent) -> int:
    return extent.end - extent.first
