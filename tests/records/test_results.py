"""An outcome becomes a sink record, whatever it holds."""

from __future__ import annotations

import base64
import dataclasses
import enum
import gc
import json
import struct
import weakref
from decimal import Decimal
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.records import Decoder
from streams.codec.strict_json import read
from streams.errors import ItemError
from streams.model import DROP, FORWARD

from .samples import NOW_MS, WHERE, Record, emitted, encoded, encoder, item_of, released

ITEM = item_of(b'{"id":17,"text":"Two days."}')


def test_an_envelope_is_exactly_as_the_contract_has_it() -> None:
    records, dead = encoder().encode(
        [released(ITEM, {"label": "positive"}, index=4, size=20, calls=2)], NOW_MS
    )
    assert dead == {}
    assert records[0] is not None
    key, value, headers, timestamp_ms = records[0]
    assert (key, headers, timestamp_ms) == (b"k", (), 1_790_000_000_000)
    assert value is not None
    assert json.loads(value, parse_float=Decimal) == {
        "id": 17,
        "task": "sentiment",
        "result": {"label": "positive"},
        "source": {
            "topic": "reviews",
            "partition": 3,
            "offset": 1041,
            "timestamp_ms": 1_790_000_000_000,
        },
        "model": "claude-haiku-5-5",
        "fingerprint": "5f1d7a84db00d2fc",
        "batch": {"id": "sentiment-9c1f-52", "index": 4, "size": 20},
        "usage": {"input_tokens": 61, "output_tokens": 9, "cost_usd": Decimal("0.0000106")},
        "attempts": 2,
        "processed_at_ms": NOW_MS,
    }


def test_a_bare_result_is_the_result_alone() -> None:
    record, _ = encoded(ITEM, {"label": "positive"}, mode="result")
    assert record == (b"k", b'{"label":"positive"}', (), 1_790_000_000_000)


@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
def test_a_forwarded_tombstone_is_a_tombstone_in_every_mode(mode: Any) -> None:
    item = item_of(None, headers=(("h", b"1"),))
    record, error = encoded(item, FORWARD, mode=mode)
    assert error is None
    assert record == (b"k", None, (("h", b"1"),), 1_790_000_000_000)


def test_dropped_and_dead_items_leave_no_record_and_the_others_keep_their_places() -> None:
    slots = [released(ITEM, outcome) for outcome in ({"a": 1}, DROP, ItemError("x"), {"a": 2})]
    records, dead = encoder(mode="result").encode(slots, NOW_MS)
    assert [record and record[1] for record in records] == [b'{"a":1}', None, None, b'{"a":2}']
    assert {n: error.code for n, error in dead.items()} == {2: "x"}


@pytest.mark.parametrize("timestamp", [-1, -5, None])
def test_a_source_without_a_timestamp_leaves_it_to_the_broker(timestamp: Any) -> None:
    item = item_of(b'{"text":"x"}', timestamp=timestamp)
    record, _ = encoded(item, {})
    assert record[3] is None
    assert json.loads(record[1])["source"]["timestamp_ms"] is None
    headers = dict(encoded(item, ItemError("x"))[0][2])
    assert headers["streams-source-timestamp-ms"] == b""


@pytest.mark.parametrize(
    "literal",
    [
        b"17",
        b"-1",
        b"1.5",
        b"true",
        b'"a"',
        b"[]",
        b"18446744073709551615",
        b"18446744073709551616",
        b"-98765432109876543210",
        b'"\\ud800"',
        b'{"a":[99999999999999999999,"\\udfff"]}',
    ],
)
def test_an_id_comes_back_as_it_came(literal: bytes) -> None:
    item = item_of(b'{"text":"x","id":%b}' % literal)
    record, error = encoded(item, {"label": "positive"})
    assert error is None
    assert b'{"id":%b,"task"' % literal in record[1]


class Colour(enum.Enum):
    RED = "red"
    NOTHING = float("nan")


@dataclasses.dataclass
class Opinion:
    stars: float


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("secret")


def circular() -> list[Any]:
    nested: list[Any] = []
    nested.append(nested)
    return nested


def deep() -> Any:
    nested: Any = 1
    for _ in range(300):
        nested = [nested]
    return nested


UNWRITABLE = [
    float("nan"),
    float("inf"),
    {"a": [1, {"b": float("-inf")}]},
    {"a": (None, float("nan"))},
    {1: "a"},
    {"a": 10**5_000},
    {"a": "\ud800"},
    {"\ud800": 1},
    {"a": {1, 2}},
    {"a": b"bytes"},
    {"a": object()},
    Opinion(float("nan")),
    Colour.NOTHING,
    numpy.array([1.0, numpy.nan]),
    {"a": numpy.float32("inf")},
    circular(),
    deep(),
    {"embedding_f32": b"123"},
    {"embedding_f32": struct.pack("<2f", 1.0, float("nan"))},
    {"embedding_f32": [1.0]},
]


