"""Extraction: what of a user's schema is sent, what is checked, what is refused at the start."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.errors import ConfigError
from streams.model import Unanswered
from streams.operations import Completion, Extract
from streams.operations.schema import prepare
from tests.operations.conftest import items_of

REVIEW: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "stars": {"type": "integer", "minimum": 1, "maximum": 5, "description": "Rating."},
        "pros": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 3},
        "tone": {"enum": ["Warm", "Cold"]},
        "maker": {"$ref": "#/$defs/company"},
    },
    "required": ["stars", "tone"],
    "$defs": {
        "company": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        }
    },
}


def extract(schema: dict[str, Any], *data: Any) -> list[Any]:
    """What items get where the reply holds these, one for each."""
    results = [{"id": str(n), "data": value} for n, value in enumerate(data, 1)]
    block = {"type": "text", "text": json.dumps({"results": results})}
    return Extract(schema).read(items_of(["x"] * len(data)), Completion([block], "end_turn"))


def problems(schema: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Extract(schema, place="task.t.schema")
    assert all(problem.startswith("task.t.schema: ") for problem in caught.value.problems)
    return [problem.removeprefix("task.t.schema: ") for problem in caught.value.problems]


def keywords(schema: Any) -> set[str]:
    """Every keyword of a schema that is sent, not the names of properties."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema), set())
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for name, value in schema.items():
        inner = list(value.values()) if name in ("properties", "$defs") else value
        if name not in ("enum", "const", "default", "required"):
            found |= keywords(inner)
    return found


def test_the_result_is_the_object_itself():
    data = {"stars": 5, "tone": "Warm", "pros": ["light"], "maker": {"name": "Ørsted"}}
    assert extract(REVIEW, data) == [data]


@pytest.mark.parametrize(
    "data",
    [
        {"stars": 6, "tone": "Warm"},
        {"stars": "5", "tone": "Warm"},
        {"tone": "Warm"},
        {"stars": 5, "tone": "Tepid"},
        {"stars": 5, "tone": "Warm", "pros": [""]},
        {"stars": 5, "tone": "Warm", "pros": ["a", "b", "c", "d"]},
        {"stars": 5, "tone": "Warm", "maker": {}},
        [],
        None,
        "Warm",
    ],
)
def test_an_answer_that_breaks_the_users_schema_is_invalid_and_its_neighbour_is_not(data):
    """Also where it breaks what the API cannot enforce."""
    fine = {"stars": 1, "tone": "Cold"}
    assert extract(REVIEW, data, fine) == [Unanswered.INVALID, fine]


def test_an_enum_in_another_case_is_put_back_into_the_schemas_spelling():
    schema = {
        "type": "object",
        "properties": {
            "tone": {"$ref": "#/$defs/tone"},
            "all": {
                "type": "array",
                "items": {"anyOf": [{"$ref": "#/$defs/tone"}, {"const": "X"}]},
            },
        },
        "$defs": {"tone": {"type": "string", "enum": ["Warm", "Cold"]}},
    }
    answers = extract(schema, {"tone": " warm", "all": ["COLD", "x"]})
    assert answers == [{"tone": "Warm", "all": ["Cold", "X"]}]


def test_duplicates_that_are_equal_to_python_but_not_as_json_differ():
    """1 and true are two answers."""
    schema = {"type": "object", "properties": {"x": {}}}
    results = [{"id": "1", "data": {"x": 1}}, {"id": "1", "data": {"x": True}}]
    block = {"type": "text", "text": json.dumps({"results": results})}
    answers = Extract(schema).read(items_of(["a"]), Completion([block], "end_turn"))
    assert answers == [Unanswered.INVALID]


def test_a_result_nested_deeper_than_json_can_be_written_is_invalid():
    """The reader of JSON goes deeper than its writer."""
    schema = {"type": "object", "properties": {"tree": {"type": "array", "items": {}}}}
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    assert extract(schema, {"tree": deep}, {"tree": []}) == [Unanswered.INVALID, {"tree": []}]


def test_what_is_sent_has_no_keyword_that_the_api_refuses():
    prepared = prepare(REVIEW)
    assert not prepared.problems
    allowed = {
        "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf",
        "allOf", "$ref", "description", "title", "default", "format", "pattern", "minItems",
    }  # fmt: skip
    assert keywords(prepared.schema) | keywords(list(prepared.defs.values())) <= allowed


