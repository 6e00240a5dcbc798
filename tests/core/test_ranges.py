"""Ranges of sequence numbers: read back as they were written, and joined to what they cover."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streams.core.ranges import Range, covered, joined, number_bytes, pack, packed_bytes, unpack


@st.composite
def ranges(draw: st.DrawFn, start: int = 0) -> list[Range]:
    """Ranges in order, with at least one number between them."""
    found, at = [], start
    numbers = st.integers(1, 2000)
    for gap, length in draw(st.lists(st.tuples(numbers, numbers), max_size=30)):
        found.append((at + gap, at + gap + length - 1))
        at += gap + length
    return found


@given(st.integers(0, 2**62), st.data())
def test_what_was_written_is_read_back_and_as_long_as_was_counted(start, data) -> None:
    found = data.draw(ranges(start))
    packed = pack(start, found)
    assert unpack(start, packed) == found
    assert len(packed) == packed_bytes(start, found)


@given(st.integers(0, 2**70))
def test_a_number_takes_a_byte_for_seven_bits(number) -> None:
    assert number_bytes(number) == len(pack(0, [(number, number)])) - 1


def test_twenty_in_sequence_after_twenty_take_two_bytes() -> None:
    assert packed_bytes(100, [(120, 139), (160, 179)]) == 4


@given(ranges(), st.integers(0, 100_000))
def test_a_number_is_covered_where_a_range_holds_it(found, number) -> None:
    assert covered(number, found) == any(first <= number <= last for first, last in found)


@given(ranges(), ranges(), st.integers(0, 3000))
def test_ranges_of_two_join_to_what_either_covers_above_the_start(one, other, start) -> None:
    both = joined(start, one, other)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(both))
    edges = {start, *(e + d for pair in one + other for e in pair for d in (-1, 0, 1))}
    for number in edges:
        wanted = number >= start and (covered(number, one) or covered(number, other))
        assert covered(number, both) == wanted
