"""What a client asks in these tests: microbatches of texts, and how it reads the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

HAIKU = "claude-haiku-5-5"
LABELS = ("positive", "negative", "neutral")


def schema_of(**record: Any) -> dict[str, Any]:
    """The schema {"results": [record with an id]}."""
    members = {"id": {"type": "string"}, **record}
    one = {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"results": {"type": "array", "items": one}},
        "required": ["results"],
        "additionalProperties": False,
    }


CLASSIFY = schema_of(label={"type": "string", "enum": list(LABELS)})


def turn(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The user turn of a microbatch: the texts as items with the ids "1" to "N"."""
    items = [{"id": str(number), "text": text} for number, text in enumerate(texts, 1)]
    text = (
        f"{orjson.dumps(items).decode()}\nReturn exactly one result per id, {len(texts)} results."
    )
    return [{"role": "user", "content": text}]


def microbatch(texts: Sequence[str], **changes: Any) -> dict[str, Any]:
    """The arguments of `messages.create` for a classification; `changes` replace or (None) drop."""
    asked: dict[str, Any] = {
        "model": HAIKU,
        "max_tokens": 1000,
        "thinking": {"type": "disabled"},
        "system": "Judge each item by itself.",
        "messages": turn(texts),
        "output_config": {"format": {"type": "json_schema", "schema": CLASSIFY}},
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


def text_of(message: Any) -> str:
    """The text blocks of a message, joined."""
    return "".join(block.text for block in message.content if block.type == "text")


def results_of(message: Any) -> list[dict[str, Any]]:
    """The records of a structured answer."""
    found: list[dict[str, Any]] = orjson.loads(text_of(message))["results"]
    return found


def texts(count: int) -> list[str]:
    return [f"The parcel number {number} came late. Twice." for number in range(1, count + 1)]
