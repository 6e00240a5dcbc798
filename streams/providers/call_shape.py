"""What is known of a task's calls before the first of them: what they take, and what their API
takes at most. Replies correct the first (`streams.policies.packing`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import orjson

from streams.codec.likely_tokens import ASCII_CHARACTERS, likely_tokens
from streams.core.limits import Limits
from streams.model import Item
from streams.operations.exchange import Operation, Prompt
from streams.operations.expected_answers import ExpectedRecord
from streams.policies.packing import CallShape
from streams.providers.port import CallFacts

TURN_TOKENS: Final = 4
"""Around one turn of a conversation."""
REPLY_TOKENS: Final = 14 / ASCII_CHARACTERS
"""Around the records of a reply."""
SAMPLE: Final = 11
"""Items by which the frame of each is told; most microbatches have ids of two digits."""

_ITEM: Final = Item(None, "", None, None, (), "", 0, 0, 0, None)


def fitted(limits: Limits, operation: Operation, facts: CallFacts) -> Limits:
    """The task's limits with the shape of its calls, and within what its API takes."""
    max_items, max_tokens = limits.max_items, limits.max_tokens
    if facts.max_items is not None:
        max_items = min(max_items, facts.max_items)
    if facts.max_tokens is not None:
        max_tokens = facts.max_tokens if max_tokens is None else min(max_tokens, facts.max_tokens)
    shape = call_shape(operation, facts)
    return replace(limits, max_items=max_items, max_tokens=max_tokens, call_shape=shape)


def call_shape(operation: Operation, facts: CallFacts) -> CallShape:
    request = operation.request([_ITEM])
    if not isinstance(request, Prompt):
        return CallShape()
    several = operation.request([_ITEM] * SAMPLE)
    assert isinstance(several, Prompt)
    one = likely_tokens(request.user)
    frame = (likely_tokens(several.user) - one) / (SAMPLE - 1)
    room = operation.answer_room
    if room is not None:
        room = room._replace(frame=room.frame + facts.thinking_tokens)
    return CallShape(
        overhead=constant_tokens(request) + one - frame,
        frame=frame,
        answer=ExpectedRecord(request.schema).tokens(""),
        room=room,
    )


def constant_tokens(prompt: Prompt) -> float:
    """What every call of a task has beside the text of its turn: the system's text, the schema, the
    frame of a turn."""
    schema = orjson.dumps({"format": {"type": "json_schema", "schema": dict(prompt.schema)}})
    return likely_tokens(prompt.system) + len(schema) / ASCII_CHARACTERS + TURN_TOKENS
