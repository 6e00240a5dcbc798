"""Schemas as people write them: each was lost, changed or refused for a wrong reason once."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streams.operations.schema import prepare

TEXT: dict[str, Any] = {"type": "string"}


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


def takes(schema: Any, answer: Any) -> bool:
    """Whether what is sent takes the answer."""
    prepared = prepare(schema)
    assert prepared.problems == []
    return bool(Draft202012Validator({**prepared.schema, "$defs": prepared.defs}).is_valid(answer))


def test_a_reference_keeps_the_limit_and_the_description_beside_it():
    schema = of(
        {"tags": {"$ref": "#/$defs/tags", "maxItems": 3, "description": "The best three."}},
        **{"$defs": {"tags": {"type": "array", "items": TEXT}}},
    )
    assert prepare(schema).schema["properties"]["tags"] == {
        "type": "array",
        "items": TEXT,
        "description": 'The best three. Must satisfy {"maxItems":3}.',
    }


CAT = of({"kind": {"const": "cat"}, "lives": {"type": "integer"}}, required=["kind"])
DOG = of({"kind": {"const": "dog"}, "tricks": TEXT}, required=["kind", "tricks"])
AB = {"a": TEXT, "b": TEXT}


@pytest.mark.parametrize(
    ("schema", "fits", "does_not"),
    [
        ({"type": "object", "anyOf": [CAT, DOG]}, [{"kind": "cat", "lives": 9}],
         [{}, {"kind": "dog"}, {"kind": "cat", "tricks": "x"}]),
        ({"anyOf": [CAT, DOG]}, [{"kind": "dog", "tricks": "x"}], [{"kind": "dog"}, "x"]),
        ({"oneOf": [CAT, DOG]}, [{"kind": "dog", "tricks": "x"}], [{"kind": "dog"}]),
        ({"type": "object", "properties": {"a": TEXT}, "allOf": [{"properties": {"b": TEXT},
          "required": ["b"]}]}, [{"b": "x"}, {"a": "x", "b": "y"}], [{"a": "x"}]),
        ({"allOf": [CAT, {"type": "object", "required": ["lives"]}]},
         [{"kind": "cat", "lives": 1}], [{"kind": "cat"}]),
        (of(AB, anyOf=[{"required": ["a"]}, {"required": ["b"]}]), [{"a": "x"}, {"b": "x"}], [{}]),
        (of(AB, oneOf=[{"required": ["a"]}, {"required": ["b"]}]), [{"a": "x"}, {"b": "x"}], [{}]),
        (of(AB, anyOf=[{"required": ["a"]}, {"required": ["b"]}],
            oneOf=[{"properties": {"c": {"const": 1}}, "required": ["c"]},
                   {"properties": {"c": {"const": 2}}, "required": ["c"]}]),
         [{"a": "x", "c": 1}, {"b": "x", "c": 2}], [{"a": "x"}, {"c": 1}]),
        ({"$ref": "#/$defs/cat", "required": ["lives"], "$defs": {"cat": CAT}},
         [{"kind": "cat", "lives": 1}], [{"kind": "cat"}]),
        (of({"a": {"$ref": "#/properties/b"}, "b": {"type": "integer"}}), [{"a": 1}], [{"a": "x"}]),
        (of({"a": {"allOf": [{"$ref": "#/$defs/t"}], "title": "d"}}, **{"$defs": {"t": TEXT}}),
         [{"a": "x"}], [{"a": 1}]),
        (of({"a": {"type": ["object", "null"], "properties": {"b": TEXT}}}),
         [{"a": None}, {"a": {"b": "x"}}], [{"a": 1}]),
        (of({"a": {"enum": ["x", 1, None], "type": ["string", "null"]}}),
         [{"a": "x"}, {"a": None}], [{"a": 1}]),
        (of(AB, anyOf=[{"properties": {"b": False}, "required": ["a"]}, {"required": ["b"]}]),
         [{"a": "x"}, {"b": "x"}], [{}]),
        (of({"a": of({}, additionalProperties=False)}), [{"a": {}}], [{"a": {"b": 1}}]),
        (of({"a/b~c": {"type": "integer"}, "x": {"$ref": "#/properties/a~1b~0c"}}),
         [{"x": 1}], [{"x": "1"}]),
    ],
)  # fmt: skip
def test_alternatives_and_conjunctions_are_sent_with_what_stands_around_them(
    schema: Any, fits: list[Any], does_not: list[Any]
) -> None:
    assert [takes(schema, answer) for answer in fits] == [True] * len(fits)
    assert [takes(schema, answer) for answer in does_not] == [False] * len(does_not)
    assert prepare(schema).example is not None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (of({"a": TEXT}, required=["a", "sku"]),
         '/required: names "sku", which "properties" lacks'),
        (of({"x": of({"a": TEXT}, required=["b"])}),
         '/properties/x/required: names "b", which "properties" lacks'),
        (of({"a": TEXT}, anyOf=[{"required": ["a"]}, {"required": ["b"]}]),
         '/anyOf/1/required: names "b", which "properties" lacks'),
        (of({"a": TEXT}, dependentRequired={"a": ["b"]}),
         '/dependentRequired/a: names "b", which "properties" lacks'),
        ({"allOf": [of({"a": TEXT}, additionalProperties=False, required=["a"]),
                    of({"b": TEXT}, additionalProperties=False)]},
         '/allOf/0/required names "a", which "additionalProperties": false excludes'),
        (of({"a": TEXT}, additionalProperties=TEXT),
         "/additionalProperties: the API takes no maps"),
        (of({"a": TEXT}, patternProperties={"^x": TEXT}), "does not take patternProperties"),
        (of({"a/b": {"type": "integer", "minimum": 5, "maximum": 3}}, required=["a/b"]),
         "/properties/a~1b: no number is from 5 to 3"),
        (of({"a": {"type": "integer", "minimum": 5, "maximum": 3}}), "no number is from 5 to 3"),
        (of({"a": {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}}),
         "no multiple of 1 is from 1 to 2"),
        (of({"a": {"type": "string", "minLength": 3, "maxLength": 2}}), "minLength 3 is above"),
        (of({"a": {"type": "string", "enum": [1, 2]}}), "none of its values keeps the rest"),
        (of({"a": {"allOf": [TEXT, {"type": "integer"}]}}), "no value is of all types at once"),
        (of({"a": {"allOf": [{"const": 1}, {"const": 2}]}}), "enum and const leave no value"),
        (of({"a": TEXT}, minProperties=2), "minProperties is 2, and the schema names 1"),
        (of({"a": False}, required=["a"]), "/properties/a: false takes no value"),
        (of({"a": TEXT}, required=["a"], **{"not": {"required": ["a"]}}), "was found"),
        (of({"a": TEXT}, **{"not": {}}), '"not" takes no object'),
        (of({"a": {"const": {"b": 1}}}), "/properties/a: enum takes strings, numbers"),
        (of({"a": {"type": "string", "pattern": "("}}), "/properties/a/pattern: "),
        (of({"a": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
         "no recursion"),
        (of({"a": {"$id": "https://example.com/a", "type": "string"}}), "has no $id"),
        (of({"a": {"type": "number", "minimum": float("nan")}}), "NaN"),
        (of({"a": TEXT}, anyOf=[{"required": ["a"]}] * 6, oneOf=[{"required": ["a"]}] * 6),
         "more than 32 alternatives"),
        ({"anyOf": [TEXT, of({"a": TEXT})]}, '"type": "object" at its root'),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_or_kept_is_refused_with_its_place(schema: Any, problem: str) -> None:
    problems = prepare(schema).problems
    assert any(problem in line for line in problems), problems
    assert len(problems) <= 2, "nothing is refused for a second, wrong reason"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": 0.1, "maximum": 0.2, "multipleOf": 0.05},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.01},
        {"type": "integer", "minimum": 10**30},
        {"type": "number", "minimum": 1e300},
        {"type": "string", "minLength": 300, "maxLength": 300},
        {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
        {"type": "string", "format": "date"},
        {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": TEXT, "contains": {"const": "must"}, "minContains": 2},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2,
         "uniqueItems": True},
        {"type": "string", "not": {"enum": ["text", "a"]}},
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]},
        {"type": ["null", "integer"], "not": {"const": None}},
    ],
)  # fmt: skip
def test_an_example_is_found_of_what_people_write(schema: dict[str, Any]) -> None:
    prepared = prepare(of({"x": schema}, required=["x"]))
    assert prepared.problems == []
    assert prepared.example is not None


def test_the_schemas_own_examples_stand_where_none_is_found() -> None:
    hard = of({"x": {"type": "array", "contains": of({"y": {"type": "integer", "not": {
        "enum": [*range(-9, 10)]}}}, required=["y"])}}, required=["x"])  # fmt: skip
    assert "was found" in prepare(hard).problems[0]
    shown = {"x": [{"y": 77}]}
    prepared = prepare({**hard, "examples": [{"x": []}, shown]})
    assert (prepared.problems, prepared.example) == ([], shown)


def test_a_pattern_that_we_cannot_write_is_no_problem() -> None:
    prepared = prepare(of({"x": {"type": "string", "pattern": "^(?=.{3}$)z"}}, required=["x"]))
    assert (prepared.problems, prepared.example) == ([], None)
