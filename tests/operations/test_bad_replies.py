"""The table of bad replies in docs/operations.md: a test for each row, a fuzzer for the rest."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallError, Fault
from streams.model import Item, Unanswered
from streams.operations import Classify, Completion, Extract, Generate, Operation, Vectors
from tests.operations.conftest import at_leisure, items_of

CUT, INVALID, MISSING = Unanswered.CUT, Unanswered.INVALID, Unanswered.MISSING
YES, NO = {"label": "yes"}, {"label": "no"}


def text_block(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def records(*pairs: tuple[Any, Any]) -> str:
    return json.dumps({"results": [{"id": id_, "label": label} for id_, label in pairs]})


def ask(text: str, *, count: int = 3, stop_reason: Any = "end_turn") -> list[Any]:
    """What `count` items get from a reply with this text."""
    completion = Completion([text_block(text)], stop_reason)
    return Classify(["yes", "no"]).read(items_of(["x"] * count), completion)


def fault(text: str, **how: Any) -> Fault:
    with pytest.raises(CallError) as caught:
        ask(text, **how)
    return caught.value.fault


def test_every_item_gets_the_record_with_its_id_in_whatever_order_they_came():
    assert ask(records(("3", "no"), ("1", "yes"), ("2", "no"))) == [YES, NO, NO]


def test_a_missing_record_leaves_its_item_alone_unanswered():
    assert ask(records(("1", "yes"), ("3", "no"))) == [YES, MISSING, NO]


def test_no_records_at_all_leave_every_item_unanswered():
    assert ask('{"results": []}') == [MISSING] * 3


def test_duplicates_that_differ_make_their_item_invalid():
    assert ask(records(("1", "yes"), ("2", "no"), ("1", "no"), ("3", "no"))) == [INVALID, NO, NO]


def test_an_item_with_differing_duplicates_stays_invalid_when_one_comes_again():
    assert ask(records(("1", "yes"), ("1", "no"), ("1", "yes")), count=1) == [INVALID]


def test_duplicates_that_agree_are_fine():
    assert ask(records(("1", "yes"), ("1", "YES"), ("2", "no"), ("3", "no"))) == [YES, NO, NO]


def test_a_valid_and_an_invalid_duplicate_make_their_item_invalid():
    assert ask(records(("1", "yes"), ("1", "maybe")), count=1) == [INVALID]
    assert ask(records(("1", "maybe"), ("1", "yes")), count=1) == [INVALID]


@pytest.mark.parametrize("unknown", ["0", "4", "-1", "", "01", "１", "item 1", None, 4, True, [1]])
def test_unknown_ids_are_ignored(unknown):
    assert ask(records((unknown, "no"), ("1", "yes"), ("2", "no"), ("3", "no"))) == [YES, NO, NO]


def test_an_id_as_a_number_or_with_blanks_is_understood():
    assert ask(records((1, "yes"), (" 2 ", "no"), (3, "no"))) == [YES, NO, NO]


def test_a_wrong_value_touches_its_own_item_only():
    assert ask(records(("1", "maybe"), ("2", "no"), ("3", "no"))) == [INVALID, NO, NO]


def test_records_of_other_json_types_are_passed_over():
    assert ask('{"results": [1, null, "1", [], {"id": "2", "label": "no"}]}') == [
        MISSING,
        NO,
        MISSING,
    ]


@pytest.mark.parametrize(
    "wrapped",
    [
        "```json\n{}\n```",
        'Here are the labels:\n\n{}\n\nLet me know if that\'s "fine".',
        "  {}  ",
        "{}}}",
        "\ufeff{}",
    ],
)
def test_json_in_a_fence_or_in_prose_is_salvaged(wrapped):
    assert ask(wrapped.replace("{}", records(("1", "yes"), ("2", "no"), ("3", "no")), 1)) == [
        YES,
        NO,
        NO,
    ]


def test_a_bare_array_a_lone_record_and_json_inside_a_string_are_understood():
    assert ask('[{"id": "1", "label": "yes"}]', count=1) == [YES]
    assert ask('```[{"id": "1", "label": "yes"}]```', count=1) == [YES]
    assert ask('{"id": "1", "label": "yes"}', count=1) == [YES]
    assert ask('It is {"id": "1", "label": "yes"}.', count=1) == [YES]
    assert ask(json.dumps(records(("1", "yes"))), count=1) == [YES]
    assert ask(json.dumps({"results": records(("1", "yes"))}), count=1) == [YES]


def test_one_broken_record_in_broken_json_costs_that_record_alone():
    text = (
        '{"results": [{"id": "1", "label": "yes"}, {"id": "2" "no"}, {"id": "3", "label": "no"}]}'
    )
    assert ask(text) == [YES, MISSING, NO]


def test_a_quoted_form_before_the_reply_does_not_hide_it():
    text = 'As {"results": [ ... I answer {"results": [{"id": "1", "label": "yes"}]}'
    assert ask(text, count=1) == [YES]


def test_a_truncated_reply_keeps_its_complete_records_and_the_rest_is_cut():
    whole = records(("1", "yes"), ("2", "no"), ("3", "no"))
    assert ask(whole[: whole.index('{"id": "3"') + 15], stop_reason="max_tokens") == [YES, NO, CUT]


def test_every_prefix_of_a_truncated_reply_yields_exactly_its_complete_records():
    whole = records(("1", "yes"), ("2", "no"), ("3", "no"))
    ends = [whole.index("}", whole.index(f'"id": "{n}"')) + 1 for n in (1, 2, 3)]
    for length in range(len(whole) + 1):
        complete = sum(end <= length for end in ends)
        if complete == 0:
            assert fault(whole[:length], stop_reason="max_tokens") is Fault.TRUNCATED
        else:
            expected = [YES, NO, NO][:complete] + [CUT] * (3 - complete)
            assert ask(whole[:length], stop_reason="max_tokens") == expected


def test_a_brace_or_an_escaped_quote_inside_a_string_ends_no_record():
    text = '{"results": [{"id": "1", "text": "a } b ] \\" c {"}, {"id": "2", "text": "cut'
    completion = Completion([text_block(text)], "max_tokens")
    answers = Generate("Write.").read(items_of(["x", "y"]), completion)
    assert answers == [{"text": 'a } b ] " c {'}, CUT]


def test_a_complete_reply_with_stop_reason_max_tokens_is_complete():
    assert ask(records(("1", "yes")), count=1, stop_reason="max_tokens") == [YES]


def test_a_refusal_is_of_the_call_also_where_records_came_with_it():
    assert fault(records(("1", "yes")), stop_reason="refusal") is Fault.REFUSED


def test_a_full_context_is_too_large():
    assert fault("", stop_reason="model_context_window_exceeded") is Fault.TOO_LARGE


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "I cannot help with that.", "{}", "null", "42", '"yes"', '{"labels": {"1": "no"}}',
     '{"results": {"1": "yes"}}', "[[[[[", '{"results"', "{" * 5000, "[" * 5000],
)  # fmt: skip
def test_a_reply_without_records_is_a_bad_reply(text):
    assert fault(text) is Fault.BAD_REPLY


@pytest.mark.parametrize("blocks", [None, [], {}, "text", 7, [None], [{"type": "thinking"}]])
def test_empty_content_is_a_bad_reply(blocks):
    with pytest.raises(CallError) as caught:
        Classify(["yes", "no"]).read(items_of(["x"]), Completion(blocks, "end_turn"))
    assert caught.value.fault is Fault.BAD_REPLY


def test_thinking_and_unknown_blocks_before_the_text_are_passed_over():
    blocks = [
        {"type": "thinking", "thinking": records(("1", "no")), "signature": "x"},
        {"type": "brand_new", "text": records(("1", "no"))},
        text_block(records(("1", "yes"))),
    ]
    answers = Classify(["yes", "no"]).read(items_of(["x"]), Completion(blocks, "end_turn"))
    assert answers == [YES]


def test_text_in_several_blocks_is_one_text():
    whole = records(("1", "yes"))
    blocks = [text_block(whole[:20]), text_block(whole[20:])]
    answers = Classify(["yes", "no"]).read(items_of(["x"]), Completion(blocks, "end_turn"))
    assert answers == [YES]


@pytest.mark.parametrize("reason", [None, "pause_turn", "tool_use", "of next year", 3, ["refusal"]])
def test_other_stop_reasons_leave_the_text_to_be_judged(reason):
    assert ask(records(("1", "yes")), count=1, stop_reason=reason) == [YES]


def test_vectors_are_no_answer_to_a_prompt():
    with pytest.raises(CallError) as caught:
        Classify(["yes", "no"]).read(items_of(["x"]), Vectors([]))
    assert caught.value.fault is Fault.BAD_REPLY


OPERATIONS = [
    Classify(["yes", "no"]),
    Generate("Write."),
    Extract(
        {
            "type": "object",
            "properties": {
                "tags": {"type": "array", "uniqueItems": True, "items": {}},
                "tone": {"enum": ["Warm", "cold", None, 1]},
                "price": {"type": "number", "minimum": 0, "multipleOf": 0.01},
            },
        }
    ),
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "label", "text", "data", "results", "tone"]), inner
        )
    ),
    max_leaves=20,
)
ids = st.sampled_from(["1", "2", "3", "4", "", 1, 2, None])
likely_records = st.lists(
    st.fixed_dictionaries(
        {"id": ids},
        optional={
            "label": st.sampled_from(["yes", "NO", "maybe", 1]),
            "text": st.text(),
            "data": anything | st.fixed_dictionaries({}, optional={"tone": st.just("WARM")}),
        },
    ),
    max_size=6,
)
likely_text = likely_records.map(lambda found: json.dumps({"results": found}))


@st.composite
def mangled(draw):
    """A likely reply, cut and with a piece of anything put in somewhere."""
    text = draw(likely_text)
    place = draw(st.integers(0, len(text)))
    piece = draw(st.text(alphabet='"{}[]\\,: a1\ud800\u2028`', max_size=6))
    return text[:place] + piece + text[place : draw(st.integers(place, len(text)))]


any_text = st.text() | likely_text | mangled() | anything.map(lambda v: json.dumps(v))
any_blocks = anything | st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "thinking"]), "text": any_text})
)
reasons = st.sampled_from(["end_turn", "max_tokens", "refusal", None, 0]) | st.text(max_size=3)


@at_leisure
@given(
    operation=st.sampled_from(OPERATIONS),
    blocks=any_blocks,
    reason=reasons,
    count=st.integers(1, 3),
)
def test_any_reply_gives_each_item_one_answer_that_can_be_written_or_is_a_call_error(
    operation, blocks, reason, count
):
    """No other exception, whatever the reply holds, and never a count other than the items'."""
    completion = Completion(blocks, reason)
    faults = {Fault.REFUSED, Fault.TOO_LARGE, Fault.TRUNCATED, Fault.BAD_REPLY}
    answers = answers_or_fault(operation, items_of(["x"] * count), completion)
    assert answers in faults if isinstance(answers, Fault) else len(answers) == count
    for answer in () if isinstance(answers, Fault) else answers:
        if not isinstance(answer, Unanswered):
            assert isinstance(answer, dict)
            orjson.dumps(answer)


def answers_or_fault(operation: Operation, items: list[Item], completion: Completion) -> Any:
    try:
        return operation.read(items, completion)
    except CallError as error:
        return error.fault
