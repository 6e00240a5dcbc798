"""Puts the values of enums back into the spelling of the schema: models change their case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.operations.references import resolve

_DEEPEST: Final = 64
"""Levels of a schema that are followed; references may nest, but never recurse (`prepare`)."""


def respelled(schema: Mapping[str, Any], data: Any) -> Any:
    """`data` with each string that equals a value of its enum but for case and surrounding blanks
    replaced by that value. What the schema says nothing of stays as it is."""
    return _respelled(schema, schema, data, 0)


def _respelled(root: Any, schema: Any, data: Any, level: int) -> Any:
    if not isinstance(schema, dict) or level > _DEEPEST:
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
    if text in values:
        return text
    folded = text.strip().casefold()
    fitting = [v for v in values if isinstance(v, str) and v.strip().casefold() == folded]
    return fitting[0] if len(fitting) == 1 else text
