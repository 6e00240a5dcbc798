"""What differs between two results: their kind, their fields, their distance. Pure.

    {"label": ...}                       label: a flip, or none
    {"embedding" | "embedding_b64", ...} vector: a distance
    {"text": ...}                        text: equal or changed
    any other object                     fields: which of them changed
    any other value                      value: equal or changed

Two results of different kinds are compared as fields, or as values where one is no object. Values
are equal as JSON Schema has it: 1 and 1.0 are, and the order of members does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import orjson

from streams.codec.numbers import canonical
from streams.codec.strict_json import read
from streams.codec.vectors import vector_of

Kind = Literal["label", "vector", "text", "fields", "value"]

ABSENT: Final = object()
"""A field that one of two results lacks."""

_SHORT = 200
_SIMPLE = frozenset({str, int, float, bool, type(None)})
_VECTOR = b'{"embedding'


class Parsed(NamedTuple):
    """`value`: of a label and a text the string, of a vector its float32 bytes, else the JSON
    value."""

    kind: Kind
    value: Any


def parsed(result: bytes) -> Parsed:
    """`result`: valid JSON."""
    if len(result) <= _SHORT:
        return _parsed_short(result)  # a label has few different results
    if result.startswith(_VECTOR) and (vector := vector_of(orjson.loads(result))) is not None:
        return Parsed("vector", vector)
    return _parsed(read(result))


@lru_cache(maxsize=4096)
def _parsed_short(result: bytes) -> Parsed:
    return _parsed(read(result))


def _parsed(value: Any) -> Parsed:
    if not isinstance(value, dict):
        return Parsed("value", value)
    if len(value) == 1:
        for kind, name in _STRINGS:
            if isinstance(value.get(name), str):
                return Parsed(kind, value[name])
    if len(value) == 2 and "dim" in value and (vector := vector_of(value)) is not None:
        return Parsed("vector", vector)
    return Parsed("fields", value)


_STRINGS: tuple[tuple[Kind, str], ...] = (("label", "label"), ("text", "text"))


def kind_of_both(a: Parsed, b: Parsed) -> Kind:
    """As what two results are compared."""
    if a.kind == b.kind:
        return a.kind
    return "value" if "value" in (a.kind, b.kind) else "fields"


def is_same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal."""
    if a.__class__ is b.__class__ and a.__class__ in _SIMPLE:
        return bool(a == b)
    return bool(canonical(a) == canonical(b))


def fields_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of an object by their JSON Pointers, those of objects in it too; an array is one
    value."""
    if isinstance(value, Mapping) and (value or not path):
        for name, inner in value.items():
            step = name.replace("~", "~0").replace("/", "~1")
            yield from fields_of(inner, f"{path}/{step}")
    else:
        yield path, value


class FieldPair(NamedTuple):
    """A field of two results; `ABSENT` where one lacks it."""

    path: str
    a: Any
    b: Any

    @property
    def changed(self) -> bool:
        return (self.a is ABSENT) != (self.b is ABSENT) or not is_same(self.a, self.b)


def field_pairs(a: Any, b: Any) -> Iterator[FieldPair]:
    """Every field that either has."""
    of_a, of_b = dict(fields_of(a)), dict(fields_of(b))
    for path in {**of_a, **of_b}:
        yield FieldPair(path, of_a.get(path, ABSENT), of_b.get(path, ABSENT))
