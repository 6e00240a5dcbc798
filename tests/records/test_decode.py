"""A source record becomes an item, or its outcome is settled; nothing in it raises."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.records import Decoder
from streams.codec.strict_json import compact, plain, read
from streams.errors import ItemError
from streams.model import DROP, FORWARD

from .samples import WHERE, Record, decoded


def test_an_object_becomes_an_item_with_all_the_records_facts() -> None:
    headers = (("traceparent", b"00-1-2-01"), ("x", None), ("x", b"2"))
    record = Record(b'{"id": 17, "text": "Two days."}', key=b"u", headers=headers)
    (item,), settled = Decoder().decode([record], *WHERE)
    assert settled == {}
    assert item.value == {"id": 17, "text": "Two days."}
    assert (item.text, item.id, item.key, item.headers) == ("Two days.", 17, b"u", headers)
    assert item.position == ("reviews", 3, 1041)
    assert item.timestamp_ms == 1_790_000_000_000
    assert item.raw is record.value


@contextmanager
def recursion_limit(limit: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "empty"),
        (b"   ", "not JSON"),
        (b"{cut", "not JSON"),
        (b'{"text": "x"} {}', "not JSON"),
        (b"{'text': 'x'}", "not JSON"),
        (b'{"text": "x",}', "not JSON"),
        (b'{"text": "x", "n": NaN}', "holds NaN"),
        (b'{"text": "x", "n": -Infinity}', "holds -Infinity"),
        (b'{"text": "x", "n": 01}', "not JSON"),
        (b'{"text": "a\nb"}', "not JSON"),
        (b'{"text": "\\x41"}', "not JSON"),
        (b'{"text": "\xff"}', "not UTF-8 at byte 10"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8"),
        ('{"text": "x"}'.encode("utf-16"), "not UTF-8"),
        ('{"text": "x"}'.encode("utf-16-le"), "not JSON"),
        (b'\xef\xbb\xbf{"text": "x"}', "byte order mark"),
        (b'[{"text": "x"}]', "an array instead of an object"),
        (b'"text"', "a string instead of an object"),
        (b"17", "a number instead of an object"),
        (b"1.5", "a number instead of an object"),
        (b"true", "a boolean instead of an object"),
        (b"null", "null instead of an object"),
        (b'{"text":' + b"[" * 2_000 + b"]" * 2_000 + b"}", "nested too deep"),
        (b'{"text":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deep"),
        (b'{"text": "x"' + b',"a":{"text": "x"' * 10_000 + b"}" * 10_001, "nested too deep"),
        (b"[" * 1_000_000, "nested too deep"),
        (b"\x00" * 1_000_000, "not JSON"),
        (b'{"text": "\\ud800", "a":' + b"[" * 1_020 + b"]" * 1_020 + b"}", "nested too deep"),
    ],
)
def test_what_is_no_json_object_is_invalid_json_and_the_message_says_why(
    value: bytes, says: str
) -> None:
    if says == "nested too deep" and sys.version_info >= (3, 12) and b"ud800" in value:
        pytest.skip("the standard library reads deeper from Python 3.12 on")
    with recursion_limit(1_000):  # Python's own; hypothesis may have left another
        item, error = decoded(value)
    assert isinstance(error, ItemError)
    assert error.code == "invalid_json"
    assert says in error.message
    assert (item.value, item.text, item.id) == (None, "", "reviews/3/1041")
    assert (item.raw, item.key, item.offset) == (value, b"k", 1041)


@pytest.mark.parametrize(
    "value", [b'{"secret-words', b'{"text": "\\secret-words"}', b"secret-words"]
)
def test_a_message_holds_nothing_of_the_value(value: bytes) -> None:
    _, error = decoded(value)
    assert "secret" not in error.message
    assert "words" not in error.message


def test_a_missing_text_is_no_text_and_the_message_names_the_pointer() -> None:
    item, error = decoded(b'{"body": "x", "id": 4}')
    assert (error.code, error.message) == ("no_text", "the item has nothing at /text")
    assert item.raw == b'{"body": "x", "id": 4}'


@pytest.mark.parametrize(
    ("setting", "outcome"), [("forward", FORWARD), ("drop", DROP), ("dead_letter", "tombstone")]
)
def test_a_tombstone_is_settled_as_configured(setting: Any, outcome: Any) -> None:
    item, settled = decoded(None, tombstones=setting)
    assert item.raw is None
    assert (settled.code if isinstance(settled, ItemError) else settled) == outcome


def test_one_bad_record_changes_no_other_and_the_order_stays() -> None:
    values = [b'{"text":"a"}', b"{", b'{"text":"b"}', None, b"{}", b'{"text":"c"}']
    records = [Record(value, offset=n) for n, value in enumerate(values)]
    items, settled = Decoder().decode(records, *WHERE)
    assert [item.offset for item in items] == [0, 1, 2, 3, 4, 5]
    assert [item.text for item in items] == ["a", "", "b", "", "", "c"]
    assert {n: getattr(outcome, "code", outcome) for n, outcome in settled.items()} == {
        1: "invalid_json",
        3: FORWARD,
        4: "no_text",
    }


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (b"17", "17"),
        (b"4.5", "4.5"),
        (b"true", "true"),
        (b"null", "null"),
        (b'[1, "a"]', '[1,"a"]'),
        (b'{"b": 1, "a": "\xc3\xa9"}', '{"b":1,"a":"é"}'),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b'{"n": -98765432109876543210}', '{"n":-98765432109876543210}'),
        (b'[null, "\\ud800"]', '[null,"\ufffd"]'),
    ],
)
def test_a_text_that_is_no_string_becomes_compact_json(literal: bytes, text: str) -> None:
    item, error = decoded(b'{"text": %b}' % literal)
    assert error is None
    assert item.text == text


@pytest.mark.parametrize(
    "digits",
    [
        b"9400111899223100012345",
        b"-9400111899223100012345",
        b"9" * 5_000,
        b"1.10",
        b"0.1000000000000000000001",
        b"1e400",
        b"1E400000",
        b"1e-400",
        b"0.00001",
        b"12345678901234567.5",
    ],
)
def test_a_number_keeps_its_digits_as_a_text_as_an_id_and_within_them(digits: bytes) -> None:
    for form in (b"%b", b'{"a":[%b]}'):
        inner = form % digits
        item, error = decoded(b'{"text": %b, "id": %b}' % (inner, inner))
        assert error is None
        assert item.text == inner.decode()
        assert compact(item.id) == inner.decode()


def test_a_negative_zero_keeps_its_sign_and_is_the_integer_0_for_a_function() -> None:
    """orjson and `int` drop the sign."""
    for raw in (b'{"text":-0}', b"[-0]", b"-0", b'{"a":"-0","text":-0,"b":1}'):
        assert compact(read(raw)).encode() == raw
    value = plain(read(b'{"a": -0, "b": [-0]}'))
    assert value == {"a": 0, "b": [0]}
    assert type(value["a"]) is type(value["b"][0]) is int


def test_a_function_gets_floats_except_where_a_float_would_be_another_number() -> None:
    """Its libraries take floats, and 1.10 is one; they could not take the others without a loss."""
    item, _ = decoded(b'{"text":"x","a":1.10,"b":[1e5,{"c":0.1000000000000000000001}],"d":1e999}')
    a, (b, inner), d = item.value["a"], item.value["b"], item.value["d"]
    assert (type(a), a, type(b), b) == (float, 1.1, float, 100_000.0)
    assert (inner["c"], inner["c"].digits) == (0.1, "0.1000000000000000000001")
    assert (d, d.digits) == (float("inf"), "1e999")
    assert copy.deepcopy(d).digits == pickle.loads(pickle.dumps(d)).digits == "1e999"


def test_a_lone_surrogate_becomes_u_fffd_in_the_text_alone() -> None:
    value = b'{"text": "a\\ud800b", "id": "\\udc00"}'
    item, error = decoded(value)
    assert error is None
    assert item.text == "a\ufffdb"
    assert item.id == "\udc00"
    assert item.raw == value
    assert decoded(b'{"text": "\\ud83d\\ude00"}')[0].text == "😀"


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (b'"a-1"', "a-1"),
        (b"17", 17),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", 2**64),
        (b"-123456789012345678901234567890", -123456789012345678901234567890),
        (b"1.5", 1.5),
        (b"true", True),
        (b"false", False),
        (b'""', ""),
        (b"0", 0),
        (b'{"a": [1]}', {"a": [1]}),
        (b"[]", []),
        (b"null", "reviews/3/1041"),
    ],
)
def test_an_id_keeps_its_json_type_and_null_counts_as_missing(
    literal: bytes, expected: Any
) -> None:
    item, error = decoded(b'{"text": "x", "id": %b}' % literal)
    assert error is None
    assert item.id == expected
    assert type(item.id) is type(expected)


def test_an_item_without_an_id_is_known_by_its_position() -> None:
    assert decoded(b'{"text": "x"}')[0].id == "reviews/3/1041"


def test_of_duplicate_keys_the_last_one_counts() -> None:
    assert decoded(b'{"text": "a", "text": "b"}')[0].text == "b"
    assert decoded(b'{"text": "a", "text": "b", "n": 99999999999999999999}')[0].text == "b"


def test_integers_of_any_size_reach_a_custom_function_exactly() -> None:
    item, _ = decoded(b'{"text": "x", "a": {"b": [1, 123456789012345678901234567890]}}')
    assert item.value["a"]["b"][1] == 123456789012345678901234567890


def test_pointers_and_templates_are_settings_of_the_task() -> None:
    value = b'{"meta": {"id": [7]}, "title": "Battery", "body": ["Two days", 2]}'
    item, _ = decoded(value, text="/body/0", id="/meta/id/0")
    assert (item.text, item.id) == ("Two days", 7)
    item, _ = decoded(value, text="{/title}: {/body/0} ({/body})")
    assert item.text == 'Battery: Two days (["Two days",2])'
    assert decoded(value, text="{/title}: {/abstract}")[1].message.endswith("/abstract")
    assert decoded(value, text="/body/2")[1].code == "no_text"


def test_a_value_of_a_megabyte_is_an_item_like_any_other() -> None:
    """Long in its text, or beside a short one; in ASCII, in what is not, and with an escape that
    orjson does not read."""
    for long in ("y" * 1_000_000, "é" * 500_000, "\\n" * 500_000):
        value = b'{"text":"short","more":"%b"}' % long.encode()
        item, error = decoded(value)
        assert (error, item.text, item.raw) == (None, "short", value)
        item, error = decoded(b'{"text":"%b"}' % long.encode())
        assert error is None
        assert len(item.text) == len(long.replace("\\n", "n"))
    item, error = decoded(b'{"text":"\\ud800%b"}' % (b"y" * 1_000_000))
    assert error is None
    assert item.text == "\ufffd" + "y" * 1_000_000


def test_headers_of_every_kind_and_a_missing_timestamp_stay_as_they_came() -> None:
    headers = (("h", None), ("h", b""), ("h", b"\xff"), ("", b"x"), ("é", None))
    record = Record(b'{"text":"x"}', key=b"", headers=headers, timestamp=-1)
    (item,), settled = Decoder().decode([record], *WHERE)
    assert settled == {}
    assert (item.headers, item.key, item.timestamp_ms) == (headers, b"", -1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SETTINGS = st.sampled_from(
    [{}, {"text": "/a/0"}, {"text": "{/text}+{/id}"}, {"id": "/text"}, {"tombstones": "drop"}]
)


@given(st.lists(st.none() | st.binary(max_size=40), max_size=5), SETTINGS)
def test_arbitrary_bytes_never_raise(values: list[bytes | None], settings: Any) -> None:
    records = [Record(value, offset=n) for n, value in enumerate(values)]
    items, settled = Decoder(**settings).decode(records, *WHERE)
    assert [item.raw for item in items] == values
    assert {n for n, value in enumerate(values) if value is None} <= set(settled)


@given(st.data(), st.lists(st.sampled_from('{}[]",:\\ud8001e9.-ntrueNa \n\x00é😀'), max_size=30))
def test_nearly_json_never_raises_and_is_judged_as_the_standard_library_does(
    data: st.DataObject, characters: list[str]
) -> None:
    import json

    text = data.draw(st.sampled_from(['{"text":"x","a":%s}', '{"text":"%s"}', "{%s}", "%s"]))
    value = (text % "".join(characters)).encode()

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        expected = json.loads(value.decode(), parse_constant=refuse)
    except ValueError:
        expected = None
    item, error = decoded(value)
    if isinstance(expected, dict) and "text" in expected:
        assert error is None
        assert item.value == expected
    else:
        assert error.code in ("invalid_json", "no_text")


@given(st.dictionaries(st.text(), JSON, max_size=5), JSON, SETTINGS)
def test_every_json_object_with_a_text_becomes_an_item_of_equal_value(
    value: dict[str, Any], text: Any, settings: Any
) -> None:
    import json

    value["text"] = text
    raw = json.dumps(value).encode()
    if b"Infinity" in raw:
        raw = raw.replace(b"Infinity", b"0")
        value = json.loads(raw)
    (item,), settled = Decoder(**settings).decode([Record(raw)], *WHERE)
    if not settled:
        assert item.value == value
        item.text.encode("utf-8")
        assert settings or item.text == text or not isinstance(text, str) or not text.isascii()
    else:
        assert settings
        assert settled[0].code == "no_text"
