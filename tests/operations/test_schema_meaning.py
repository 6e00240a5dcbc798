"""What is sent means what was written, and what is checked is what was written: for any schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streams.codec.exact_schema import exact
from streams.errors import ConfigError
from streams.model import Unanswered
from streams.operations import Completion, Extract
from streams.operations.schema import Prepared, prepare
from streams.operations.shapes import resolve
from streams.simulator.schemas import check_schema
from tests.operations.conftest import items_of
from tests.properties.effort import effort

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 3)),
    st.builds(lambda n: {"type": "integer", "minimum": n}, st.integers(-1, 2)),
    st.builds(lambda n, m: {"type": "number", "maximum": n, "multipleOf": m},
              st.sampled_from([0, 1, 0.03]), st.sampled_from([0.01, 0.5, 2])),
    st.builds(lambda v: {"enum": v}, st.lists(st.sampled_from(["a", "B", 1, None, True]),
              min_size=1, unique_by=repr)),
    st.builds(lambda v: {"const": v}, st.sampled_from(["a", 1, None])),
    st.just({"type": ["string", "null"]}),
    st.just({"type": "boolean"}),
    st.just({"$ref": "#/$defs/one"}),
    st.builds(lambda n: {"$ref": "#/$defs/one", "maximum": n, "description": "d"},
              st.integers(0, 1)),
    st.just({"$ref": "#/$defs/two", "required": ["a"]}),
    st.just({"type": "integer", "minimum": 3, "maximum": 1}),
    st.just(False),
)  # fmt: skip


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    more = {"minItems": st.integers(0, 2), "maxItems": st.integers(0, 2),
            "uniqueItems": st.booleans(), "contains": st.just({"const": "a"})}  # fmt: skip
    return st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional=more)


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What stands in an allOf, anyOf or oneOf of objects: often no type, no properties."""
    required = st.lists(NAMES, max_size=2, unique=True)
    return st.one_of(
        st.builds(lambda names: {"required": names}, required),
        st.builds(lambda p, names: {"properties": p, "required": names},
                  st.dictionaries(NAMES, inner, min_size=1, max_size=2), required),
        st.builds(lambda p: {"type": "object", "properties": p, "additionalProperties": False},
                  st.dictionaries(NAMES, inner, min_size=1, max_size=3)),
        st.builds(lambda name: {"not": {"required": [name]}}, NAMES),
        st.just({"$ref": "#/$defs/two"}),
        st.booleans(),
    )  # fmt: skip


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(branches(inner), min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)},
        optional={
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": st.booleans(),
            "minProperties": st.integers(0, 2),
            "maxProperties": st.integers(0, 2),
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": branches(inner),
            "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=1), max_size=1),
        },
    )


INNER = st.recursive(SCALARS, lambda inner: arrays(inner) | objects(inner), max_leaves=4)
DEFS = st.fixed_dictionaries(
    {
        "one": st.sampled_from([{"type": "integer"}, {"type": "number", "minimum": 0.5}]),
        "two": st.just({"type": "object", "properties": {"a": {"$ref": "#/$defs/one"},
                                                         "b": {"type": "string"}}}),
    }
)  # fmt: skip
SCHEMAS = st.builds(lambda schema, defs: {**schema, "$defs": defs}, objects(INNER), DEFS)

