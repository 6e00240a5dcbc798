"""Prepares a user's JSON Schema for the API, which takes a part of JSON Schema only.

    the schema ─► `shapes` (its alternatives) ─► `wire_schema` (what is sent, without alternatives
    that `contradictions` excludes) ─► `examples` (does any value keep it?)

What is sent takes every value that the user's schema takes; what is checked is that schema itself.
Keywords that the API cannot enforce are told to the model in the description. What cannot be sent
in any form (recursion, maps, remote references, too many optional properties), and a schema that no
value keeps, is a problem that the user hears of at the start. Source of the API's limits:
docs/operations.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from streams.codec.strict_json import refuse_null, write
from streams.errors import ItemError
from streams.operations.examples import Examples
from streams.operations.shapes import Part, Path, Shapes, place
from streams.operations.wire_schema import Nothing, Sent

MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16


class Prepared(NamedTuple):
    """`schema`: the schema of one answer, as it is sent. `defs`: its definitions, to move to the
    root of the reply's schema. `problems`: one line each, starting with the place in the schema;
    empty: the schema can be used. `example`: an answer that keeps it; None: none was found, which
    is no problem where the schema has a pattern that we cannot write."""

    schema: dict[str, Any]
    defs: dict[str, Any]
    problems: list[str]
    example: dict[str, Any] | None = None


def prepare(schema: Any) -> Prepared:
    """The user's schema as the API takes it. Never raises."""
    try:
        if problem := _form_problem(schema):
            return Prepared({}, {}, [problem])
        root = Part(schema, ())
        shapes = [shape for shape in Shapes(schema).of([root]) if not shape.nothing]
        if any(shape.types != ("object",) for shape in shapes):
            return Prepared({}, {}, ['/: the schema must have "type": "object" at its root'])
        examples = Examples(schema)
        sent = Sent(schema, examples)
        wire = sent.emit([root])
        if isinstance(wire, Nothing):
            return Prepared({}, {}, [*sent.problems, wire.reason])
        problems = sent.problems or [*_too_many(wire, sent.defs)]
        example = None if problems else examples.first()
    except RecursionError:
        return Prepared({}, {}, ["/: the schema is nested too deep"])
    if not problems and example is None and not examples.may_miss_some:
        problems.append(_NO_EXAMPLE)
    return Prepared(wire, sent.defs, problems, example)


_NO_EXAMPLE: Final = (
    "/: no answer that keeps the schema was found; if there is one, show it as one of the schema's"
    ' "examples"'
)


def _form_problem(schema: Any) -> str:
    """What makes it no JSON Schema at all."""
    try:
        if b"null" in write(schema):
            refuse_null(schema)
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"{place(error.absolute_path)}: {error.message}"
    except ItemError as error:
        return f"/: {error.message.replace('the result', 'the schema')}"
    return next(_faults(schema, ()), "")


_NAMED: Final = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_VALUES: Final = frozenset({"enum", "const", "default", "examples", "required"})


def _faults(schema: Any, path: Path) -> Iterator[str]:
    """What the check of a value would stumble over, wherever it stands."""
    if isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from _faults(inner, (*path, str(number)))
    if not isinstance(schema, dict):
        return
    if path and "$id" in schema:
        yield f"{place(path)}: a schema within the schema has no $id: its references lead elsewhere"
    if isinstance(schema.get("pattern"), str):
        try:
            re.compile(schema["pattern"])
        except (re.error, RecursionError, OverflowError) as error:
            yield f"{place((*path, 'pattern'))}: is no pattern of Python's: {error}"
    for keyword, inner in schema.items():
        if keyword in _NAMED and isinstance(inner, dict):
            for name, named in inner.items():
                yield from _faults(named, (*path, keyword, name))
        elif keyword not in _VALUES:
            yield from _faults(inner, (*path, keyword))


def _too_many(wire: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[str]:
    optional, unions = _counts(wire, defs)
    if optional > MAX_OPTIONAL:
        yield (
            f"/: {optional} optional properties, the API takes {MAX_OPTIONAL}: "
            'list more of them under "required"'
        )
    if unions > MAX_UNIONS:
        yield f"/: {unions} properties of several types, the API takes {MAX_UNIONS}"


def _counts(wire: Mapping[str, Any], defs: Mapping[str, Any]) -> tuple[int, int]:
    """The optional properties and the unions; those of a definition count at each use, as in the
    grammar that the API makes of them."""
    if "$ref" in wire:
        return _counts(defs.get(wire["$ref"].removeprefix("#/$defs/"), {}), defs)
    properties = wire.get("properties", {})
    optional = len(properties) - len(wire.get("required", ()))
    unions = int("anyOf" in wire or isinstance(wire.get("type"), list))
    inner = [*properties.values(), *wire.get("anyOf", ())]
    for part in [*inner, *([wire["items"]] if "items" in wire else [])]:
        more = _counts(part, defs)
        optional, unions = optional + more[0], unions + more[1]
    return optional, unions
