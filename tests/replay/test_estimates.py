"""What is estimated before a replay, without a broker."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.likely_tokens import likely_tokens
from streams.jobs.call_estimate import Correction, Estimate
from streams.jobs.replay.range_sample import PIECE_OFFSETS, pieces
from streams.jobs.replay.sink_usage import PaidCalls, correction
from streams.kafka.extents import Extent
from streams.operations.expected_answers import ExpectedRecord
from streams.operations.prompts import reply_schema
from streams.policies.asking_first import needs_yes
from streams.settings import TaskSettings


def task(**more: Any) -> TaskSettings:
    facts = {
        "name": "mood",
        "source": "reviews",
        "sink": "reviews.mood",
        "operation": "classify",
        "provider": "anthropic",
        "model": "claude-haiku-5-5",
        "labels": ["good", "bad"],
        **more,
    }
    return TaskSettings.model_validate({k: v for k, v in facts.items() if v is not None})


def summary(texts: list[str], times: float = 1.0, **more: Any) -> dict[str, Any]:
    found = Estimate(task(**more))
    for text in texts:
        found.add(text)
    found.close_calls()
    return found.summary(times)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a" * 35, 10), ("很好", 2), ("ü" * 3, 2), ("a" * 34 + "很", 11)]
)
def test_tokens_are_counted_by_script(text: str, tokens: float) -> None:
    assert likely_tokens(text) == pytest.approx(tokens)


def test_items_with_other_call_keys_are_in_other_calls() -> None:
    estimate = Estimate(task())
    for number in range(100):
        estimate.add("a text", number % 4)
    estimate.close_calls()
    assert estimate.summary()["calls"] == 8  # 25 items of each, 20 at most


def test_a_batch_costs_half_and_only_claude_has_one() -> None:
    found = summary(["a text"] * 100)
    assert (found["items"], found["calls"]) == (100, 5)
    assert found["batch"]["cost_usd"] == pytest.approx(found["live"]["cost_usd"] / 2)
    voyage = {"operation": "embed", "provider": "voyage", "model": "voyage-4", "labels": None}
    assert summary(["a text"], **voyage)["batch"] is None
    assert summary(["a text"], model="claude-next")["live"]["cost_usd"] is None


def test_what_a_function_takes_is_not_known() -> None:
    own = {"operation": "custom", "provider": None, "model": None, "labels": None}
    found = summary(["a text"] * 100, **own)
    assert (found["items"], found["calls"], found["input_tokens"]) == (100, 5, 0)
    assert (found["live"]["cost_usd"], found["batch"]) == (None, None)


def test_a_whole_of_many_samples_is_so_many_times_as_much() -> None:
    one, many = summary(["a text"] * 40), summary(["a text"] * 40, times=100)
    for name in ("items", "calls", "input_tokens", "output_tokens"):
        assert many[name] == 100 * one[name]
    assert many["live"]["cost_usd"] == pytest.approx(100 * one["live"]["cost_usd"])


def test_the_time_is_that_of_the_calls_at_once_or_of_the_tightest_limit() -> None:
    texts = ["a text"] * 2_000
    usual = summary(texts)["live"]["time_s"]
    assert summary(texts, calls={"max_in_flight": 10})["live"]["time_s"] == pytest.approx(usual / 2)
    limited = summary(texts, limits={"requests_per_minute": 1})["live"]["time_s"]
    assert limited == 100 * 60


def test_what_is_too_large_is_not_asked_about() -> None:
    assert summary(["word " * 50_000, "a text"])["items"] == 1


def test_a_long_prompt_costs_its_own_price_and_a_cached_one_little() -> None:
    plain = summary(["a text"] * 2_000, instructions="x" * 1_000)
    cached = summary(["a text"] * 2_000, instructions="x" * 3_000)
    assert cached["input_tokens"] > 1.5 * plain["input_tokens"]
    assert cached["live"]["cost_usd"] < plain["live"]["cost_usd"]


def test_an_answer_is_as_long_as_its_schema_says() -> None:
    record = ExpectedRecord(reply_schema("label", {"type": "string", "enum": ["good", "bad"]}, {}))
    written = orjson.dumps([{"id": "10", "label": "good"}, {"id": "5", "label": "bad"}])
    assert 2 * record.tokens("x") == pytest.approx(len(written) / 3.5, rel=0.05)


SCHEMAS: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "integer"}, "n", '"n":12,'),
    ({"type": ["number", "null"]}, "n", '"n":12,'),
    ({"type": "boolean"}, "n", '"n":true,'),
    ({"const": "fixed"}, "n", '"n":"fixed",'),
    ({"type": "array", "items": {"enum": ["aaaa"]}}, "n", '"n":["aaaa","aaaa"],'),
    ({"anyOf": [{"type": "null"}, {"enum": ["aaaaaa"]}]}, "n", '"n":"aaaaaa",'),
    ({"$ref": "#/$defs/part"}, "n", '"n":{"m":"aaaa"},'),
    ({"type": "string"}, "text", '"text":"A first sentence.",'),
    ({"type": "string"}, "brand", '"brand":"twelve chars",'),
    ({"type": "string", "format": "date"}, "n", '"n":"2026-11-29 12:00",'),
]


@pytest.mark.parametrize(("schema", "name", "written"), SCHEMAS)
def test_every_kind_of_value_has_a_length(schema: Any, name: str, written: str) -> None:
    defs = {"part": {"type": "object", "properties": {"m": {"enum": ["aaaa"]}}}}
    whole = reply_schema(name, schema, defs)
    empty = ExpectedRecord(reply_schema(name, {"const": None}, {})).tokens("") - 4 / 3.5
    found = ExpectedRecord(whole).tokens("A first sentence. And a second one, which is longer.")
    assert found - empty == pytest.approx((len(written) - len(name) - 4) / 3.5, abs=1.2)


extents = st.dictionaries(
    st.integers(0, 9),
    st.tuples(st.integers(0, 10**6), st.integers(0, 50_000)).map(
        lambda each: Extent(each[0], each[0] + each[1])
    ),
    min_size=1,
)


@given(extents=extents, size=st.sampled_from([400, 2_000, 10_000]))
def test_a_sample_lies_in_the_range_and_is_spread_over_all_of_it(
    extents: dict[int, Extent], size: int
) -> None:
    total = sum(extent.end - extent.first for extent in extents.values())
    found = pieces(extents, size)
    lengths = [piece.extent.end - piece.extent.first for piece in found]
    assert sum(lengths) <= max(size, 0) or sum(lengths) == total
    for partition, extent in found:
        whole = extents[partition]
        assert whole.first <= extent.first < extent.end <= whole.end
    if total <= size:
        assert sum(lengths) == total
    else:
        assert len(found) == size // PIECE_OFFSETS
        for before, after in pairwise(found):
            assert before.partition <= after.partition
        large = [
            n for n, each in extents.items() if each.end - each.first > 2 * total // len(found)
        ]
        assert {piece.partition for piece in found} >= set(large)


def paid(number: int, size: int = 20, **more: Any) -> bytes:
    return orjson.dumps(
        {
            "id": number,
            "task": "mood",
            "result": {"label": "good"},
            "source": {"topic": "reviews", "partition": 0, "offset": number, "timestamp_ms": 1},
            "model": "m",
            "fingerprint": "f",
            "batch": {"id": f"c{number // size}", "index": number % size, "size": size},
            "usage": {"input_tokens": 100, "output_tokens": 30, "cost_usd": None},
            "attempts": 1,
            "processed_at_ms": 1,
            **more,
        }
    )


def correction_by(values: list[bytes | None]) -> tuple[Correction, int]:
    calls = PaidCalls(task(), "f")
    for value in values:
        calls.add(value)
    return correction(task(), calls.whole(), {(0, n): "a text" for n in range(200)})


def test_what_results_took_corrects_the_estimate() -> None:
    found, items = correction_by([paid(n) for n in range(65)])
    assert items == 60
    estimate = Estimate(task(), found)
    for _ in range(20):
        estimate.add("a text")
    estimate.close_calls()
    counted = estimate.summary()
    assert (counted["input_tokens"], counted["output_tokens"]) == (2_000, 600)


@pytest.mark.parametrize(
    "values",
    [
        [paid(n) for n in range(20)],  # too few
        [paid(n, fingerprint="other") for n in range(60)],
        [paid(n, task="other") for n in range(60)],
        [paid(n, attempts=2) for n in range(60)],
        [paid(n) for n in range(60) if n % 20],  # no call is whole
        [paid(n) for n in range(1_000, 1_060)],  # their items are gone
        [None, b"{", b"[]", b'{"source": 1}'],
    ],
)
def test_other_results_correct_nothing(values: list[bytes | None]) -> None:
    assert correction_by(values) == (Correction(1.0, 1.0), 0)


@pytest.mark.parametrize(
    ("items", "cost", "expected"),
    [(100_000, 10.0, False), (100_001, 0.0, True), (5, 10.01, True), (5, None, False)],
)
def test_many_items_or_much_money_need_a_yes(
    items: int, cost: float | None, expected: bool
) -> None:
    assert needs_yes(items, cost, 100_000) is expected
