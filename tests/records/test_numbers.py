"""A number is the decimal that was written: in comparisons, in arithmetic, in JSON Schema."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator

from streams.codec.exact_schema import exact, same
from streams.codec.numbers import Number, is_less, is_multiple, is_whole
from streams.codec.strict_json import compact, read, read_reply
from streams.kafka.record_views import json_value

DECIMALS = st.builds(
    lambda digits, places, power: f"{Decimal(digits).scaleb(-places)}" + power,
    st.integers(-(10**25), 10**25) | st.integers(-2_000, 2_000),
    st.integers(0, 4),
    st.sampled_from(["", "", "", "e1", "E-3", "e20"]),
).filter(lambda text: text.lower().count("e") < 2)


def number(text: str) -> Any:
    return read(text.lower().replace("e+", "e").encode())


def valid(schema: Any, instance: str) -> bool:
    return bool(exact()(read(json.dumps(schema).encode())).is_valid(read(instance.encode())))


def test_every_price_is_a_multiple_of_a_cent_and_no_price_with_mills_is() -> None:
    price = exact()({"type": "number", "multipleOf": 0.01})
    for cents in range(10_000):
        written = f"{cents // 100}.{cents % 100:02}"
        assert price.is_valid(read(written.encode()))
        assert price.is_valid(cents / 100)
        assert not price.is_valid(read(f"{written}1".encode()))


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"multipleOf": 0.1}, ["0.3", "1.10", "1e400000", "0", "-0.7"], ["0.35", "1e-400000"]),
        ({"multipleOf": 3}, ["9400111899223100012343"], ["1e400000"]),
        ({"minimum": 0.1}, ["0.1", "0.10", "1e400000"], ["0.09999999999999999999999", "-1e400000"]),
        ({"maximum": 9400111899223100012345}, ["9400111899223100012345", "1e21"],
         ["9400111899223100012346", "9400111899223100012345.1", "1e400"]),
        ({"exclusiveMinimum": 0.1}, ["0.1000000000000000000001"], ["0.1", "0.10", "1e-1"]),
        ({"exclusiveMaximum": 0.3}, ["0.2999999999999999999999"], ["0.3", "0.3000000000000000001"]),
        ({"const": 1}, ["1", "1.0", "1e0"], ["true", "1.0000000000000000000001", '"1"']),
        ({"const": 10**23}, ["1e23", "1.0e23"], ["1e24", "99999999999999999999999"]),
        ({"enum": [0.1, None, {"a": [1]}]}, ["0.10", "null", '{"a":[1.0]}'],
         ["0.1000000000000000000001", '{"a":[true]}', "0"]),
        ({"uniqueItems": True}, ["[1,true,null]", "[0.1,0.1000000000000000000001]"],
         ["[1,1.0]", '[{"a":1,"b":2},{"b":2,"a":1e0}]']),
        ({"type": "integer"}, ["1.0", "1e400", "9" * 5_000],
         ["1.5", "1.0000000000000000000001", "true"]),
        ({"type": "number"}, ["1.10", "1e400", "9" * 5_000], ["true", '"1"']),
    ],
)  # fmt: skip
def test_a_schema_judges_the_decimal_that_was_written(
    schema: Any, fits: list[str], does_not: list[str]
) -> None:
    for instance in fits:
        assert valid(schema, instance), instance
    for instance in does_not:
        assert not valid(schema, instance), instance


def test_no_exponent_makes_a_check_slow() -> None:
    began = time.process_time()
    powers = ("1e400000", "1e-400000", "1e999999999999999999999", "1e" + "9" * 5_000)
    for one in (*powers, "9" * 60_000):
        for other in ("0.01", "3", "1e400000", "1e-400000"):
            is_multiple(number(one), number(other))
            is_less(number(one), number(other))
            same(number(one), number(other))
            is_whole(number(one))
    assert time.process_time() - began < 2.0


@given(DECIMALS, DECIMALS)
def test_comparisons_and_multiples_are_those_of_the_fractions(one: str, other: str) -> None:
    a, b = Fraction(one), Fraction(other)
    assert is_less(number(one), number(other)) == (a < b)
    assert same(number(one), number(other)) == (a == b)
    assert is_whole(number(one)) == (a.denominator == 1)
    if b:
        assert is_multiple(number(one), number(other)) == ((a / b).denominator == 1)


@given(DECIMALS)
def test_every_number_is_written_as_it_was_read(text: str) -> None:
    text = text.replace("E+", "E")
    assert compact(read(text.encode())) == text


def test_a_draft_keeps_its_own_meaning_of_a_keyword() -> None:
    old = exact(Draft4Validator)({"type": "integer", "minimum": 1, "exclusiveMinimum": True})
    assert [old.is_valid(value) for value in (1, 2, 2.0)] == [False, True, False]
    assert exact(Draft7Validator)({"multipleOf": 0.01}).is_valid(0.29)
    assert not Draft202012Validator({"multipleOf": 0.01}).is_valid(0.29), "the reason for all this"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ('\ufeff{"a":1}', {"a": 1}),
        ('{"a":"\\uD83D\\uDE00"}', {"a": "😀"}),
        ('{"a":1,"a":2}', {"a": 2}),
        ('{"a":1,"a":99999999999999999999}', {"a": 99999999999999999999}),
    ],
)
def test_a_reply_with_a_byte_order_mark_or_a_key_twice_is_read(raw: str, value: Any) -> None:
    assert read_reply(raw) == value


@pytest.mark.parametrize(
    "raw",
    ["NaN", '{"a":NaN}', "[-Infinity]", "", "[" * 2_000, "{'a':1}", '["\ud800"]', r'["\uD800"]'],
)
def test_what_is_no_json_is_none_in_a_reply_either(raw: str) -> None:
    with pytest.raises(ValueError):
        read_reply(raw)


def test_a_number_is_a_float_for_whoever_takes_floats() -> None:
    price = read(b"1.10")
    assert isinstance(price, Number)
    assert price * 2 == 2.2
    assert f"{price:.1f} {price!r} {json.dumps(price)}" == "1.1 1.10 1.1"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a":1e400,"b":1.10}', '{"a":1e400,"b":1.10}'),
        (b"9" * 5_000, "9" * 5_000),
        (b'["\\ud800"]', '["\\ud800"]'),
        (b"\xef\xbb\xbf{}", '"\ufeff{}"'),
        (b'{"a":NaN}', '"{\\"a\\":NaN}"'),
    ],
)
def test_a_value_is_printed_with_its_own_digits_and_what_is_no_json_as_a_string(
    raw: bytes, value: str
) -> None:
    assert orjson.dumps(json_value(raw)).decode() == value
