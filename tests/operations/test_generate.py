"""Generation: one text per item."""

from __future__ import annotations

import json

import pytest

from streams.model import Unanswered
from streams.operations import Completion, Generate
from tests.operations.conftest import items_of


def generate(*texts: object) -> list[object]:
    results = [{"id": str(n), "text": text} for n, text in enumerate(texts, 1)]
    block = {"type": "text", "text": json.dumps({"results": results})}
    completion = Completion([block], "end_turn")
    return Generate("Summarise.").read(items_of(["x"] * len(texts)), completion)


def test_each_item_gets_its_text_as_the_model_wrote_it():
    assert generate("Zwei\nZeilen", "") == [{"text": "Zwei\nZeilen"}, {"text": ""}]


@pytest.mark.parametrize("text", [None, 1, ["a"], {"text": "a"}])
def test_what_is_no_text_is_invalid(text):
    assert generate(text) == [Unanswered.INVALID]


def test_a_lone_surrogate_in_a_reply_reaches_no_result():
    """It could not be written as JSON: that record is lost, and asked for again."""
    assert generate("fine", "\ud800") == [{"text": "fine"}, Unanswered.MISSING]


@pytest.mark.parametrize(("count", "tokens"), [(1, 8_256), (8, 8_256), (12, 12_352), (90, 21_332)])
def test_few_items_have_more_room_each(count, tokens):
    """A microbatch that was cut comes back in halves, and each half must have a better chance."""
    assert Generate("x").request(items_of(["a"] * count)).max_tokens == tokens
