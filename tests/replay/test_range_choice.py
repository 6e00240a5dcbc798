"""What `--from`, `--until` and `--partitions` choose."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streams.errors import UsageError
from streams.jobs.replay.range_choice import (
    as_shown,
    bounded,
    partition_numbers,
    range_choice,
)
from streams.kafka.extents import Extent
from streams.kafka.tail import Start

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", Start("earliest")),
        ("latest", Start("latest")),
        ("17", Start("offset", 17)),
        ("-2h", Start("time", int(NOW.timestamp() * 1000) - 2 * HOUR_MS)),
        ("2026-11-29T11:00:00Z", Start("time", int(NOW.timestamp() * 1000) - HOUR_MS)),
    ],
)
def test_both_ends_take_every_form(text: str, start: Start) -> None:
    assert range_choice(text, text, None, NOW)[:2] == (start, start)


def test_the_message_names_the_option_that_is_wrong() -> None:
    with pytest.raises(UsageError, match=r"^--from must be"):
        range_choice("yesterday", "latest", None, NOW)
    with pytest.raises(UsageError, match=r"^--until must be"):
        range_choice("earliest", "tomorrow", None, NOW)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", {0}), ("0,3-5", {0, 3, 4, 5}), (" 7 , 7 ", {7}), ("2-2", {2})],
)
def test_partitions_are_numbers_and_ranges(text: str, numbers: set[int]) -> None:
    assert partition_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "5-3", "1,,2", "-1", "0-99999999", "1.5"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--partitions"):
        partition_numbers(text)


def test_a_range_lies_within_the_log_and_its_end_is_not_part_of_it() -> None:
    logs = {0: Extent(10, 50), 1: Extent(0, 5), 2: Extent(3, 3)}
    found = bounded({0: 0, 1: 20, 2: 0}, {0: 30, 1: 99, 2: 99}, logs)
    assert found == {0: Extent(10, 30), 1: Extent(5, 5), 2: Extent(3, 3)}


def test_an_end_before_the_beginning_is_an_empty_range() -> None:
    assert bounded({0: 40}, {0: 20}, {0: Extent(0, 50)}) == {0: Extent(40, 40)}


def test_a_relative_time_is_remembered_as_one_of_the_clock() -> None:
    start = range_choice("-2h", "latest", None, NOW).first
    assert as_shown("-2h", start) == "2026-11-29T10:00:00.000Z"
    assert as_shown("latest", Start("latest")) == "latest"
    assert as_shown("17", Start("offset", 17)) == "17"
