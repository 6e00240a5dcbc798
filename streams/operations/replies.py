"""Reads a model's reply: one answer per item, matched by id, whatever the model wrote.

`records_in` finds the records, also in a text that is cut, fenced or wrapped in prose: linear in
its length, without recursion. Every record went through the JSON parser, so it can be written again
as JSON. What becomes of each kind of bad reply is the table in docs/operations.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from streams.codec.numbers import canonical
from streams.codec.strict_json import read_reply
from streams.errors import CallError, Fault
from streams.model import Answer, Unanswered
from streams.operations.exchange import Completion, Response

ReadRecord = Callable[[Mapping[str, Any]], Answer]
"""Turns one record of a reply into its item's result, or into `Unanswered.INVALID`."""

_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)
_RESULTS: Final = re.compile(r'"results"\s*:\s*\[')
_ARRAY: Final = re.compile(r"\[(?=\s*\{)")
_OBJECT: Final = re.compile(r"\{")

_MAX_OPENINGS: Final = 4
"""How many arrays to try: a reply that quotes its own form has two or three."""


def read_answers(count: int, response: Response, read: ReadRecord) -> list[Answer]:
    """One answer per item, in the items' order: the ids "1" to `count` stand for their places.

    An item is answered if its id comes exactly once with a valid record, or several times with the
    same one. Raises CallError (without usage) for a reply without a usable answer for any item:
    REFUSED, TOO_LARGE, TRUNCATED, BAD_REPLY.
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
        if place is None:  # an id that is not ours
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
    # By type, never by place: thinking may come first, and models get new kinds of blocks.
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
    """The record's id as text: the schema requires a string, a number is accepted too."""
    value = record.get("id")
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def _agree(one: Answer, other: Answer) -> bool:
    if isinstance(one, Unanswered) or isinstance(other, Unanswered):
        return one is other
    return bool(canonical(one) == canonical(other))  # to Python 1 and True are equal


def records_in(text: str) -> list[Any] | None:
    """The records of a reply in their order, of any JSON type; None: there are no records in it.

    A JSON reply: `{"results": [...]}`, a bare array, a single record, or any of these as a JSON
    string. Any other reply: the complete objects of the first array that has one with an id.
    """
    try:
        whole = read_reply(text)
    except ValueError:
        return _salvage(text)
    results = whole.get("results", whole) if isinstance(whole, dict) else whole
    if isinstance(results, list):
        return results
    if isinstance(results, str):  # JSON inside JSON: each round is shorter than the last
        return records_in(results)
    if isinstance(results, dict) and "id" in results:
        return [results]
    return None


def _salvage(text: str) -> list[Any] | None:
    empty = False
    for position in islice(_openings(text), _MAX_OPENINGS):
        records, nothing = _complete_objects(text, position)
        if any("id" in record for record in records):
            return records
        empty = empty or nothing
    lone = _OBJECT.search(text)
    if lone is not None:
        records, _ = _complete_objects(text, lone.start())
        if records and "id" in records[0]:
            return records
    return [] if empty else None


def _openings(text: str) -> Iterator[int]:
    """Where the elements of an array may begin: those of "results" first."""
    for pattern in (_RESULTS, _ARRAY):
        for match in pattern.finditer(text):
            yield match.end()


def _complete_objects(text: str, position: int) -> tuple[list[Any], bool]:
    """The objects that open and close from `position` on, up to the bracket that closes the array
    around them; and whether there was nothing before that bracket. A string without an end stops
    the search."""
    found: list[Any] = []
    empty = True
    depth = start = 0
    for match in _TOKEN.finditer(text, position):
        token = match[0]
        if token in "{[":
            if depth == 0:
                start, empty = match.start(), False
            depth += 1
        elif token in "}]":
            if depth == 0:
                return found, empty
            depth -= 1
            if depth == 0:
                found.extend(_objects(text[start : match.end()]))
        elif token == '"':
            break
    return found, False


def _objects(text: str) -> Iterator[Any]:
    try:
        value = read_reply(text)
    except ValueError:
        return
    if isinstance(value, dict):
        yield value
