"""Any schema a user may write: it is told to be unusable at the start, or the API takes it."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from streams.operations.schema import prepare
from streams.simulator.schemas import check_schema
from tests.operations.conftest import at_leisure

KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["object", "array", "string", "integer", "null", ["string", "null"]]),
    "minLength": st.integers(0, 3),
    "maximum": st.integers(),
    "multipleOf": st.sampled_from([1, 0.01]),
    "minItems": st.integers(0, 3),
    "maxItems": st.integers(0, 3),
    "uniqueItems": st.booleans(),
    "enum": st.lists(st.sampled_from(["a", "B", 1, None, {"x": 1}]), min_size=1, unique_by=repr),
    "const": st.sampled_from(["a", 1]),
    "pattern": st.sampled_from(["^a+$", r"\d{2}", "(?!x)", r"\bx", "[a-z]|(b)"]),
    "format": st.sampled_from(["date", "email", "regex", "idn-email"]),
    "description": st.just("A thing."),
    "default": st.just("a"),
    "examples": st.just(["a"]),
    "$comment": st.just("why"),
    "additionalProperties": st.booleans() | st.just({"type": "string"}),
    "required": st.lists(st.sampled_from(["a", "b", "z"]), unique=True),
    "minProperties": st.integers(0, 2),
    "$ref": st.sampled_from(["#/$defs/one", "#/$defs/two", "#", "#/nowhere", "#/properties/a"]),
    "patternProperties": st.just({"^a": {}}),
    "prefixItems": st.just([{}]),
    "if": st.just({}),
}


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            **KEYWORDS,
            "properties": st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )


parts = st.recursive(st.booleans() | st.just({"type": "string"}), containers, max_leaves=6)
likely = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(st.sampled_from(["a", "b"]), parts, min_size=1),
    },
    optional={
        "$defs": st.fixed_dictionaries({"one": parts}, optional={"two": parts}),
        "$schema": st.just("https://json-schema.org/draft/2020-12/schema"),
        "required": st.just(["a"]),
    },
)


@at_leisure
@given(likely | parts | st.none() | st.lists(parts))
@example(
    {
        "type": "object",
        "properties": {"a": {"enum": ["x"], "properties": {"b": {"type": "string"}}}},
    }
)
def test_a_schema_without_problems_is_one_that_the_api_takes(schema):
    """And no schema makes the preparation fail."""
    prepared = prepare(schema)
    if not prepared.problems:
        check_schema({**prepared.schema, "$defs": prepared.defs})  # raises what the API refuses
