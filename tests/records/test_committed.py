"""What a commit says beyond its offset: read back as it was written, never too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.committed import MAX_BEYOND_BYTES, MAX_METADATA_BYTES, Committed
from streams.core.ranges import packed_bytes
from tests.core.test_ranges import ranges


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
        "streams/1 beyond=" + "AA" * MAX_BEYOND_BYTES,
        "streams/1 ledger=7 " + "x" * MAX_METADATA_BYTES,
    ],
)
def test_metadata_that_cannot_be_read_say_nothing(metadata: str) -> None:
    assert Committed.read(7, metadata) == Committed(7)


def test_the_longest_metadata_fit_and_longer_ones_are_an_error() -> None:
    every_other = [(2**40 + 2 * n, 2**40 + 2 * n) for n in range(5000)]
    offset = every_other[0][0]
    fits = 0
    while packed_bytes(offset, every_other[: fits + 1]) <= MAX_BEYOND_BYTES:
        fits += 1
    assert fits > 1000
    longest = Committed(offset, every_other[:fits], 2**63 - 1).metadata
    assert MAX_METADATA_BYTES - 10 < len(longest) <= MAX_METADATA_BYTES
    with pytest.raises(ValueError, match="ranges"):
        _ = Committed(offset, every_other[: fits + 1]).metadata


def test_what_lies_beyond_the_end_of_a_log_is_forgotten() -> None:
    """A log that lost its tail gives those offsets to other records."""
    said = Committed(5, ((7, 9), (12, 20), (30, 31)), 3)
    assert said.below(32) == said
    assert said.below(16) == Committed(5, ((7, 9), (12, 15)), 3)
    assert said.below(12) == Committed(5, ((7, 9),), 3)
    assert said.below(5) == Committed(5, (), 3)
