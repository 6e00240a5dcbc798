"""The schemas say what they are meant to say, and what is written keeps to them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from streams.codec.records import Decoder
from streams.errors import ItemError
from streams.kafka.record_views import json_line
from streams.model import FORWARD

from .samples import NOW_MS, WHERE, Record, encoded, encoder, item_of, released

FOLDER = Path(__file__).parents[2] / "schemas"
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf-8"))
    for path in sorted(FOLDER.glob("*.schema.json"))
}
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[name], registry=REGISTRY)


def examples(kind: str) -> list[Path]:
    return sorted((FOLDER / kind).glob("*/*.json"))


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_of_draft_2020_12(name: str) -> None:
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMAS[name]["$id"] == f"urn:streams:{name}"
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_schema_has_examples_of_both_kinds_and_no_example_lacks_its_schema() -> None:
    for kind in ("valid", "invalid"):
        assert {path.parent.name for path in examples(kind)} == set(SCHEMAS)


@pytest.mark.parametrize("path", examples("valid"), ids=named)
def test_a_valid_example_is_valid(path: Path) -> None:
    validator(path.parent.name).validate(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("path", examples("invalid"), ids=named)
def test_an_invalid_example_is_refused(path: Path) -> None:
    assert not validator(path.parent.name).is_valid(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("path", examples("valid"), ids=named)
def test_a_valid_example_of_an_item_decodes_and_of_a_result_could_have_been_written(
    path: Path,
) -> None:
    example = json.loads(path.read_text("utf-8"))
    if path.parent.name == "item":
        (_, settled) = Decoder().decode([Record(path.read_bytes())], *WHERE)
        assert not settled or settled[0].code == "no_text"
    elif path.parent.name == "result":
        record, _ = encoded(item_of(b"{}"), example, mode="result")
        assert json.loads(record[1]) == example


@pytest.mark.parametrize("path", sorted((FOLDER / "invalid/item").glob("*.json")), ids=named)
def test_an_invalid_example_of_an_item_does_not_decode(path: Path) -> None:
    assert Decoder().decode([Record(path.read_bytes())], *WHERE).settled[0].code == "invalid_json"


VECTOR = {"embedding_f32": struct.pack("<3f", 0.1, -0.25, 1e30), "dim": 3}
RESULTS: list[Any] = [
    {"label": "positive"},
    {"stars": 4, "pros": ["battery"], "cons": None},
    {"text": "A phone that lasts."},
    VECTOR,
    ["battery"],
]
SOURCES = [
    b'{"id":17,"text":"x"}',
    b'{"text":"x"}',
    b'{"id":99999999999999999999,"text":"x","enrichment":{"topics":[]}}',
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("outcome", RESULTS)
@pytest.mark.parametrize("layout", ["floats", "base64"])
@pytest.mark.parametrize("model", ["claude-haiku-5-5", None])
def test_every_result_that_is_written_keeps_to_the_schema_of_its_mode(
    source: bytes, outcome: Any, layout: Any, model: Any
) -> None:
    for mode, name in (
        ("envelope", "result-envelope"),
        ("merge", "result-merge"),
        ("result", "result"),
    ):
        settings = {"mode": mode, "embedding": layout, "model": model}
        record, error = encoded(item_of(source, timestamp=-1), outcome, **settings)
        assert error is None
        validator(name).validate(json.loads(record[1]))


def as_printed(letter: Any) -> Any:
    """A dead letter as its schema describes it: as `streams tail --json` prints it."""
    key, value, headers, _ = letter
    return json.loads(json_line(Record(value, key, headers)))


NAMES = st.text(max_size=5) | st.sampled_from(["streams-error-code", "streams-task"])


@given(
    st.none() | st.binary(max_size=30) | st.just(b'{"text":"x"}'),
    st.none() | st.binary(max_size=5),
    st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=5)), max_size=3),
    st.integers(-1, 2**42),
    st.integers(0, 3),
    st.none() | st.integers(1_200, 2_000),
)
def test_every_dead_letter_keeps_to_its_schema(
    value: Any, key: Any, headers: Any, timestamp: int, calls: int, limit_bytes: int | None
) -> None:
    record = Record(value, key, headers, timestamp=timestamp)
    (item,), settled = Decoder(tombstones="dead_letter").decode([record], *WHERE)
    error = settled.get(0) or ItemError("no_answer", "the reply has no record of it")
    slot = released(item, error, calls=calls)
    letter = encoder().dead_letter(slot, error, NOW_MS, limit_bytes=limit_bytes)
    validator("dead-letter").validate(as_printed(letter))


def test_a_forwarded_tombstone_has_no_value_for_any_schema_to_judge() -> None:
    assert encoded(item_of(None), FORWARD)[0][1] is None
