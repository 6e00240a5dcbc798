"""Into how many parts, and that no item is lost between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.policies.splitting import divide, parts_to_isolate, parts_until_alone


@pytest.mark.parametrize(
    ("items", "parts", "runs"),
    [
        ("abcde", 2, ["abc", "de"]),
        ("abcdef", 3, ["ab", "cd", "ef"]),
        ("abcdefg", 3, ["abc", "de", "fg"]),
        ("ab", 5, ["a", "b"]),
        ("a", 2, ["a"]),
    ],
)
def test_items_are_divided_evenly_and_in_order(items: str, parts: int, runs: list[str]) -> None:
    assert divide(items, parts) == runs


@settings(max_examples=40)
@given(st.lists(st.integers(), min_size=1, max_size=200), st.integers(1, 50))
def test_dividing_loses_nothing_and_makes_no_empty_part(items: list[int], parts: int) -> None:
    runs = divide(items, parts)
    assert [item for run in runs for item in run] == items
    assert len(runs) == min(parts, len(items))
    lengths = {len(run) for run in runs}
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("size", "attempts_left", "parts"),
    [(20, 5, 2), (20, 2, 5), (20, 1, 20), (20, 0, 20), (20, -3, 20), (1000, 3, 10), (2, 9, 2)],
)
def test_how_many_parts_leave_each_item_alone_in_time(
    size: int, attempts_left: int, parts: int
) -> None:
    assert parts_until_alone(size, attempts_left) == parts


@settings(max_examples=40)
@given(st.integers(2, 5_000), st.integers(1, 8))
def test_the_largest_part_is_one_item_when_no_attempt_is_left(size: int, attempts: int) -> None:
    for left in range(attempts, 0, -1):
        size = max(len(run) for run in divide(range(size), parts_until_alone(size, left)))
    assert size == 1


@pytest.mark.parametrize(("size", "most"), [(1, 0), (2, 2), (3, 3), (5, 5), (10, 7), (20, 9)])
def test_isolating_one_item_takes_few_calls_wherever_it_stands(size: int, most: int) -> None:
    """Halves down to three, which go one by one: no place among 20 costs more than 9 calls."""

    def calls(items: range, bad: int) -> int:
        if len(items) == 1:
            return 0
        parts = divide(items, parts_to_isolate(len(items)))
        return len(parts) + sum(calls(part, bad) for part in parts if bad in part)  # type: ignore[arg-type]

    assert max(calls(range(size), place) for place in range(size)) == most
