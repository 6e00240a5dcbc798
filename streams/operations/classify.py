"""Classification: one label of a fixed set per item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

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
from streams.operations.spelling import Words

_FRAME_TOKENS_EACH: Final = 24
"""Output tokens of a record around its label: braces, names, the id."""


class Classify:
    """Gives each item one of `labels`; its result is `{"label": str}`, spelled as configured.

    `labels`: at least two, distinct. `instructions`: what to judge, in the user's own words. A
    label in another case or Unicode form, or with blanks around it, is accepted, unless two labels
    differ only in that.
    """

    def __init__(self, labels: Sequence[str], instructions: str = "") -> None:
        self._system = system_text(
            "You label texts: every item gets the one label that fits it best.",
            instructions.strip(),
            f"Labels: {orjson.dumps(list(labels)).decode()}",
        )
        self._schema = reply_schema("label", {"type": "string", "enum": list(labels)}, {})
        longest = max(len(label.encode()) for label in labels)
        self.answer_room = answer_room(_FRAME_TOKENS_EACH + longest)
        self._labels = Words(labels)

    def request(self, items: Sequence[Item]) -> Prompt:
        tokens = self.answer_room.tokens(len(items))
        return Prompt(self._system, user_turn(items), self._schema, tokens)

    def read(self, items: Sequence[Item], response: Response) -> list[Answer]:
        return read_answers(len(items), response, self._result)

    def describe(self) -> dict[str, Any]:
        return {
            "prompt": constant_text(self._system),
            "schema": self._schema,
            "settings": {"operation": "classify"},
        }

    def _result(self, record: Mapping[str, Any]) -> Answer:
        written = record.get("label")
        if not isinstance(written, str):
            return Unanswered.INVALID
        label = self._labels.find(written)
        return Unanswered.INVALID if label is None else {"label": label}
