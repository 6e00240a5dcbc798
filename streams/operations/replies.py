"""Reads a model's reply: one answer per item, matched by id, whatever the model wrote.

What becomes of each kind of bad reply is the table in docs/operations.md; the tests hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from streams.errors import CallError, Fault
from streams.model import Answer, Unanswered
from streams.operations.exchange import Completion, Response
from streams.operations.salvage import records_in

ReadRecord = Callable[[Mapping[str, Any]], Answer]
"""Takes one record of a reply to its item's result, or to `Unanswered.INVALID`."""


def read_answers(count: int, response: Response, read: ReadRecord) -> list[Answer]:
    """One answer per item, in the items' order: the ids "1" to `count` stand for their places.

    An item is answered where its id comes exactly once with a valid record, or several times with
    the same. Raises CallError (without usage) for a reply that is of no use to any item: REFUSED,
    TOO_LARGE, TRUNCATED, BAD_REPLY.
    """
    if not isinstance(response, Completion):
        raise CallError(Fault.BAD_REPLY, "the provider answered with vectors, not with text")
    text, cut = _text_of(response)
    records = records_in(text)
    if cut and not records:
        raise CallError(Fault.TRUNCATED, "the reply was cut at max_tokens before its first record")
    if records is None:
        raise CallError(Fault.BAD_REPLY, "the reply holds no JSON records")
    return _answers_by_id(count, records, read, Unanswered.CUT if cut else Unanswered.MISSING)


def _answers_by_id(
    count: int, records: Sequence[Any], read: ReadRecord, absent: Unanswered
) -> list[Answer]:
    answers: list[Answer] = [absent] * count
    places = _places(count)
    for record in records:
        if not isinstance(record, dict):
            continue
        place = places.get(_id_of(record))
        if place is None:  # an id that we did not give
            continue
        answer, before = read(record), answers[place]
        if before is absent or _agree(before, answer):
            answers[place] = answer
        else:
            answers[place] = Unanswered.INVALID
    return answers


def _text_of(completion: Completion) -> tuple[str, bool]:
    """The text of a reply, and whether it was cut at max_tokens."""
    reason = completion.stop_reason
    if reason == "refusal":
        raise CallError(Fault.REFUSED, "the model declined to answer")
    if reason == "model_context_window_exceeded":
        raise CallError(Fault.TOO_LARGE, "items and answers do not fit into the model's context")
    cut = reason == "max_tokens"
    blocks = completion.blocks if isinstance(completion.blocks, list) else []
    # By type, never by place: thinking may come first, and models learn new kinds of blocks.
    texts = [
        block["text"]
        for block in blocks
        if isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    ]
    text = "".join(texts)
    if not text.strip() and not cut:
        raise CallError(Fault.BAD_REPLY, "the reply has no text")
    return text, cut


@lru_cache(maxsize=256)
def _places(count: int) -> Mapping[str, int]:
    return {str(place + 1): place for place in range(count)}


def _id_of(record: Mapping[str, Any]) -> str:
    """The record's id as text: the schema asks for a string, a number is understood as well."""
    value = record.get("id")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def _agree(one: Answer, other: Answer) -> bool:
    if isinstance(one, Unanswered) or isinstance(other, Unanswered):
        return one is other
    # As JSON: to Python 1, 1.0 and True are equal.
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )
