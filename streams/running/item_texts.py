"""The text of an item of a door: of a string, a record of Kafka, a JSON object or a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.codec.pointers import Text
from streams.model import Item


def text_of(item: Any, text: Text | None) -> str:
    """`text`: the pointer or template of objects; None: the item is a string, or a record with the
    text of its task. Raises MissingError or ValueError for an item without a text."""
    if text is not None:
        return text.find(plain_json(item.value if isinstance(item, Item) else item))
    if isinstance(item, Item):
        return item.text
    if not isinstance(item, str):
        raise ValueError(f"the item is a {type(item).__name__}, not a string: give text=")
    return item


def plain_json(item: Any) -> Any:
    """An item as JSON has it: a pydantic model and any mapping as a dict."""
    if isinstance(item, dict):
        return item
    dump = getattr(item, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    return dict(item) if isinstance(item, Mapping) else item
