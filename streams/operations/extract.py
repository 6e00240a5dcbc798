"""Extraction: one object of the user's JSON Schema per item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streams.codec.exact_schema import exact
from streams.codec.strict_json import write
from streams.errors import ConfigError, ItemError
from streams.model import Answer, Item, Unanswered
from streams.operations.exchange import Prompt, Response
from streams.operations.prompts import (
    answer_room,
    constant_text,
    reply_schema,
    system_text,
    user_turn,
)
from streams.operations.replies import read_answers
from streams.operations.schema import prepare
from streams.operations.shapes import resolve
from streams.operations.spelling import Words

_TOKENS_EACH: Final = 512
_TOKENS_AT_LEAST: Final = 4_096

_MAX_LEVELS: Final = 64
"""How many levels of a schema to follow; references may nest, but never recurse (`prepare`)."""


class Extract:
    """Gives each item an object that keeps `schema`; its result is that object.

    `schema`: JSON Schema 2020-12 of an object. What the API cannot enforce is checked on the
    answer; an answer that breaks it is `Unanswered.INVALID`.
    `instructions`: what to look for, in the user's own words.
    Raises ConfigError where the schema cannot be sent, each problem starting with `place`.
    `example`: an answer that passes; None: it has a pattern that none was found for.
    """

    def __init__(
        self, schema: Mapping[str, Any], instructions: str = "", *, place: str = "schema"
    ) -> None:
        prepared = prepare(schema)
        if prepared.problems:
            raise ConfigError([f"{place}: {problem}" for problem in prepared.problems])
        self._system = system_text(
            "You extract data: every item gets one object with what its text says. "
            "Take nothing from other items and invent nothing.",
            instructions.strip(),
        )
        self.example = prepared.example
        self.answer_room = answer_room(_TOKENS_EACH, _TOKENS_AT_LEAST)
        self._schema = reply_schema("data", prepared.schema, prepared.defs)
        self._request_schema = schema
        self._validator = exact()(schema)

    @property
    def properties(self) -> dict[str, Any]:
        """The members that an answer may have, in their order, each with its schema as it is sent;
        where the schema has alternatives, those of all."""
        data = self._schema["properties"]["results"]["items"]["properties"]["data"]
        found: dict[str, Any] = {}
        for shape in data.get("anyOf", [data]):
            if "$ref" in shape:
                shape = self._schema["$defs"][shape["$ref"].rpartition("/")[2]]
            for name, part in shape.get("properties", {}).items():
                found.setdefault(name, part)
        return found

    def request(self, items: Sequence[Item]) -> Prompt:
        tokens = self.answer_room.tokens(len(items))
        return Prompt(self._system, user_turn(items), self._schema, tokens)

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        return read_answers(len(items), response, self._result)

    def describe(self) -> dict[str, Any]:
        return {
            "prompt": constant_text(self._system),
            "schema": self._request_schema,
            "settings": {"operation": "extract"},
        }

    def _result(self, record: Mapping[str, Any]) -> Answer:
        data = record.get("data")
        if not isinstance(data, dict) or not _writable(data):
            return Unanswered.INVALID
        if self._valid(data):
            return data
        data = respelled(self._request_schema, data)
        return data if self._valid(data) else Unanswered.INVALID

    def _valid(self, data: Any) -> bool:
        try:
            return bool(self._validator.is_valid(data))
        except Exception:  # a comparison of deep values may exhaust the stack
            return False


def _writable(data: Any) -> bool:
    """Whether the result can be written inside an envelope: the JSON writer goes 254 levels deep,
    its reader 1,024."""
    try:
        write([[[[data]]]])
    except ItemError:
        return False
    return True


def respelled(schema: Mapping[str, Any], data: Any) -> Any:
    """`data` in the spelling of the schema: models change the case of an enum's values. A string
    that differs from one value of its enum in case, Unicode form and outer blanks alone becomes
    that value."""
    return _respelled(schema, schema, data, 0)


def _respelled(root: Any, schema: Any, data: Any, level: int) -> Any:
    if not isinstance(schema, dict) or level > _MAX_LEVELS:
        return data
    if isinstance(schema.get("$ref"), str):
        data = _respelled(root, resolve(root, schema["$ref"]), data, level + 1)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for inner in schema.get(keyword, ()):
            data = _respelled(root, inner, data, level + 1)
    if isinstance(data, str):
        return _spelling(schema, data)
    if isinstance(data, dict):
        properties = schema.get("properties", {})
        return {
            name: _respelled(root, properties.get(name), value, level + 1)
            for name, value in data.items()
        }
    if isinstance(data, list) and "items" in schema:
        return [_respelled(root, schema["items"], value, level + 1) for value in data]
    return data


def _spelling(schema: Mapping[str, Any], text: str) -> str:
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
    word = Words([value for value in values if isinstance(value, str)]).find(text)
    return text if word is None else word
