"""Each row of `streams.operations.bad_replies`, from the reply to the outcome of every item.

Four items share a call; the reply is spoilt where it speaks of `a2`, or as a whole. The operation
is the real one, and so is the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import ceil, log2
from typing import Any

import pytest

from streams.core import Paused
from streams.core.call import Call
from streams.errors import CallError, Fault
from streams.model import Unanswered
from streams.operations import Classify, Completion, Embed, Extract, Operation, Response, Vectors
from streams.operations.bad_replies import ROWS, Row
from streams.providers.voyage import vectors_of
from tests.core.scenario import Scenario, words
from tests.operations.conftest import items_of

FOUR, BAD = words("a", 4), "a2"

Spoil = Callable[[list[dict[str, Any]], int], Response]
"""Takes the good records of a reply, and the place of the one for `a2`, to a spoilt reply."""


def said(found: Any, reason: Any = "end_turn") -> Completion:
    """A reply with these records, or this text."""
    text = found if isinstance(found, str) else json.dumps({"results": found})
    return Completion([{"type": "text", "text": text}], reason)


def with_members(**members: Any) -> Spoil:
    """The record of `a2` with these members instead of its own."""
    return lambda good, n: said([*good[:n], {**good[n], **members}, *good[n + 1 :]])


def with_vector(vector: Any) -> Spoil:
    return lambda good, n: Vectors([*_vectors(good[:n]), vector, *_vectors(good[n + 1 :])])


def _text(good: list[dict[str, Any]]) -> str:
    return json.dumps({"results": good})


def _vectors(good: list[dict[str, Any]]) -> list[list[float]]:
    return [[float(record["id"]), 0.5] for record in good]


def _indexed(good: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"embedding": v, "index": n} for n, v in enumerate(_vectors(good))]


CLASSIFY, EMBED = Classify(["yes", "no"]), Embed(2)
EXTRACT = Extract(
    {
        "type": "object",
        "properties": {"tone": {"enum": ["Warm", "Cold"]}, "stars": {"minimum": 1}},
        "required": ["tone"],
    }
)
NO_TEXT = [{"type": "thinking", "thinking": "hm"}]

EXAMPLES: dict[str, list[tuple[Operation, Spoil]]] = {
    "lacks an id, or is of fewer records than items": [
        (CLASSIFY, lambda good, n: said(good[:n] + good[n + 1 :])),
        (CLASSIFY, with_members(id="99")),
        (CLASSIFY, with_members(id=None)),
    ],
    "has an id twice, saying the same": [
        (CLASSIFY, lambda good, n: said([*good, good[n]])),
        (CLASSIFY, lambda good, n: said([{**good[n], "label": "YES"}, *good])),
    ],
    "has an id twice, saying different things": [
        (CLASSIFY, lambda good, n: said([*good, {**good[n], "label": "no"}])),
        (CLASSIFY, lambda good, n: said([*good, {**good[n], "label": "maybe"}])),
    ],
    "has an id that was not given, or more records than items: those are ignored": [
        (CLASSIFY, lambda good, n: said([{**good[n], "id": "5"}, *good, {**good[n], "id": "6"}])),
    ],
    "has an id as a number, or with blanks": [
        (CLASSIFY, lambda good, n: said([{**each, "id": int(each["id"])} for each in good])),
        (CLASSIFY, lambda good, n: said([{**each, "id": f" {each['id']} "} for each in good])),
    ],
    "is in another order": [(CLASSIFY, lambda good, n: said(good[::-1]))],
    "has a value in another case than the label or `enum`, or a label in another Unicode form: "
    "taken as configured": [
        (CLASSIFY, with_members(label=" YES ")),
        (EXTRACT, with_members(data={"tone": "warm"})),
    ],
    "has another value, or breaks the schema": [
        (CLASSIFY, with_members(label="maybe")),
        (CLASSIFY, with_members(label=["yes"])),
        (EXTRACT, with_members(data={"tone": "Warm", "stars": 0})),
        (EXTRACT, with_members(data={})),
    ],
    "is JSON in a fence, in prose, a bare array, a single record, or JSON inside a JSON string": [
        (CLASSIFY, lambda good, n: said(f"```json\n{_text(good)}\n```")),
        (CLASSIFY, lambda good, n: said(f"Here they are: {_text(good)} Anything else?")),
        (CLASSIFY, lambda good, n: said(json.dumps(good))),
        (CLASSIFY, lambda good, n: said(json.dumps(_text(good)))),
    ],
    "is JSON with a broken record": [
        # With another one, also where `a2` is alone: else it is a reply without records.
        (
            CLASSIFY,
            lambda good, n: said(
                _text([*good, {"id": "9"}]).replace(f'"{n + 1}", "label"', f'"{n + 1}"')
            ),
        ),
    ],
    "was cut at `max_tokens`": [
        (CLASSIFY, lambda good, n: said(_text(good).partition(f'"{n + 1}"')[0], "max_tokens")),
    ],
    "was cut before its first record": [
        (CLASSIFY, lambda good, n: said(_text(good)[:20], "max_tokens")),
        (CLASSIFY, lambda good, n: Completion([], "max_tokens")),
    ],
    "is an empty list of records": [(CLASSIFY, lambda good, n: said([]))],
    "is no JSON, holds no records, no text or no content": [
        (CLASSIFY, lambda good, n: said("I cannot label these.")),
        (CLASSIFY, lambda good, n: said(_text(good)[1:20])),
        (CLASSIFY, lambda good, n: said("{}")),
        (CLASSIFY, lambda good, n: said("")),
        (CLASSIFY, lambda good, n: Completion([], "end_turn")),
        (CLASSIFY, lambda good, n: Completion(None, None)),
        (CLASSIFY, lambda good, n: Completion(NO_TEXT, "end_turn")),
    ],
    "is a refusal, with or without text": [
        (CLASSIFY, lambda good, n: Completion([], "refusal")),
        (CLASSIFY, lambda good, n: said(good, "refusal")),
    ],
    "does not fit into the model's context": [
        (CLASSIFY, lambda good, n: said(good[:n], "model_context_window_exceeded")),
    ],
    "has thinking or unknown blocks before the text": [
        (CLASSIFY, lambda good, n: Completion([*NO_TEXT, *said(good).blocks], "end_turn")),
        (CLASSIFY, lambda good, n: Completion([{"type": "new"}, *said(good).blocks], "end_turn")),
    ],
    "has another stop reason: judged by its text": [
        (CLASSIFY, lambda good, n: said(good, "pause_turn")),
        (CLASSIFY, lambda good, n: said(good, None)),
    ],
    "(vectors) has more or fewer than texts, or indices that do not number them": [
        (EMBED, lambda good, n: Vectors(_vectors(good)[:-1])),
        (EMBED, lambda good, n: Vectors([*_vectors(good), [1.0, 1.0]])),
        (EMBED, lambda good, n: Vectors(vectors_of([{**e, "index": 7} for e in _indexed(good)]))),
        (EMBED, lambda good, n: Vectors(None)),
    ],
    "(vectors) is in another order: placed by `index`": [
        (EMBED, lambda good, n: Vectors(vectors_of(_indexed(good)[::-1]))),
    ],
    "(vectors) has one with NaN, infinity, no data or another dimension": [
        (EMBED, with_vector([1.0, float("nan")])),
        (EMBED, with_vector([1.0, float("inf")])),
        (EMBED, with_vector(b"")),
        (EMBED, with_vector(None)),
        (EMBED, lambda good, n: with_vector([1.0])(good, n) if len(good) > 1 else Vectors([b""])),
    ],
    "(vectors) is of another dimension altogether": [
        (EMBED, lambda good, n: Vectors([[1.0, 2.0, 3.0] for _ in good])),
    ],
}
CASES = [
    pytest.param(row, *example, id=f"{row.reply} ({n})")
    for row in ROWS
    for n, example in enumerate(EXAMPLES[row.reply])
]


def test_every_row_has_an_example() -> None:
    assert set(EXAMPLES) == {row.reply for row in ROWS}


class Asked:
    """An operation at work in an engine: `spoilt` of its replies to calls with `a2` are bad."""

    def __init__(self, operation: Operation, spoil: Spoil, spoilt: int) -> None:
        self._operation = operation
        self._spoil = spoil
        self._left = spoilt

    def good(self, names: list[str]) -> list[dict[str, Any]]:
        if self._operation is EXTRACT:
            return [{"id": str(n), "data": {"tone": "Warm"}} for n, _ in enumerate(names, 1)]
        return [
            {"id": str(n), "label": "yes" if name == BAD else "no"}
            for n, name in enumerate(names, 1)
        ]

    def __call__(self, batch: Call) -> list[Any] | CallError:
        good = self.good(batch.items)
        response: Response
        if BAD in batch.items and self._left:
            self._left -= 1
            response = self._spoil(good, batch.items.index(BAD))
        elif self._operation is EMBED:
            response = Vectors(_vectors(good))
        else:
            response = said(good)
        try:
            return self._operation.read(items_of(batch.items), response)
        except CallError as error:
            return error


def play(operation: Operation, spoil: Spoil, spoilt: int) -> tuple[Scenario, list[str]]:
    """Four items through the engine; the calls that were made."""
    s = Scenario(max_items=4, max_in_flight=4)
    s.arrive(FOUR)
    s.run(Asked(operation, spoil, spoilt), until_s=100)
    return s, s.calls()


@pytest.mark.parametrize(("row", "operation", "spoil"), CASES)
def test_what_one_such_reply_costs(row: Row, operation: Operation, spoil: Spoil) -> None:
    """Which items are called for again, and how; then every item has its result."""
    s, calls = play(operation, spoil, 1)
    if row.rest is None:
        again = []
    elif row.rest is Fault.ACCOUNT:
        again = [FOUR]
    elif not row.usable:
        again = ["a0 a1", "a2 a3"]
    else:
        again = ["a2", "a3"] if row.rest is Unanswered.CUT else ["a2"]
    assert calls == [FOUR, *again]
    assert any(isinstance(each, Paused) for each in s.said()) == (row.rest is Fault.ACCOUNT)
    assert s.codes() == {}
    assert " ".join(s.released()) == FOUR
    expected = {"tone": "Warm"} if operation is EXTRACT else {"label": "yes"}
    assert operation is EMBED or s.outcomes()[BAD] == expected


@pytest.mark.parametrize(("row", "operation", "spoil"), CASES)
def test_what_such_replies_for_ever_cost(row: Row, operation: Operation, spoil: Spoil) -> None:
    """The item that they come with is a dead letter with the row's code; its neighbours have their
    results, in order, for a bounded number of calls."""
    s, calls = play(operation, spoil, 10**9)
    if row.rest is Fault.ACCOUNT:  # with one item alone: so it is the item's
        assert s.codes() == {BAD: "account"}
        assert " ".join(s.released()) == FOUR
        return
    assert s.codes() == ({} if row.rest is None else {BAD: row.rest.value})
    assert " ".join(s.released()) == FOUR
    assert len(calls) - 1 <= 2 * ceil(log2(4)) + 1
