"""Classification: what is asked, and what each label in a reply becomes."""

from __future__ import annotations

import json

import pytest

from streams.model import Unanswered
from streams.operations import Classify, Completion

LABELS = ["positive", "negative", "New York"]


def reply(*records: object, stop_reason: str = "end_turn") -> Completion:
    return Completion([{"type": "text", "text": json.dumps({"results": records})}], stop_reason)


def test_the_schema_is_the_same_for_every_microbatch(items):
    """A schema that changed with the batch would be compiled anew and lose the prompt cache."""
    classify = Classify(LABELS, "Judge.")
    one, many = classify.request(items(["a"])), classify.request(items(["b"] * 50))
    assert one.schema == many.schema
    assert one.system == many.system


def test_the_schema_demands_every_property_and_no_other(items):
    """Objects in the schema list all their properties as required and close themselves."""
    schema = Classify(LABELS).request(items(["a"])).schema
    record = schema["properties"]["results"]["items"]
    assert schema["required"] == ["results"]
    assert record["required"] == ["id", "label"]
    assert record["properties"]["label"] == {"type": "string", "enum": LABELS}
    assert schema["additionalProperties"] is record["additionalProperties"] is False


def test_the_instructions_and_labels_stand_in_the_system_prompt(items):
    """No item can write there."""
    prompt = Classify(LABELS, "Judge the tone.").request(items(["some text"]))
    assert "Judge the tone." in prompt.system
    assert '"New York"' in prompt.system
    assert "some text" not in prompt.system


@pytest.mark.parametrize("count", [1, 20, 500, 5_000])
def test_room_for_the_answers_grows_with_the_microbatch_and_stays_below_the_limit(items, count):
    """64 tokens, and a bound on the record of each item; below 21,333, where the SDK balks."""
    tokens = Classify(LABELS).request(items(["a"] * count)).max_tokens
    assert tokens == min(21_332, 64 + count * (24 + len("positive")))


def test_a_label_is_spelled_as_configured_whatever_its_case_in_the_reply(items):
    """The API may answer an enum in another case."""
    answers = Classify(LABELS).read(
        items(["a", "b", "c"]),
        reply(
            {"id": "1", "label": "POSITIVE"},
            {"id": "2", "label": " negative\n"},
            {"id": "3", "label": "new york"},
        ),
    )
    assert answers == [{"label": "positive"}, {"label": "negative"}, {"label": "New York"}]


def test_a_label_in_another_unicode_form_is_the_label_as_configured(items):
    """ "é" is one character or two: models write either."""
    one, two = "caf\u00e9", "cafe\u0301"
    answers = Classify([one, "tea"]).read(items(["a"]), reply({"id": "1", "label": two}))
    assert answers == [{"label": one}]
    answers = Classify([two, "tea"]).read(items(["a"]), reply({"id": "1", "label": one.upper()}))
    assert answers == [{"label": two}]


def test_labels_that_differ_in_case_alone_are_told_apart_exactly(items):
    """ "US" and "us" can both be labels; "Us" is neither."""
    answers = Classify(["US", "us"]).read(
        items(["a", "b", "c"]),
        reply({"id": "1", "label": "US"}, {"id": "2", "label": "us"}, {"id": "3", "label": "Us"}),
    )
    assert answers == [{"label": "US"}, {"label": "us"}, Unanswered.INVALID]


@pytest.mark.parametrize("label", ["angry", "", None, 1, ["positive"], {"label": "positive"}])
def test_a_label_that_was_not_offered_is_invalid(items, label):
    answers = Classify(LABELS).read(items(["a"]), reply({"id": "1", "label": label}))
    assert answers == [Unanswered.INVALID]


def test_equal_tasks_describe_themselves_equally_and_others_do_not():
    """The fingerprint is made from this."""
    assert Classify(LABELS, "x").describe() == Classify(LABELS, "x").describe()
    assert Classify(LABELS, "x").describe() != Classify(LABELS, "y").describe()
    assert Classify(LABELS).describe() != Classify(LABELS[:2]).describe()
    json.dumps(Classify(LABELS).describe())
