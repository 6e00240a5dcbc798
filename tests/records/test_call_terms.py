"""What an item says of its call: the value of its key, and when it is to be back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.codec.call_terms import FLUSH_BY_HEADER, CallTerms
from streams.codec.moments import moment_ms
from streams.codec.strict_json import read_object
from streams.model import Headers, Item

NOON_MS = 1_795_953_600_000.0


def item(value: Any, headers: Headers = ()) -> Item:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    decoded = read_object(raw) if raw != b"null" else None
    return Item(decoded, "", None, None, headers, "t", 0, 0, 0, raw)


def same(one: Any, other: Any) -> bool:
    first, second = CallTerms("/tenant").call_keys([item(one), item(other)])
    return first == second and hash(first) == hash(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tenant": "a"}, {"tenant": "a", "text": "x"}),
        ({"tenant": 7}, {"tenant": 7}),
        ({"tenant": True}, {"tenant": True}),
        ({"tenant": {"a": 1, "b": [2]}}, {"tenant": {"b": [2], "a": 1}}),
        ({}, {"text": "x"}),
        ({}, {"tenant": None}),
        ({}, None),
        (b'{"tenant": 123456789012345678901234567890}',) * 2,
    ],
)
def test_equal_values_share_calls_and_so_do_those_without_one(one: Any, other: Any) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tenant": "a"}, {"tenant": "b"}),
        ({"tenant": "a"}, {}),
        ({"tenant": ""}, {}),
        ({"tenant": "7"}, {"tenant": 7}),
        ({"tenant": 1}, {"tenant": True}),
        ({"tenant": 0}, {"tenant": None}),
        ({"tenant": "null"}, {"tenant": None}),
        ({"tenant": "[1]"}, {"tenant": [1]}),
        ({"tenant": [1]}, {"tenant": [2]}),
        (b'{"tenant": %d}' % 10**30, b'{"tenant": %d}' % (10**30 + 1)),
    ],
)  # fmt: skip
def test_other_values_do_not(one: Any, other: Any) -> None:
    assert not same(one, other)


def test_without_a_key_all_share_calls() -> None:
    assert set(CallTerms().call_keys([item({"tenant": "a"}), item({"tenant": "b"})])) == {None}


@pytest.mark.parametrize(
    "written",
    [
        NOON_MS,
        int(NOON_MS),
        "1795953600000",
        "2026-11-29T12:00:00Z",
        "2026-11-29T12:00:00",
        "2026-11-29T13:00:00.000+01:00",
        " 2026-11-29T12:00Z ",
        "20261129T120000Z",
    ],
)
def test_a_time_is_iso_8601_or_milliseconds_and_utc_where_it_names_no_zone(written: Any) -> None:
    assert moment_ms(written) == NOON_MS


@pytest.mark.parametrize(
    "written",
    ["", "soon", "2026-13-01", "12:00", "1e9", "nan", True, [], {}, [NOON_MS], 10**400, "9" * 400],
)
def test_anything_else_is_no_time(written: Any) -> None:
    with pytest.raises(ValueError):
        moment_ms(written)


def test_the_header_goes_before_the_value_and_the_last_header_of_the_name_counts() -> None:
    terms = CallTerms(flush_by="/deadline")
    two = [(FLUSH_BY_HEADER, b"1"), (FLUSH_BY_HEADER, b"2026-11-29T12:00:00Z"), ("x", b"5")]
    items = [item({"deadline": 5}), item({}), item({"deadline": 5}, two), item({}, [("x", None)])]
    assert terms.flush_bys(items) == ({0: 5.0, 2: NOON_MS}, [])


def test_the_header_counts_without_any_setting() -> None:
    assert CallTerms().flush_bys([item({}, [(FLUSH_BY_HEADER, b"5")])]).at_ms == {0: 5.0}


def test_what_is_no_time_is_told_and_counts_as_none_the_value_does_not_stand_in() -> None:
    terms = CallTerms(flush_by="/deadline")
    broken = [item({"deadline": 5}, [(FLUSH_BY_HEADER, b"\xff")]), item({"deadline": "soon"})]
    assert terms.flush_bys([*broken, item({"deadline": None}), item(None)]) == ({}, [0, 1])


def test_a_replay_reads_none() -> None:
    terms = CallTerms(flush_by="/deadline", reads_flush_by=False)
    assert terms.flush_bys([item({"deadline": 5}, [(FLUSH_BY_HEADER, b"5")])]) == ({}, [])
