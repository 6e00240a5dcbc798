"""A reply's values reach the wire as they were written: through the real reading, in every mode."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.codec.results import Encoder
from streams.model import Item, Unanswered
from streams.operations import Classify, Completion, Extract
from streams.providers.anthropic import completion_of
from streams.providers.port import json_of
from streams.providers.prices import price_of
from tests.operations.conftest import items_of
from tests.records.samples import NOW_MS, released

SCHEMA = {
    "type": "object",
    "properties": {
        "serial": {"type": "integer"},
        "price": {"type": "number", "multipleOf": 0.01, "minimum": 0},
        "any": {"type": ["number", "array", "object", "string"], "properties": {"a": {}}},
        "tone": {"type": "string", "enum": ["Café", "tea"]},
    },
}
RAW = b'{"text":"a"}'


def completion(body: bytes) -> Completion:
    return completion_of(price_of("claude-haiku-5-5"), json_of(body))


def body_of(text: str, **more: Any) -> bytes:
    return json.dumps({"content": [{"type": "text", "text": text}], **more}).encode()


def reply(*data: str) -> str:
    records = [f'{{"id": "{n}", "data": {each}}}' for n, each in enumerate(data, 1)]
    return f'{{"results": [{", ".join(records)}]}}'


def on_the_wire(answer: Any, mode: Any) -> bytes:
    item = Item({"text": "a"}, "a", 1, None, (), "in", 0, 0, 1, RAW)
    made = Encoder(task="t", model="m", fingerprint="f", mode=mode)
    (record,), dead = made.encode([released(item, answer)], NOW_MS)
    assert dead == {}
    assert record is not None
    return record[1] or b""


@pytest.mark.parametrize("mode", ["envelope", "merge", "result"])
@pytest.mark.parametrize(
    "data",
    [
        '{"serial":9400111899223100012345}',
        '{"serial":-18446744073709551617,"price":12.50}',
        '{"price":1.10,"any":[0.1000000000000000000001,1e400,1E5,-0.0]}',
        '{"any":{"a":12345678901234567890.12345678901234567890}}',
        '{"any":1e-400,"serial":1' + "0" * 5_000 + "}",
        '{"price":0.29,"any":0.00001}',
        '{"serial":1.0}',
    ],
)
def test_a_number_of_a_reply_has_its_own_digits_in_the_result(data: str, mode: Any) -> None:
    (answer,) = Extract(SCHEMA).read(items_of(["a"]), completion(body_of(reply(data))))
    assert data.encode() in on_the_wire(answer, mode)


@pytest.mark.parametrize(
    "text", ["Sure:\n```json\n{}\n```", "[{}]", "\ufeff{}", '{{"results": "{}']
)
def test_so_it_has_where_the_reply_is_wrapped_or_cut(text: str) -> None:
    data = '{"serial":9400111899223100012345,"price":1.10}'
    records = reply(data, data)
    body = text.replace("{}", records if "{{" not in text else '"').replace("{{", "{")
    if text == "[{}]":
        body = records.removeprefix('{"results": ').removesuffix("}")
    if "{{" in text:
        body = json.dumps({"results": json.dumps(json.loads(records, parse_int=int))})
        body = body.replace("1.1}", "1.10}").replace(", \\", ",\\").replace(": ", ":")
    answers = Extract(SCHEMA).read(items_of(["a", "b"]), completion(body_of(body)))
    for answer in answers:
        assert on_the_wire(answer, "result") == data.encode()


def test_every_price_is_taken() -> None:
    prices = [f'{{"price":{n // 100}.{n % 100:02}}}' for n in range(0, 10_000, 7)]
    extract, items = Extract(SCHEMA), items_of(["x"] * len(prices))
    answers = extract.read(items, completion(body_of(reply(*prices))))
    assert [on_the_wire(answer, "result").decode() for answer in answers] == prices


@pytest.mark.parametrize("data", ['{"price":0.001}', '{"price":-0.01}', '{"serial":1.5}'])
def test_a_number_that_breaks_the_schema_is_invalid_still(data: str) -> None:
    (answer,) = Extract(SCHEMA).read(items_of(["a"]), completion(body_of(reply(data))))
    assert answer is Unanswered.INVALID


def test_a_reply_with_a_byte_order_mark_is_read() -> None:
    data = '{"serial":1}'
    for body in (b"\xef\xbb\xbf" + body_of(reply(data)), body_of("\ufeff" + reply(data))):
        assert Extract(SCHEMA).read(items_of(["a"]), completion(body)) == [{"serial": 1}]


def test_a_lone_surrogate_costs_its_own_record_alone() -> None:
    """Also where the API's server escapes it in the message around the text."""
    text = reply('{"any":"x"}', '{"any":"\\ud83d"}', '{"any":"😀"}')
    expected = [{"any": "x"}, Unanswered.MISSING, {"any": "😀"}]
    for body in (body_of(text), body_of(text.replace("\\ud83d", "\ud83d"))):
        assert Extract(SCHEMA).read(items_of(["a"] * 3), completion(body)) == expected


def test_one_answer_twice_is_one_answer_however_its_numbers_are_written() -> None:
    text = reply('{"price":1.10}').replace("]", ', {"id":"1","data":{"price":1.1}}]')
    (answer,) = Extract(SCHEMA).read(items_of(["a"]), completion(body_of(text)))
    assert answer == {"price": 1.1}


@pytest.mark.parametrize("written", ["Café", "Cafe\u0301", "CAFE\u0301", " café "])
def test_a_word_of_an_enum_or_a_label_in_another_unicode_form_is_that_word(written: str) -> None:
    text = json.dumps({"results": [{"id": "1", "label": written, "data": {"tone": written}}]})
    said = completion(body_of(text))
    assert Extract(SCHEMA).read(items_of(["a"]), said) == [{"tone": "Café"}]
    assert Classify(["Café", "tea"]).read(items_of(["a"]), said) == [{"label": "Café"}]
