"""What calls would take, without making one: the requests are those that would be sent.

Tokens are counted by `likely_tokens`; what an answer takes is what its schema says
(`streams.operations.expected_answers`). Both are corrected by what results of the same task really
took, where there are some. A call takes the time that `Pace` says, as many at once as the task may
make, within its limits.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, NamedTuple

from streams.codec.likely_tokens import likely_tokens
from streams.codec.records import estimate_tokens, text_bytes
from streams.model import Item, Usage, added
from streams.operations import make_operation
from streams.operations.exchange import Prompt
from streams.operations.expected_answers import ExpectedRecord
from streams.providers import has_batches, task_price
from streams.providers.anthropic import message_params, traits
from streams.providers.call_shape import REPLY_TOKENS, constant_tokens
from streams.providers.prices import claude_usage, voyage_usage
from streams.settings import TaskSettings

BATCH_S: Final = 3600.0
BATCH_REQUESTS: Final = 200_000
"""Most batches end within an hour; so many requests may wait at once."""
MAX_OPEN: Final = 10_000
"""Calls that are open at once, one for each call key; then the oldest is closed."""


class Pace(NamedTuple):
    """A call takes `call_s`, and a second more for each `tokens_per_s` that it writes."""

    call_s: float
    tokens_per_s: float


PACES: Final = {"anthropic": Pace(1.0, 100.0), "voyage": Pace(0.5, 100.0)}
OTHER_PACE: Final = Pace(1.0, 100.0)


class Correction(NamedTuple):
    """What tokens really were, as a part of what was estimated."""

    input: float = 1.0
    output: float = 1.0


NO_CORRECTION: Final = Correction()


class CallTokens(NamedTuple):
    """`cached`: the part of the input that is read from the prompt cache, or written to it."""

    input: float
    output: float
    cached: float = 0.0


class CallModel:
    """Estimates one call at a time. What a function or a pipeline takes, nobody knows."""

    def __init__(self, task: TaskSettings) -> None:
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
    cached = likely_tokens(prompt.system) if isinstance(params["system"], list) else 0.0
    return CallTokens(constant_tokens(prompt), 0.0, cached)


def _item(text: str) -> Item:
    return Item(None, text, None, None, (), "", 0, 0, 0, None)


@dataclass(slots=True)
class _OpenCall:
    texts: list[str] = field(default_factory=list)
    tokens: int = 0
    bytes: int = 0


class Estimate:
    """Adds up calls. `items`: that would be asked about."""

    def __init__(self, task: TaskSettings, correction: Correction = NO_CORRECTION) -> None:
        self._task = task
        self._model = CallModel(task)
        self._correction = correction
        price = task_price(task)
        self._batch_share = 0.5 if price is None else price.batch
        self._pace = PACES.get(task.provider, OTHER_PACE)
        self.items = self.calls = 0
        self._input = self._output = 0
        self._cost: int | None = 0
        self._seconds = 0.0
        self._open: dict[Hashable, _OpenCall] = {}

    def add(self, text: str, key: Hashable = None) -> None:
        """One more item, in the call that is open for its call key or in the next."""
        batch = self._task.batch
        tokens, size = estimate_tokens(text), text_bytes(text)
        if tokens > batch.max_tokens or size > batch.max_bytes:
            return  # it would be refused before any call
        call = self._open.get(key)
        if call is not None and (
            len(call.texts) >= batch.max_items
            or call.tokens + tokens > batch.max_tokens
            or call.bytes + size > batch.max_bytes
        ):
            self._count(self._open.pop(key).texts)
            call = None
        if call is None:
            if len(self._open) >= MAX_OPEN:
                self._count(self._open.pop(next(iter(self._open))).texts)
            call = self._open[key] = _OpenCall()
        call.texts.append(text)
        call.tokens += tokens
        call.bytes += size
        self.items += 1

    def close_calls(self) -> None:
        """There are no more items."""
        for call in self._open.values():
            self._count(call.texts)
        self._open.clear()

    def _count(self, texts: list[str]) -> None:
        estimated = self._model.tokens(texts)
        tokens = round(estimated.input * self._correction.input)
        output = round(estimated.output * self._correction.output)
        cached = round(estimated.cached * self._correction.input)
        usage = _usage(self._task, tokens, output, cached, is_first=not self.calls)
        self.calls += 1
        self._input += tokens
        self._output += output
        self._cost = added(self._cost, usage.cost_nano_usd)
        self._seconds += self._pace.call_s + output / self._pace.tokens_per_s

    def summary(self, times: float = 1.0) -> dict[str, Any]:
        """As `replay --dry-run` has it. `times`: the whole is so many times what was added.
        `batch`: None: the provider has none."""
        calls = ceil(self.calls * times)
        tokens, output = round(self._input * times), round(self._output * times)
        cost = None if self._cost is None else self._cost * times / 1e9
        return {
            "items": round(self.items * times),
            "calls": calls,
            "input_tokens": tokens,
            "output_tokens": output,
            "live": {
                "cost_usd": _rounded(cost),
                "time_s": round(self._live_s(calls, tokens, output, times), 1),
            },
            "batch": self._batch(cost, calls) if has_batches(self._task) else None,
        }

    def _batch(self, cost: float | None, calls: int) -> dict[str, Any]:
        return {
            "cost_usd": None if cost is None else _rounded(cost * self._batch_share),
            "time_s": BATCH_S * ceil(calls / BATCH_REQUESTS),
        }

    def _live_s(self, calls: int, tokens: int, output: int, times: float) -> float:
        """By the calls at once, or by the tightest limit of the account."""
        limits = self._task.limits
        at_once = min(self._task.calls.max_in_flight, max(calls, 1))
        needs = [self._seconds * times / at_once]
        for amount, per_minute in (
            (calls, limits.requests_per_minute),
            (tokens, limits.input_tokens_per_minute),
            (output, limits.output_tokens_per_minute),
        ):
            if per_minute is not None:
                needs.append(60 * amount / per_minute)
        if limits.budget_usd_per_hour and self._cost is not None:
            needs.append(3600 * self._cost * times / 1e9 / limits.budget_usd_per_hour)
        return max(needs)


def _usage(task: TaskSettings, tokens: int, output: int, cached: int, *, is_first: bool) -> Usage:
    """As a reply would say it."""
    price = task_price(task)
    if task.provider == "voyage":
        return voyage_usage(price, {"total_tokens": tokens})
    if task.provider != "anthropic":
        return Usage(tokens, output, None if price is None else price.nano_usd(tokens, output))
    kind = "cache_creation_input_tokens" if is_first else "cache_read_input_tokens"
    counts = {"input_tokens": tokens - cached, "output_tokens": output, kind: cached}
    return claude_usage(price, counts)


def _rounded(cost: float | None) -> float | None:
    return None if cost is None else round(cost, 9)