VALUES = st.recursive(
    st.sampled_from(["a", "A", "", "abcd", 0, 1, 2, -2, 0.5, 0.01, 0.02, 1.0, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
ANSWERS = st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=6)


class Meaning:
    """What a schema asks for, by its definition: an independent reading, one alternative at a
    time."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._valid = exact()(root)

    def takes(self, value: Any) -> bool:
        return bool(self._valid.is_valid(value))

    def asks_for(self, value: Any) -> bool:
        """Whether the value keeps the schema, and names only what one alternative names."""
        return self.takes(value) and self._asks([self._root], value)

    def _asks(self, schemas: list[Any], value: Any) -> bool:
        for chosen in product(*(list(self._alternatives(schema)) for schema in schemas)):
            plain = [part for parts in chosen for part in parts]
            keeps = all(self._valid.evolve(schema=part).is_valid(value) for part in plain)
            if keeps and self._inside(plain, value):
                return True
        return False

    def _inside(self, plain: list[Any], value: Any) -> bool:
        if isinstance(value, list):
            items = [part["items"] for part in plain if "items" in part]
            return all(self._asks(items, inner) for inner in value)
        named = [part.get("properties", {}) for part in plain]
        if not isinstance(value, dict):
            return not any(named) or any("type" in part for part in plain)
        for name, inner in value.items():
            schemas = [properties[name] for properties in named if name in properties]
            if not schemas or not self._asks(schemas, inner):
                return False
        return True

    def _alternatives(self, schema: Any) -> Iterator[list[Any]]:
        """Lists of schemas without alternatives, all of which one value keeps."""
        if schema is False:
            return
        if schema is True:
            yield []
            return
        inner = [schema[word] for word in ("anyOf", "oneOf") if word in schema]
        inner += [[part] for part in schema.get("allOf", ())]
        if "$ref" in schema:
            inner.append([resolve(self._root, schema["$ref"])])
        own = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf", "allOf", "$ref")}
        choices = [[a for branch in group for a in self._alternatives(branch)] for group in inner]
        for chosen in product(*choices):
            yield [own, *(part for parts in chosen for part in parts)]


def sent(prepared: Prepared) -> Any:
    return Draft202012Validator({**prepared.schema, "$defs": prepared.defs})


def checked(extract: Extract, answer: Any) -> Any:
    text = json.dumps({"results": [{"id": "1", "data": answer}]})
    return extract.read(items_of(["x"]), Completion([{"type": "text", "text": text}], "end"))[0]


@effort(80)
@given(SCHEMAS, ANSWERS)
def test_an_answer_that_keeps_the_users_schema_passes_what_is_sent_and_what_is_checked(
    schema: Any, answers: list[Any]
) -> None:
    """And one that breaks it does not pass. An answer may be written in another case."""
    prepared, meaning = prepare(schema), Meaning(schema)
    if prepared.problems:
        event("refused")
        return
    event("sent")
    check_schema({**prepared.schema, "$defs": prepared.defs})  # raises what the API refuses
    assert prepared.example is not None
    extract = Extract(schema)
    for answer in [prepared.example, *answers]:
        if meaning.asks_for(answer):
            event("kept")
            assert sent(prepared).is_valid(answer), answer
        if meaning.takes(answer):
            assert checked(extract, answer) == answer
        else:
            result = checked(extract, answer)
            assert result is Unanswered.INVALID or meaning.takes(result)
    assert meaning.asks_for(prepared.example)


IMPOSSIBLE = (
    *("false takes no value", '"not" takes no', "is from", "leave no value", "keeps the rest"),
    *("excludes", "is above", "properties are needed", "minProperties is", "was found"),
    "all types",
)


@effort(80)
@given(SCHEMAS, ANSWERS)
def test_no_answer_keeps_a_schema_that_is_refused_because_none_does(
    schema: Any, answers: list[Any]
) -> None:
    problems = prepare(schema).problems
    if problems and all(any(words in line for words in IMPOSSIBLE) for line in problems):
        meaning = Meaning(schema)
        optional = "/properties/" in problems[0]  # that property can never be, the others can
        assert optional or not any(meaning.asks_for(answer) for answer in answers)


@effort(50)
@given(SCHEMAS)
def test_a_schema_that_is_refused_names_a_place_in_it(schema: Any) -> None:
    try:
        Extract(schema, place="schema")
    except ConfigError as error:
        for line in error.problems:
            place = line.removeprefix("schema: ").partition(": ")[0].partition(" names")[0]
            assert place.startswith("/")
            assert place == "/" or resolve(schema, f"#{place}") is not None, line
