"""A call's usage is shared out to the last token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.sharing import shares


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (10, [1, 1], [5, 5]),
        (10, [1, 1, 1], [4, 3, 3]),  # equal remainders: by place
        (10, [1, 1, 2], [3, 2, 5]),  # 2.5, 2.5, 5
        (7, [3, 1], [5, 2]),  # 5.25, 1.75: the larger remainder wins, not the larger weight
        (5, [0, 0], [3, 2]),  # no weights: equal ones
        (5, [0, 3], [0, 5]),
        (0, [1, 2], [0, 0]),
        (3, [9], [3]),
    ],
)
def test_shares_are_in_proportion(total: int, weights: list[int], expected: list[int]) -> None:
    assert shares(total, weights) == expected


@settings(max_examples=40)
@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_shares_add_up_and_none_is_off_by_a_unit(total: int, weights: list[int]) -> None:
    given_out = shares(total, weights)
    assert sum(given_out) == total
    whole = sum(weights)
    for share, weight in zip(given_out, weights, strict=True):
        if whole:
            assert abs(share * whole - total * weight) < whole
        else:
            assert abs(share * len(weights) - total) < len(weights)
