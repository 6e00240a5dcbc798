"""Reads a Messages request: its text for counting, and the items in its last user turn.

The prompt of a microbatch holds a JSON array of objects with an "id" and a "text". Anything else
is a prompt without items, answered as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from streams.simulator.tokens import TOKENS_PER_TURN, estimate

_ARRAY: Final = re.compile(r"\[\s*\{")
_SCANNER: Final = json.JSONDecoder()
_CANDIDATES: Final = 16
"""How many openings of an array are tried in a text that is not one."""


class PromptItem(NamedTuple):
    """One item of a microbatch as the prompt gives it. `id` keeps its JSON type."""

    id: Any
    text: str


def blocks(content: Any) -> Iterator[Mapping[str, Any]]:
    """The content blocks of a turn or of `system`; a bare string is one text block."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict):
                yield block


def text_of(content: Any) -> str:
    """The text of a turn or of `system`, its blocks joined by line breaks."""
    if isinstance(content, str):
        return content
    return "\n".join(
        block["text"] for block in blocks(content) if isinstance(block.get("text"), str)
    )


def last_user_text(body: Mapping[str, Any]) -> str:
    """The text of the last user turn; empty where there is none."""
    messages = body.get("messages")
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def items_in(text: str) -> list[PromptItem]:
    """The items of the longest JSON array of objects with an "id"; empty where there is none."""
    first = text.find("[")
    if first < 0:
        return []
    found = _items(_whole_array(text, first))
    if found is not None:
        return found
    best: list[PromptItem] = []
    position = 0
    for _ in range(_CANDIDATES):
        match = _ARRAY.search(text, position)
        if match is None:
            break
        try:
            value, position = _SCANNER.raw_decode(text, match.start())
        except ValueError:
            position = match.end()
            continue
        found = _items(value)
        if found is not None and len(found) >= len(best):
            best = found
    return best


def _whole_array(text: str, first: int) -> Any:
    """The array between the first bracket and the last: the usual shape, and the fast way."""
    try:
        return orjson.loads(text[first : text.rfind("]") + 1])
    except ValueError:
        return None


def _items(value: Any) -> list[PromptItem] | None:
    if not isinstance(value, list) or not value:
        return None
    items = []
    for entry in value:
        if not isinstance(entry, dict) or "id" not in entry:
            return None
        text = entry.get("text")
        items.append(PromptItem(entry["id"], text if isinstance(text, str) else _rest(entry)))
    return items


def _rest(entry: Mapping[str, Any]) -> str:
    """The text of an item that has no "text": its other members as JSON."""
    rest = {name: value for name, value in entry.items() if name != "id"}
    return orjson.dumps(rest).decode()


def input_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of the whole request: system, turns, tools and the answer's schema."""
    tokens = estimate(text_of(body.get("system", "")))
    messages: Sequence[Any] = body.get("messages") or ()
    for message in messages:
        if isinstance(message, dict):
            tokens += TOKENS_PER_TURN + _content_tokens(message.get("content"))
    for part in (body.get("tools"), body.get("output_config")):
        if part:
            tokens += len(orjson.dumps(part)) * 2 // 7
    return max(tokens, 1)


def _content_tokens(content: Any) -> int:
    if isinstance(content, str):
        return estimate(content)
    tokens = 0
    for block in blocks(content):
        text = block.get("text")
        tokens += estimate(text) if isinstance(text, str) else len(orjson.dumps(block)) * 2 // 7
    return tokens
