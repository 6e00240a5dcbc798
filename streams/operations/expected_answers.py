"""How long an answer will be, as far as its schema says it. Pure.

Enums have their mean length, numbers and booleans a typical one. A text that is written freely is
taken to be as long as the first sentence of its item where its name says so (`text`, `summary`),
else a few words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from streams.codec.likely_tokens import ASCII_CHARACTERS, likely_tokens

FRAME_CHARACTERS: Final = 11.5
"""Of a record beside its members: braces, the id of one or two digits, a comma."""
SENTENCE_CHARACTERS: Final = 200
PHRASE_CHARACTERS: Final = 10
FORMAT_CHARACTERS: Final = 16
NUMBER_CHARACTERS: Final = 2
LIST_VALUES: Final = 1.5

_SENTENCES: Final = frozenset(
    ("text", "summary", "answer", "title", "reason", "explanation", "description", "result")
)
_SENTENCE_END: Final = re.compile(r"[.!?…](?=\s|$)|[。！？]|\n\s*\n")


class ExpectedRecord:
    """The record of one item in a reply: `{"id": ..., ...}`. `schema`: of the whole reply, as
    `streams.operations.prompts.reply_schema` makes it."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        record = schema["properties"]["results"]["items"]
        parts = {name: part for name, part in record["properties"].items() if name != "id"}
        self._sentences = self._phrases = 0
        self._fixed = FRAME_CHARACTERS / ASCII_CHARACTERS + self._members(parts)

    def tokens(self, text: str) -> float:
        """Of the answer to an item with this text."""
        tokens = self._fixed
        if self._sentences:
            tokens += self._sentences * likely_tokens(first_sentence(text))
        if self._phrases and text:
            start = text[: 10 * SENTENCE_CHARACTERS]
            each = min(PHRASE_CHARACTERS, len(text)) * likely_tokens(start) / len(start)
            tokens += self._phrases * each
        return tokens

    def _members(self, properties: Mapping[str, Any]) -> float:
        """Of the members of an object, with their commas."""
        return sum(
            likely_tokens(f'"{name}":,') + self._value(schema, name)
            for name, schema in properties.items()
        )

    def _value(self, schema: Any, name: str) -> float:
        schema = self._resolved(schema)
        if "const" in schema:
            return _written(schema["const"])
        if values := schema.get("enum"):
            return sum(map(_written, values)) / len(values)
        for word in ("anyOf", "oneOf"):
            if options := schema.get(word):
                real = [each for each in map(self._resolved, options) if each.get("type") != "null"]
                return self._value(real[0] if real else {}, name)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._members(schema.get("properties", {})) + 1 / ASCII_CHARACTERS
        if kind == "array":
            return 2 / ASCII_CHARACTERS + LIST_VALUES * (
                self._value(schema.get("items", {}), name) + 1 / ASCII_CHARACTERS
            )
        return self._scalar(kind, schema, name)

    def _scalar(self, kind: Any, schema: Mapping[str, Any], name: str) -> float:
        if kind in ("number", "integer"):
            return NUMBER_CHARACTERS / ASCII_CHARACTERS
        if kind in ("boolean", "null"):
            return 4.5 / ASCII_CHARACTERS
        if "format" in schema or "pattern" in schema:
            return (FORMAT_CHARACTERS + 2) / ASCII_CHARACTERS
        if name in _SENTENCES:
            self._sentences += 1
        else:
            self._phrases += 1
        return 2 / ASCII_CHARACTERS

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            target: Any = self._root
            for step in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target.get(step.replace("~1", "/").replace("~0", "~"), {})
            return self._resolved(target)
        return schema


def first_sentence(text: str) -> str:
    """At most `SENTENCE_CHARACTERS` of it."""
    start = text[: 10 * SENTENCE_CHARACTERS].strip()
    end = _SENTENCE_END.search(start)
    return (start[: end.end()] if end else start)[:SENTENCE_CHARACTERS]


def _written(value: Any) -> float:
    return likely_tokens(orjson.dumps(value).decode())
