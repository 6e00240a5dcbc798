"""POST /v1/messages and /v1/messages/count_tokens: from a request to the model's answer.

The steps: validate, count tokens, ask the cache and the limits, answer, play the script's fault
into the answer, cut at `max_tokens`, bill. The same steps, without limits, answer the requests of
a Message Batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams.simulator.cache import CacheTokens
from streams.simulator.calls import Call, Draft
from streams.simulator.catalogue import CLAUDE, Model, Tokens, cost_nano_usd
from streams.simulator.corruption import corrupt_records, corrupt_text, mark_content
from streams.simulator.encoder import READ_CHARACTERS
from streams.simulator.prompt import PromptItem, input_tokens, items_in, last_user_text
from streams.simulator.synthesis import Answer, Choose, by_hash, by_meaning, words
from streams.simulator.text_pieces import first_sentence
from streams.simulator.tokens import cut, estimate
from streams.simulator.validation import check_count_tokens, check_message
from streams.simulator.wire import RefusalError, Reply

if TYPE_CHECKING:
    from streams.simulator.script import Rule
    from streams.simulator.simulation import Simulation

_THINKING_TOKENS: Final = 24
_THINKING_TOKENS_PER_ITEM: Final = 2
_SIGNATURE: Final = "c2ltdWxhdGVk"


async def create(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/messages."""
    model = check_message(call.body, call.headers.get("anthropic-version", ""))
    now = simulation.now()
    tokens = call.input_tokens or input_tokens(call.body)
    if tokens > model.max_input:
        raise RefusalError(400, f"prompt is too long: {tokens} tokens > {model.max_input} maximum")
    cached = simulation.cache.use(call.body, model, now)
    counted = max(tokens - cached.read, 0)
    simulation.limits.admit(call, model.name, counted, now, simulation.wall())
    message = await answer(simulation, call, model, tokens, cached, rule)
    return Reply(200, orjson.dumps(message))


async def count_tokens(simulation: Simulation, call: Call, rule: Rule | None) -> Reply:
    """POST /v1/messages/count_tokens."""
    check_count_tokens(call.body)
    return Reply(200, orjson.dumps({"input_tokens": input_tokens(call.body)}))


async def answer(
    simulation: Simulation,
    call: Call,
    model: Model,
    tokens: int,
    cached: CacheTokens,
    rule: Rule | None,
) -> dict[str, Any]:
    """The message that answers `call`, with its tokens and cost noted there."""
    draft = await _compose(simulation, call, rule)
    max_tokens = call.body["max_tokens"]
    if rule is not None:
        mark_content(draft, rule)
    output = draft.thinking_tokens + estimate(draft.text)
    if rule is not None and rule.fault == "max_tokens":
        max_tokens = min(max_tokens, draft.thinking_tokens + rule.tokens_of(output))
    if output > max_tokens:
        draft.text = cut(draft.text, max(max_tokens - draft.thinking_tokens, 0))
        draft.thinking_tokens = min(draft.thinking_tokens, max_tokens)
        draft.stop_reason, output = "max_tokens", max_tokens
        draft.answered = 0
    written = cached.written_5m + cached.written_1h
    billed = Tokens(max(tokens - cached.read - written, 0), output, *cached)
    call.input_tokens, call.output_tokens = tokens, output
    call.cost_nano_usd = cost_nano_usd(model, billed)
    call.priced = model.input_price is not None
    call.answered = draft.answered
    return _message(call, draft, billed)


async def _compose(simulation: Simulation, call: Call, rule: Rule | None) -> Draft:
    """The answer's text: by the request's schema, or an extract if it has none."""
    prompt = last_user_text(call.body)
    thinking = _thinking_tokens(call.body, len(call.items))
    schema = schema_of(call.body)
    if schema is None:
        text = _plain(prompt, call.items)
        return Draft(text if rule is None else corrupt_text(text, rule), 0, thinking)
    plan = simulation.plans.of(schema)
    choose = await _chooser(simulation, plan.enums, call.items, prompt)
    value: Answer = plan.answer(prompt, call.items, choose, simulation.seed)
    answered = len(value.records) if call.items else 0
    if rule is not None:
        answered = corrupt_records(value, plan.record, call.items, rule, call.n)
    text = orjson.dumps(value.root).decode()
    return Draft(text if rule is None else corrupt_text(text, rule), answered, thinking)


async def _chooser(
    simulation: Simulation,
    enums: Sequence[Sequence[Any]],
    items: Sequence[PromptItem],
    prompt: str,
) -> Choose:
    """How enums are chosen for these items: by the encoder where there is one."""
    hashed = by_hash(simulation.seed)
    if simulation.encoder is None or not enums:
        return hashed
    texts = [item.text for item in items] or [prompt]
    names = [words(value) for values in enums for value in values]
    vectors = await simulation.encoder.vectors(
        [*names, *(text[:READ_CHARACTERS] for text in texts)]
    )
    return by_meaning(
        {**vectors, **{text: vectors[text[:READ_CHARACTERS]] for text in texts}}, hashed
    )


def _plain(prompt: str, items: Sequence[PromptItem]) -> str:
    """An answer in plain text: the first sentence of each item, or of the prompt."""
    if items:
        return "\n".join(f"{item.id}: {first_sentence(item.text)}" for item in items)
    return first_sentence(prompt) or "Nothing was asked."


def read_items(body: Mapping[str, Any]) -> list[PromptItem]:
    """The items of a request's last user turn."""
    return items_in(last_user_text(body))


def schema_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of the requested structured answer; None: plain text."""
    config = body.get("output_config")
    form = config.get("format") if isinstance(config, dict) else None
    schema = form.get("schema") if isinstance(form, dict) else None
    return schema if isinstance(schema, dict) else None


def _thinking_tokens(body: Mapping[str, Any], items: int) -> int:
    """The tokens that the model thinks before it answers: 0 if thinking is off, or not worth it."""
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind is None and not CLAUDE[body["model"]].thinks:
        return 0
    if kind in ("disabled", "between_tools"):
        return 0
    config = body.get("output_config")
    if isinstance(config, dict) and config.get("effort") == "low":
        return 0
    return _THINKING_TOKENS + _THINKING_TOKENS_PER_ITEM * items


def _message(call: Call, draft: Draft, billed: Tokens) -> dict[str, Any]:
    content = [*draft.before]
    if draft.thinking_tokens:
        content.append({"type": "thinking", "thinking": "", "signature": _SIGNATURE})
    if draft.text:
        content.append({"type": "text", "text": draft.text})
    return {
        "id": "msg_" + call.request_id[4:],
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": content,
        "stop_reason": draft.stop_reason,
        "stop_sequence": None,
        "stop_details": draft.stop_details,
        "usage": {
            "input_tokens": billed.input,
            "output_tokens": billed.output,
            "cache_creation_input_tokens": billed.written_5m + billed.written_1h,
            "cache_read_input_tokens": billed.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": billed.written_5m,
                "ephemeral_1h_input_tokens": billed.written_1h,
            },
            "output_tokens_details": {"thinking_tokens": draft.thinking_tokens},
            "service_tier": "standard",
        },
    }
