"""Every scripted fault within an answer of Claude: its content, its text, its records."""

from __future__ import annotations

import anthropic
import orjson
import pytest

from tests.contract.simulator.asking import (
    LABELS,
    microbatch,
    results_of,
    schema_of,
    text_of,
    texts,
)


async def asked(start, claude, fault, count=6, **more):
    """The message of one call that meets the fault, and the simulator's count of good answers."""
    simulator = await start(script=[{"fault": fault, **more}])
    message = await claude(simulator).messages.create(**microbatch(texts(count)))
    return message, simulator.state()["items_answered"]


async def test_a_refusal_has_no_content_but_is_billed(start, claude):
    message, answered = await asked(start, claude, "refusal")
    assert (message.stop_reason, message.content, answered) == ("refusal", [], 0)
    assert message.stop_details.category == "general_harms"
    assert message.usage.input_tokens > 0


async def test_a_refusal_may_come_after_half_of_the_answer(start, claude):
    message, answered = await asked(start, claude, "refusal", partial=True)
    assert (message.stop_reason, answered) == ("refusal", 0)
    assert text_of(message).startswith('{"results":[{"id":"1"')


async def test_an_answer_can_be_cut_below_max_tokens(start, claude):
    message, _ = await asked(start, claude, "max_tokens", tokens=12)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 12)
    with pytest.raises(ValueError):
        orjson.loads(text_of(message))


async def test_a_thinking_block_can_come_first(start, claude):
    message, answered = await asked(start, claude, "thinking_first")
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert answered == len(results_of(message)) == 6


async def test_a_block_of_an_unknown_type_can_come_first(start, claude):
    message, _ = await asked(start, claude, "unknown_block")
    assert [block.type for block in message.content] == ["brand_new", "text"]
    assert getattr(message.content[0], "text", None) is None
    assert len(results_of(message)) == 6


async def test_an_answer_can_have_no_content_at_all(start, claude):
    message, answered = await asked(start, claude, "empty_content")
    assert (message.content, message.stop_reason, answered) == ([], "end_turn", 0)


async def test_the_text_can_be_fenced_followed_by_prose_or_no_json(start, claude):
    fenced, _ = await asked(start, claude, "fenced")
    assert text_of(fenced).startswith("```json\n{")
    assert text_of(fenced).endswith("}\n```")
    prose, _ = await asked(start, claude, "trailing_prose")
    assert text_of(prose).startswith('{"results"')
    assert text_of(prose).endswith(".")
    invalid, answered = await asked(start, claude, "invalid_json")
    assert answered == 0
    for message in (fenced, prose, invalid):
        with pytest.raises(ValueError):
            orjson.loads(text_of(message))


async def test_records_can_be_missing(start, claude):
    message, answered = await asked(start, claude, "missing", count=6, text="number 2 ")
    assert [record["id"] for record in results_of(message)] == ["1", "3", "4", "5", "6"]
    assert answered == 5


async def test_as_many_records_are_missing_as_the_script_says(start, claude):
    simulator = await start(script=[{"fault": "missing", "count": 4}])
    message = await claude(simulator).messages.create(**microbatch(texts(6)))
    assert len(results_of(message)) == 2


async def test_records_can_come_twice_the_same_or_contradicting(start, claude):
    same, answered = await asked(start, claude, "duplicate", text="number 3 ")
    first, second = [record for record in results_of(same) if record["id"] == "3"]
    assert first == second
    assert answered == 6
    other, answered = await asked(start, claude, "conflicting", text="number 3 ")
    first, second = [record for record in results_of(other) if record["id"] == "3"]
    assert first["label"] != second["label"]
    assert second["label"] in LABELS
    assert answered == 5


async def test_records_can_have_ids_that_nobody_asked_for(start, claude):
    extra, answered = await asked(start, claude, "extra")
    assert [record["id"] for record in results_of(extra)] == [*"123456", "no-such-id"]
    assert answered == 6
    unknown, answered = await asked(start, claude, "unknown_id", text="number 1 ")
    assert [record["id"] for record in results_of(unknown)] == ["no-such-id", *"23456"]
    assert answered == 5


async def test_records_can_come_in_another_order(start, claude):
    message, answered = await asked(start, claude, "reordered")
    assert [record["id"] for record in results_of(message)] == [*"654321"]
    assert answered == 6


async def test_labels_can_be_of_another_case_or_outside_the_enum_or_of_another_type(start, claude):
    case, answered = await asked(start, claude, "enum_case", text="number 1 ")
    assert results_of(case)[0]["label"] in {label.upper() for label in LABELS}
    assert answered == 6
    for fault in ("outside_enum", "wrong_type"):
        message, answered = await asked(start, claude, fault, text="number 1 ")
        assert results_of(message)[0]["label"] not in LABELS
        assert {record["label"] for record in results_of(message)[1:]} <= set(LABELS)
        assert answered == 5
    assert results_of(message)[0]["label"] == 7


async def test_one_item_can_change_the_answers_of_all(start, claude):
    message, answered = await asked(start, claude, "contagion", text="number 4 ")
    alone, _ = await asked(start, claude, "delay")
    infected = next(record["label"] for record in results_of(alone) if record["id"] == "4")
    assert {record["label"] for record in results_of(message)} == {infected}
    assert answered == 0


@pytest.mark.parametrize("fault", ["bad_request", "server_error", "overloaded"])
async def test_a_poison_item_fails_every_call_it_is_in_and_no_other(start, claude, fault):
    client = claude(await start(script=[{"fault": fault, "text": "number 3 "}]))
    with pytest.raises(anthropic.APIStatusError):
        await client.messages.create(**microbatch(texts(4)))
    with pytest.raises(anthropic.APIStatusError):
        await client.messages.create(**microbatch(texts(4)[2:3]))
    message = await client.messages.create(**microbatch(texts(2)))
    assert len(results_of(message)) == 2


async def test_a_poison_item_can_be_one_that_never_gets_an_answer(start, claude):
    message, _ = await asked(start, claude, "missing", count=1, text="number 1 ")
    assert results_of(message) == []


async def test_extracted_objects_can_be_spoilt_too(start, claude):
    members = {"product": {"type": "string"}, "stars": {"type": "integer"}}
    form = {"type": "json_schema", "schema": schema_of(**members)}
    simulator = await start(script=[{"fault": "wrong_type", "text": "number 2 "}])
    message = await claude(simulator).messages.create(
        **microbatch(texts(3), output_config={"format": form})
    )
    good, bad, _ = results_of(message)
    assert isinstance(good["product"], str)
    assert bad["product"] == 7


@pytest.mark.parametrize("fault", ["enum_case", "outside_enum", "conflicting"])
async def test_words_within_objects_of_a_record_are_spoilt_as_well(start, claude, fault):
    """As operations that nest each item's answer in its record have them."""
    verdict = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(LABELS)}},
        "required": ["label"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "schema": schema_of(result=verdict)}
    simulator = await start(script=[{"fault": fault, "text": "number 2 "}])
    client = claude(simulator)
    message = await client.messages.create(**microbatch(texts(3), output_config={"format": form}))
    labels = [record["result"]["label"] for record in results_of(message) if record["id"] == "2"]
    if fault == "conflicting":
        assert len(set(labels)) == 2
        assert set(labels) <= set(LABELS)
    else:
        assert labels[0] not in LABELS
        assert (labels[0].lower() in LABELS) is (fault == "enum_case")