@pytest.mark.parametrize("outcome", UNWRITABLE, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
@pytest.mark.parametrize("model", ["claude-haiku-5-5", None])
def test_a_result_that_json_cannot_hold_is_a_dead_letter_for_that_item_alone(
    outcome: Any, mode: Any, model: str | None
) -> None:
    slots = [released(ITEM, {"a": None}), released(ITEM, outcome), released(ITEM, {"a": None})]
    records, dead = encoder(mode=mode, model=model).encode(slots, NOW_MS)
    assert list(dead) == [1]
    assert dead[1].code == "invalid_result"
    assert records[1] is None, "nothing of it is for the sink"
    assert records[0] == records[2]
    assert records[0] is not None
    assert b'{"a":null}' in (records[0][1] or b"")


def test_what_an_object_of_the_users_raises_is_not_repeated() -> None:
    class Odd:
        @property
        def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
            raise RuntimeError("secret")

    _, error = encoded(ITEM, {"a": dataclasses.dataclass(Odd)()}, mode="result")
    assert error is None or "secret" not in error.message


@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
@pytest.mark.parametrize(
    "literal",
    [
        b'{"a":9400111899223100012345,"b":-18446744073709551616}',
        b'{"price":1.10,"b":[12.50,0.1000000000000000000001]}',
        b'{"a":1e400,"b":[null,1E5],"c":9400111899223100012345}',
        b'{"a":0.00001,"b":1e-400,"c":12345678901234567.5,"d":-0.0}',
    ],
)
def test_what_was_read_is_written_with_its_own_digits(literal: bytes, mode: Any) -> None:
    record, error = encoded(ITEM, read(literal), mode=mode)
    assert error is None
    assert literal in record[1]


@pytest.mark.parametrize(
    "outcome",
    [
        {"a": 2**64},
        {"a": [(2**70, True)], "b": None},
        {"a": Opinion(2**70)},  # type: ignore[arg-type]
    ],
)
def test_an_integer_beyond_64_bits_of_a_function_is_written(outcome: Any) -> None:
    record, error = encoded(ITEM, outcome, mode="result")
    assert error is None
    assert json.loads(record[1]) == json.loads(json.dumps(outcome, default=dataclasses.asdict))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ([1, "a", None], [1, "a", None]),
        ("text", "text"),
        ({"null": "null"}, {"null": "null"}),
        (Opinion(4.5), {"stars": 4.5}),
        (Colour.RED, "red"),
        ({"v": numpy.array([0.1, 2], dtype="float32")}, {"v": [0.1, 2.0]}),
    ],
)
def test_what_json_can_hold_is_written(outcome: Any, expected: Any) -> None:
    for mode in ("envelope", "result"):
        record, error = encoded(ITEM, outcome, mode=mode)
        assert error is None
        value = json.loads(record[1])
        assert (value["result"] if mode == "envelope" else value) == expected


def test_the_error_of_an_unwritable_result_keeps_nothing_alive() -> None:
    class Watched(dict[str, Any]):
        pass

    outcome = Watched(a=float("nan"))
    watch = weakref.ref(outcome)
    _, error = encoded(ITEM, outcome, mode="result")
    del outcome
    gc.collect()
    assert watch() is None
    assert error.__traceback__ is None
    assert error.__context__ is None


def test_a_cost_that_is_not_known_is_null_and_not_0() -> None:
    slot = released(ITEM, {})
    slot.cost_nano_usd = None
    (record,), _ = encoder().encode([slot], NOW_MS)
    assert record is not None
    assert json.loads(record[1] or b"")["usage"]["cost_usd"] is None


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_costs_read_as_decimals_add_up_to_the_last_nano_dollar(shares: list[int]) -> None:
    slots = [released(ITEM, {}) for _ in shares]
    for slot, nano in zip(slots, shares, strict=True):
        slot.cost_nano_usd = nano
    records, _ = encoder().encode(slots, NOW_MS)
    written = [
        json.loads(record[1] or b"", parse_float=Decimal)["usage"]["cost_usd"]
        for record in records
        if record
    ]
    assert sum(written) * 10**9 == sum(shares)


VECTORS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20)


@given(VECTORS, st.sampled_from(["floats", "base64"]), st.sampled_from(["envelope", "result"]))
def test_an_embedding_reads_back_as_the_same_float32(
    numbers: list[float], layout: Any, mode: Any
) -> None:
    vector = struct.pack(f"<{len(numbers)}f", *numbers)
    record, error = encoded(
        ITEM, {"embedding_f32": vector, "dim": len(numbers)}, mode=mode, embedding=layout
    )
    assert error is None
    value = json.loads(record[1])
    result = value["result"] if mode == "envelope" else value
    if layout == "floats":
        assert set(result) == {"embedding", "dim"}
        back = struct.pack(f"<{len(numbers)}f", *result["embedding"])
    else:
        assert set(result) == {"embedding_b64", "dim"}
        back = base64.b64decode(result["embedding_b64"], validate=True)
    assert back == vector
    assert result["dim"] == len(numbers)


HEADERS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=5)
OBJECTS = st.dictionaries(
    st.text(), st.none() | st.integers() | st.text() | st.lists(st.floats()), max_size=4
)


@given(
    st.none() | st.binary(max_size=9) | OBJECTS.map(lambda value: json.dumps(value).encode()),
    st.none() | st.binary(max_size=9),
    HEADERS,
    st.integers(-1, 2**41),
    st.none() | OBJECTS | st.builds(ItemError, st.just("odd"), st.text()),
    st.sampled_from(["envelope", "merge", "result"]),
)
def test_key_headers_and_timestamp_pass_through_byte_for_byte(
    value: Any, key: Any, headers: Any, timestamp: int, outcome: Any, mode: Any
) -> None:
    record = Record(value, key, tuple(headers), timestamp=timestamp)
    (item,), settled = Decoder().decode([record], *WHERE)
    slot = released(item, settled.get(0, outcome), calls=0 if settled else 1)
    out, dead = emitted(encoder(mode=mode), slot)
    assert out[0] == key
    assert list(out[2])[: len(headers)] == headers
    assert out[3] == (timestamp if timestamp >= 0 else None)
    if dead:
        assert out[1] == value
        assert len(out[2]) == len(headers) + 10
    else:
        assert list(out[2]) == headers
        assert (out[1] is None) == (value is None)
        if out[1] is not None:
            json.loads(out[1], parse_constant=pytest.fail)
