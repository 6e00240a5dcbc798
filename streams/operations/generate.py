"""Generation: one text per item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

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

_TOKENS_EACH: Final = 1_024
_TOKENS_AT_LEAST: Final = 8_192
"""A microbatch of few items may need more for each: a reply that was cut is asked again in
halves."""


class Generate:
    """Writes one text per item as `instructions` say; its result is `{"text": str}`."""

    def __init__(self, instructions: str) -> None:
        self._system = system_text(
            "You write texts: every item gets one, written from that item alone.",
            instructions.strip(),
        )
        self._schema = reply_schema("text", {"type": "string"}, {})
        self.answer_room = answer_room(_TOKENS_EACH, _TOKENS_AT_LEAST)

    def request(self, items: Sequence[Item]) -> Prompt:
        tokens = self.answer_room.tokens(len(items))
        return Prompt(self._system, user_turn(items), self._schema, tokens)

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        return read_answers(len(items), response, _result)

    def describe(self) -> dict[str, Any]:
        return {
            "prompt": constant_text(self._system),
            "schema": self._schema,
            "settings": {"operation": "generate"},
        }


def _result(record: Mapping[str, Any]) -> Answer:
    text = record.get("text")
    return {"text": text} if isinstance(text, str) else Unanswered.INVALID
