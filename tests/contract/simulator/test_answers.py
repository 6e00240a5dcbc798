"""Answers to any schema: valid ones, the same for the same seed."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streams.operations.patterns import PatternError, matching
from streams.simulator.prompt import PromptItem, items_in
from streams.simulator.schemas import check_schema
from streams.simulator.synthesis import Plan, by_hash
from streams.simulator.text_pieces import FORMATS, first_sentence, phrase

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6)
LEAVES = st.one_of(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer"},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"]},
            {"const": "fixed"},
            {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        ]
    ),
    st.sampled_from(sorted(FORMATS)).map(lambda form: {"type": "string", "format": form}),
    st.lists(NAMES, min_size=1, max_size=4, unique=True).map(lambda names: {"enum": names}),
)


def objects(inner):
    """Schemas of objects with some members required, as structured answers want them."""

    def one(members):
        required = sorted(members)[::2]
        return {
            "type": "object",
            "properties": members,
            "required": required,
            "additionalProperties": False,
        }

    return st.dictionaries(NAMES, inner, max_size=4).map(one)


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        inner.map(lambda item: {"type": "array", "items": item, "minItems": 1}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"anyOf": parts}),
    ),
    max_leaves=8,
)
ITEMS = st.lists(st.text(max_size=60), min_size=1, max_size=5).map(
    lambda texts: [PromptItem(str(number), text) for number, text in enumerate(texts, 1)]
)


@settings(max_examples=60)
@given(objects(SCHEMAS), ITEMS, st.integers(0, 9))
def test_an_answer_satisfies_its_schema_and_has_one_record_per_item(record, items, seed):
    """Whatever the record's schema, the texts and the seed."""
    properties = {**record["properties"], "id": {"type": "string"}}
    required = sorted({"id", *record["required"]})
    record = {**record, "properties": properties, "required": required}
    schema = {
        "type": "object",
        "properties": {"results": {"type": "array", "items": record}},
        "required": ["results"],
        "additionalProperties": False,
    }
    answer = Plan(schema).answer("prompt", items, by_hash(seed), seed)
    formats = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=formats).validate(answer.root)
    assert [found["id"] for found in answer.root["results"]] == [item.id for item in items]
    assert Plan(schema).answer("prompt", items, by_hash(seed), seed).root == answer.root


@settings(max_examples=60)
@given(objects(LEAVES))
def test_the_schemas_of_these_tests_are_ones_that_the_api_accepts(schema):
    check_schema(schema)


@given(st.text())
def test_an_extracted_string_is_a_piece_of_its_items_text(text):
    """So that a client that checks for invented words finds none."""
    assert first_sentence(text) in text
    assert all(phrase(text, drawn) in text for drawn in (0, 5, 2**63))


@pytest.mark.parametrize(
    "pattern", ["^[a-z]+$", r"\d{4}-\d{2}", "(yes|no)", "a?b*c+", "[^abc]x", "^$", r"\w\s\W"]
)
def test_a_simple_pattern_is_matched(pattern):
    """By every string that is made for it."""
    import re

    assert all(re.search(pattern, matching(pattern, drawn)) for drawn in (0, 1, 99, 2**62 + 7))


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", r"\bword", "(", "(?<!x)y"])
def test_a_pattern_beyond_the_simple_ones_is_an_error(pattern):
    with pytest.raises(PatternError):
        matching(pattern, 0)


@given(st.text(max_size=200))
def test_looking_for_items_finds_none_in_a_text_that_is_no_array_of_objects(text):
    """Whatever brackets the text has: it ends, without an error."""
    assert all(isinstance(item, PromptItem) for item in items_in(text))


@given(st.lists(st.text(), min_size=1, max_size=4), st.text(max_size=9), st.text(max_size=9))
def test_items_are_found_whatever_their_texts_hold(found, before, after):
    import orjson

    listed = [{"id": str(n), "text": text} for n, text in enumerate(found)]
    prompt = f"{before.replace('[', '')}{orjson.dumps(listed).decode()}{after.replace(']', '')}"
    assert [item.text for item in items_in(prompt)] == found
