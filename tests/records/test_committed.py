"""What a commit says beyond its offset: read back as it was written, never too long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.committed import (
    MAX_BEYOND_BYTES,
    MAX_METADATA_BYTES,
    Committed,
    beyond_bytes,
    covered,
    joined,
)


@st.composite
def ranges(draw: st.DrawFn, start: int = 0) -> list[tuple[int, int]]:
    """Ranges in order, with at least one offset between them."""
    found, at = [], start
    numbers = st.integers(1, 2000)
    for gap, length in draw(st.lists(st.tuples(numbers, numbers), max_size=30)):
        found.append((at + gap, at + gap + length - 1))
        at += gap + length
    return found


@given(st.integers(0, 2**62), st.data(), st.none() | st.integers(0, 2**63 - 1))
def test_what_was_committed_is_read_back(offset, data, ledger) -> None:
    said = Committed(offset, tuple(data.draw(ranges(offset))), ledger)
    assert Committed.read(offset, said.metadata) == said


def test_a_commit_with_nothing_beyond_says_nothing() -> None:
    assert Committed(7).metadata == ""
    assert Committed.read(7, "") == Committed(7)


@pytest.mark.parametrize(
    "metadata",
    [
        "of somebody else",
        "streams/2 beyond=AAAA",
        "streams/1 beyond=!!!!",
        "streams/1 beyond=gA",
        "streams/1 beyond=AA",
        "streams/1 ledger=many",
        "streams/1",
    ],
)
def test_metadata_that_cannot_be_read_say_nothing(metadata: str) -> None:
    assert Committed.read(7, metadata) == Committed(7)


def test_the_longest_metadata_fit_and_longer_ones_are_an_error() -> None:
    every_other = [(2**40 + 2 * n, 2**40 + 2 * n) for n in range(5000)]
    offset = every_other[0][0]
    fits = 0
    while beyond_bytes(offset, every_other[: fits + 1]) <= MAX_BEYOND_BYTES:
        fits += 1
    assert fits > 1000
    longest = Committed(offset, every_other[:fits], 2**63 - 1).metadata
    assert MAX_METADATA_BYTES - 10 < len(longest) <= MAX_METADATA_BYTES
    with pytest.raises(ValueError, match="ranges"):
        _ = Committed(offset, every_other[: fits + 1]).metadata


@given(ranges(), st.integers(0, 100_000))
def test_an_offset_is_covered_where_a_range_holds_it(found, offset) -> None:
    assert covered(offset, found) == any(first <= offset <= last for first, last in found)


@given(ranges(), ranges(), st.integers(0, 3000))
def test_ranges_of_two_join_to_what_either_covers_above_the_watermark(one, other, mark) -> None:
    both = joined(mark, one, other)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(both))
    edges = {mark, *(e + d for pair in one + other for e in pair for d in (-1, 0, 1))}
    for offset in edges:
        wanted = offset >= mark and (covered(offset, one) or covered(offset, other))
        assert covered(offset, both) == wanted
