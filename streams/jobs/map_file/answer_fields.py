"""The new columns of an answer: their names, and their values as JSON. Pure.

An answer travels as the bytes that the journal holds, `{"label":"good"}`; every value of the output
is made of them, so that a resumed run writes what an undisturbed one does.
"""

from __future__ import annotations

import binascii
from collections.abc import Container
from typing import Any, Final, Literal, NamedTuple

import orjson

from streams.codec.results import written
from streams.codec.strict_json import read
from streams.codec.vectors import VECTOR, Layout, render_vector, vector_numbers
from streams.errors import ItemError
from streams.operations.exchange import Operation
from streams.operations.extract import Extract

Kind = Literal["string", "integer", "number", "boolean", "json", "vector"]
"""What a Parquet column holds; "json": anything, as JSON."""

NULL: Final = b"null"
_KINDS: Final[tuple[Kind, ...]] = ("string", "integer", "number", "boolean")


class Field(NamedTuple):
    """One new column. `member`: its name in the answer."""

    name: str
    kind: Kind
    member: str


class Fields:
    """The new columns of one operation, in their order.

    `embedding`: whether a vector is numbers or base64. `prefix`: what stands before each name.
    """

    def __init__(self, operation: Operation, kind: str, embedding: Layout, prefix: str) -> None:
        self._embedding = embedding
        self.each = [
            field._replace(name=prefix + field.name)
            for field in _fields(operation, kind, embedding)
        ]
        self.names = [field.name for field in self.each]
        self.empty = [NULL] * len(self.each)

    def answer(self, result: Any) -> bytes:
        """A result as it stands in the journal: a JSON object. Raises ItemError `invalid_result`
        for one that JSON cannot hold."""
        if VECTOR in result:
            return render_vector(result[VECTOR], "base64")
        return written(result)

    def outcome(self, result: Any) -> tuple[bytes | None, str | None]:
        """A result or an ItemError as it stands in the journal: the answer, or the error."""
        if isinstance(result, orjson.Fragment):  # an answer of before, as its bytes
            result = read(orjson.dumps(result))
        if not isinstance(result, ItemError):
            try:
                return self.answer(result), None
            except ItemError as error:
                result = error
            except ValueError as error:
                result = ItemError("invalid_result", str(error))
        return None, str(result)

    def values(self, answer: bytes | None) -> list[bytes]:
        """The value of each new column, as JSON; None, no answer: all null."""
        if answer is None:
            return self.empty
        document = read(answer)
        if self.each[0].kind == "vector":
            return [vector_numbers(binascii.a2b_base64(document["embedding_b64"]))]
        return [
            written(document[field.member]) if field.member in document else NULL
            for field in self.each
        ]

    def clash(self, names: Container[str]) -> str | None:
        """What is wrong where the input has one of the new columns already; None: nothing."""
        for name in self.names:
            if name in names:
                return (
                    f'has a "{name}" of its own, which is the name of a new column:'
                    " --prefix P puts P before the new names"
                )
        return None


def _fields(operation: Operation, kind: str, embedding: Layout) -> list[Field]:
    if isinstance(operation, Extract):
        return [Field(name, _kind(part), name) for name, part in operation.properties.items()]
    if kind == "embed":
        if embedding == "base64":
            return [Field("embedding_b64", "string", "embedding_b64")]
        return [Field("embedding", "vector", "embedding_b64")]
    if kind == "generate":  # "text" is what most inputs call their own
        return [Field("generated_text", "string", "text")]
    return [Field("label", "string", "label")]


def _kind(schema: Any) -> Kind:
    """Null may stand in any column."""
    types = schema.get("type") if isinstance(schema, dict) else None
    names = set(types) if isinstance(types, list) else {types}
    names.discard("null")
    values = schema.get("enum") if isinstance(schema, dict) else None
    if names == {None} and values and all(isinstance(value, str | None) for value in values):
        return "string"
    return next((kind for kind in _KINDS if names == {kind}), "json")
