"""What a call is likely to take, without making it: its request is the one that would be sent.

Tokens are counted by `likely_tokens`; what an answer takes is what its schema says
(`streams.operations.expected_answers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from streams.codec.likely_tokens import ASCII_CHARACTERS, likely_tokens
from streams.codec.records import estimate_tokens
from streams.model import Item
from streams.operations import make_operation
from streams.operations.exchange import Prompt
from streams.operations.expected_answers import ExpectedRecord
from streams.policies.call_costs import CostLine
from streams.providers.anthropic import message_params, traits
from streams.providers.prices import Price
from streams.providers.registry import Task

TURN_TOKENS: Final = 4
"""Around one turn of a conversation."""
REPLY_TOKENS: Final = 14 / ASCII_CHARACTERS
"""Around the records of a reply."""

SAMPLE: Final = "A text of some length, to see what an item takes for each of its tokens. " * 10


class CallTokens(NamedTuple):
    """`cached`: the part of the input that is read from the prompt cache, or written to it."""

    input: float
    output: float
    cached: float = 0.0


class CallModel:
    """Estimates one call at a time. What a function or a pipeline takes, nobody knows."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._operation = None if task.operation == "custom" else make_operation(task)
        self._constants: CallTokens | None = None
        self._record: ExpectedRecord | None = None

    def tokens(self, texts: Sequence[str]) -> CallTokens:
        """Of the call for items with these texts, at least one."""
        if self._operation is None:
            return CallTokens(0.0, 0.0)
        request = self._operation.request([_item(text) for text in texts])
        if not isinstance(request, Prompt):
            return CallTokens(sum(map(likely_tokens, request.texts)), 0.0)
        if self._constants is None or self._record is None:
            self._constants = _constants(self._task.model, request)
            self._record = ExpectedRecord(request.schema)
        user = likely_tokens(request.user)
        answers = sum(map(self._record.tokens, texts))
        return CallTokens(
            self._constants.input + user, REPLY_TOKENS + answers, self._constants.cached
        )


def _constants(model: str, prompt: Prompt) -> CallTokens:
    """What every call of the task has: the system's text, the schema, the frame of a turn."""
    params = message_params(model, traits(model), prompt)
    system = likely_tokens(prompt.system)
    schema = len(orjson.dumps(params["output_config"])) / ASCII_CHARACTERS
    cached = system if isinstance(params["system"], list) else 0.0
    return CallTokens(system + schema + TURN_TOKENS, 0.0, cached)


def _item(text: str) -> Item:
    return Item(None, text, None, None, (), "", 0, 0, 0, None)


def cost_line(task: Task, price: Price) -> CostLine:
    """What the task's calls cost by their number of items and of their texts' tokens, before any
    reply. Nothing is taken for cached."""
    model = CallModel(task)
    one, two, long = (model.tokens(texts) for texts in ([""], ["", ""], [SAMPLE]))
    item, base = _cost(price, one), _cost(price, two)
    per_item = base - item
    per_token = (_cost(price, long) - item) / estimate_tokens(SAMPLE)
    return CostLine(item - per_item, per_item, per_token)


def _cost(price: Price, tokens: CallTokens) -> float:
    return (tokens.input * price.input + tokens.output * price.output) / 1000