def test_what_cannot_be_enforced_is_told_to_the_model():
    sent = prepare(REVIEW).schema["properties"]["stars"]
    assert sent["description"] == 'Rating. Must satisfy {"maximum":5,"minimum":1}.'


def test_definitions_are_hoisted_to_the_root_of_the_reply():
    """The user's schema is deep inside the reply's, where its own references would lead nowhere."""
    schema = Extract(REVIEW).request(items_of(["x"])).schema
    data = schema["properties"]["results"]["items"]["properties"]["data"]
    assert data["properties"]["maker"] == {"$ref": "#/$defs/company"}
    assert schema["$defs"]["company"]["additionalProperties"] is False
    assert "$defs" not in data


def test_two_definitions_of_one_name_get_two_names():
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/x/properties/name"},
            "b": {"$ref": "#/$defs/y/properties/name"},
        },
        "$defs": {
            "x": {"properties": {"name": {"type": "string"}}},
            "y": {"properties": {"name": {"type": "integer"}}},
        },
    }
    prepared = prepare(schema)
    a, b = (prepared.schema["properties"][name]["$ref"] for name in "ab")
    assert prepared.defs[a.removeprefix("#/$defs/")] == {"type": "string"}
    assert prepared.defs[b.removeprefix("#/$defs/")] == {"type": "integer"}


def test_objects_are_closed_and_one_of_becomes_any_of():
    schema = {
        "type": "object",
        "properties": {
            "who": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"n": {}}}]}
        },
        "required": ["who"],
    }
    sent = prepare(schema).schema
    assert sent["additionalProperties"] is False
    assert sent["properties"]["who"]["anyOf"][1]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("pattern", "sent"), [(r"^[A-Z]{2}\d+$", True), (r"^(?!x)a", False), (r"\bword\b", False)]
)
def test_simple_patterns_are_sent_and_others_are_checked_by_us(pattern, sent):
    schema = {"type": "object", "properties": {"code": {"type": "string", "pattern": pattern}}}
    code = prepare(schema).schema["properties"]["code"]
    assert ("pattern" in code) is sent
    assert ("Must satisfy" in code.get("description", "")) is not sent


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


TREE = of({"tree": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": {
    "type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}})  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (TREE, "no recursion"),
        (of({"self": {"$ref": "#"}}), "no recursion"),
        (of({"x": {"$ref": "#/$defs/nowhere"}}), "is not in this schema"),
        (of({"x": {"$ref": "https://example.com/x.json"}}), "is not in this schema"),
        (of({f"p{n}": {"type": "string"} for n in range(25)}), "25 optional properties"),
        (of({f"p{n}": {"type": ["string", "null"]} for n in range(17)},
            required=[f"p{n}" for n in range(17)]), "17 properties of several types"),
        (of({"map": {"type": "object"}}), "no maps"),
        (of({"map": {"type": ["object", "null"]}}), "no maps"),
        (of({"map": {"type": "object", "additionalProperties": {"type": "string"}}}), "no maps"),
        (of({"x": True}), "name a type"),
        (of({"x": {"enum": [{"a": 1}]}}), "enum takes"),
        (of({"x": {"type": "array", "prefixItems": [{}]}}), "does not take prefixItems"),
        (of({"x": {"type": "strin"}}), "strin"),
        ({"type": "array", "items": {}}, '"type": "object" at its root'),
        ({}, '"type": "object" at its root'),
        (True, '"type": "object" at its root'),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_sent_is_refused_at_the_start(schema, said):
    found = problems(schema)
    assert any(said in problem for problem in found), found


def test_all_problems_of_a_schema_are_told_at_once_with_their_places():
    found = problems(of({"a": True, "b": {"type": "array", "items": {"$ref": "#"}}}))
    assert [problem.split(":")[0] for problem in found] == [
        "/properties/a",
        "/properties/b/items",
    ]


def test_optional_properties_of_a_definition_count_at_each_use():
    """So does the grammar that the API makes of them."""
    part = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(12)}}
    schema = of(
        {name: {"$ref": "#/$defs/part"} for name in ("a", "b", "c")},
        required=["a", "b", "c"],
        **{"$defs": {"part": part}},
    )
    assert "36 optional properties" in problems(schema)[0]
