"""Every fault that the simulator can play, and what each SDK's adapter makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import CallError, Fault
from streams.model import Unanswered
from streams.simulator.fault_names import BATCHES, FAULTS, MESSAGE, RECORDS, RESULTS, VECTORS
from tests.contract.providers.conftest import ITEMS, LABELS, task_of

FAILURES = {
    "bad_request": Fault.REJECTED,
    "spend_limit": Fault.ACCOUNT,
    "unauthorized": Fault.ACCOUNT,
    "billing": Fault.ACCOUNT,
    "forbidden": Fault.ACCOUNT,
    "not_found": Fault.ACCOUNT,
    "request_timeout": Fault.TIMEOUT,
    "method_not_allowed": Fault.ACCOUNT,
    "conflict": Fault.CLIENT,
    "too_large": Fault.TOO_LARGE,
    "unprocessable": Fault.REJECTED,
    "rate_limited": Fault.THROTTLED,
    "ramp_limit": Fault.THROTTLED,
    "spend_cap": Fault.ACCOUNT,
    "contract_cap": Fault.ACCOUNT,
    "server_error": Fault.SERVER,
    "bad_gateway": Fault.SERVER,
    "unavailable": Fault.SERVER,
    "gateway_timeout": Fault.SERVER,
    "overloaded": Fault.THROTTLED,
    "bad_gateway_html": Fault.SERVER,
    "rate_limited_html": Fault.THROTTLED,
    "reset": Fault.CONNECTION,
    "reset_after_headers": Fault.CONNECTION,
    "truncated_body": Fault.CONNECTION,
    "empty_body": Fault.CONNECTION,
    "invalid_body": Fault.CONNECTION,
    "cut_gzip": Fault.CONNECTION,
    "redirect": Fault.CONNECTION,
    "login_page": Fault.CONNECTION,
    "error_body": Fault.CONNECTION,
    "other_body": Fault.CONNECTION,
}
"""Faults of the call as a whole, the same for both APIs."""

ANSWER_FAILURES = {
    "refusal": Fault.REFUSED,
    "empty_content": Fault.BAD_REPLY,
    "invalid_json": Fault.BAD_REPLY,
}
"""Replies with status 200 that are of no use to any item. They are billed."""

UNANSWERED = {
    "missing": Unanswered.MISSING,
    "unknown_id": Unanswered.MISSING,
    "conflicting": Unanswered.INVALID,
    "outside_enum": Unanswered.INVALID,
    "wrong_type": Unanswered.INVALID,
}
"""Faults that cost the item that they befall, and no other."""

HARMLESS = frozenset(
    {"thinking_first", "unknown_block", "fenced", "trailing_prose", "duplicate", "extra"}
    | {"reordered", "enum_case"}
)
"""Faults after which every item has the answer that it has without them."""

ELSEWHERE = (
    frozenset({"status", "delay", "expired", "hang", "max_tokens", "contagion"} | VECTORS)
    | BATCHES
    | RESULTS
)
"""Faults with a test of their own, and those that are none of a single call's."""


def test_no_fault_of_the_simulator_is_left_out():
    """A fault that is added there needs a line here."""
    tables: list[Any] = [FAILURES, ANSWER_FAILURES, UNANSWERED, HARMLESS, ELSEWHERE]
    assert set().union(*tables) == FAULTS
    assert sum(map(len, tables)) == len(FAULTS)
    assert set(ANSWER_FAILURES) | set(UNANSWERED) | HARMLESS <= MESSAGE | RECORDS


@pytest.mark.parametrize("operation", ["classify", "embed"])
@pytest.mark.parametrize(("name", "fault"), FAILURES.items())
async def test_a_call_that_fails_has_one_meaning_in_both_apis(
    operation, name, fault, simulate, call, capfd
):
    """And nothing of it is printed: the Voyage SDK prints replies that are cut short."""
    caller = call(task_of(operation), await simulate({"fault": name, "calls": 1}))
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.fault is fault
    assert caught.value.usage is None
    assert caught.value.__context__ is caught.value.__cause__ is None
    assert len((await caller(ITEMS)).answers) == len(ITEMS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("operation", ["classify", "embed"])
@pytest.mark.parametrize(
    "body",
    [
        '{"type": "message", "error": {"type": "overloaded_error"}}',
        '{"type": "message", "content": null, "error": "overloaded"}',
        '{"content": null, "code": 500}',
        '{"object": "list", "error": {"message": "overloaded"}}',
        '{"code": 500, "message": "busy", "data": null}',
        '{"success": false, "errors": [], "result": null}',
        '{"id": "x", "object": "chat.completion", "choices": []}',
        "[]",
        "null",
        "0",
        '"ok"',
    ],
)
async def test_an_error_in_a_gateways_own_form_is_no_message(operation, body, simulate, call):
    """It cost the items of each such reply, three at a time."""
    caller = call(task_of(operation), await simulate({"fault": "status", "status": 200,
        "body": body, "content_type": "application/json"}))  # fmt: skip
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.fault is Fault.CONNECTION


@pytest.mark.parametrize("operation", ["classify", "embed"])
@pytest.mark.parametrize("status", [418, 501, 505, 520])
async def test_a_status_that_the_sdk_does_not_know_is_mapped_all_the_same(
    operation, status, simulate, call
):
    """The Voyage SDK takes some of these for success."""
    rule = {"fault": "status", "status": status, "body": "oops", "content_type": "text/plain"}
    caller = call(task_of(operation), await simulate(rule))
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.fault is (Fault.SERVER if status >= 500 else Fault.CLIENT)
    assert caught.value.status == status


@pytest.mark.parametrize("operation", ["classify", "embed"])
@pytest.mark.parametrize("status", [409, 418, 421, 423, 424, 425, 460, 498, 499, 400, 413, 422])
@pytest.mark.parametrize("retried", [True, False, None])
async def test_the_apis_word_about_trying_again_is_obeyed(
    operation, status, retried, simulate, call
):
    """Without one only 400, 413 and 422 are final at sight."""
    rule = {"fault": "status", "status": status, "should_retry": retried, "message": "No."}
    caller = call(task_of(operation), await simulate(rule))
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    final = status in (400, 413, 422) if retried is None else not retried
    if not final:
        assert caught.value.fault is Fault.CLIENT
    else:
        assert caught.value.fault is (Fault.TOO_LARGE if status == 413 else Fault.REJECTED)
    assert caught.value.should_retry is retried


@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_a_redirect_to_another_host_is_not_followed_and_the_key_stays_here(
    operation, simulate, call
):
    other = await simulate({"fault": "delay"})
    for status in (301, 302, 303, 307, 308):
        rule = {"fault": "redirect", "status": status, "location": f"{other.url}/v1/messages"}
        caller = call(task_of(operation), await simulate(rule))
        with pytest.raises(CallError) as caught:
            await caller(ITEMS)
        assert caught.value.fault is Fault.CONNECTION
        assert caught.value.status == status
        assert other.state()["requests"] == 0


@pytest.mark.parametrize(("operation", "path"), [("classify", "messages"), ("embed", "embeddings")])
@pytest.mark.parametrize(("status", "is_followed"), [(307, True), (308, True), (302, False)])
async def test_a_redirect_within_the_host_is_followed_if_it_repeats_the_request(
    operation, path, status, is_followed, simulate, call
):
    rule = {"fault": "redirect", "status": status, "location": f"/v1/{path}", "times": 1}
    caller = call(task_of(operation), await simulate(rule))
    if is_followed:
        assert len((await caller(ITEMS)).answers) == len(ITEMS)
    else:
        with pytest.raises(CallError):
            await caller(ITEMS)


@pytest.mark.parametrize(("name", "fault"), ANSWER_FAILURES.items())
async def test_a_reply_of_no_use_is_a_call_error_with_its_bill(name, fault, simulate, call):
    simulator = await simulate({"fault": name})
    with pytest.raises(CallError) as caught:
        await call(task_of("classify"), simulator)(ITEMS)
    assert caught.value.fault is fault
    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens == simulator.state()["input_tokens"] > 0


async def test_a_refusal_after_half_of_the_answer_is_a_refusal(simulate, call):
    with pytest.raises(CallError) as caught:
        await call(task_of("classify"), await simulate({"fault": "refusal", "partial": True}))(
            ITEMS
        )
    assert caught.value.fault is Fault.REFUSED


@pytest.mark.parametrize(("name", "left"), UNANSWERED.items())
async def test_a_bad_record_costs_its_own_item_alone(name, left, simulate, call):
    caller = call(task_of("classify"), await simulate({"fault": name, "calls": 2, "text": "box"}))
    expected = list((await caller(ITEMS)).answers)
    expected[2] = left
    assert (await caller(ITEMS)).answers == expected


@pytest.mark.parametrize("name", sorted(HARMLESS))
async def test_a_reply_in_an_odd_form_is_understood(name, simulate, call):
    caller = call(task_of("classify"), await simulate({"fault": name, "calls": 2}))
    first, odd = await caller(ITEMS), await caller(ITEMS)
    assert odd.answers == first.answers
    assert all(answer["label"] in LABELS for answer in first.answers)


async def test_a_reply_cut_at_max_tokens_keeps_its_complete_records(simulate, call):
    caller = call(task_of("classify"), await simulate({"fault": "max_tokens", "calls": 2}))
    expected, cut = await caller(ITEMS), await caller(ITEMS)
    kept = [answer for answer in cut.answers if answer is not Unanswered.CUT]
    assert 0 < len(kept) < len(ITEMS)
    assert list(cut.answers[: len(kept)]) == list(expected.answers[: len(kept)])


async def test_a_reply_cut_before_its_first_record_is_truncated_and_billed(simulate, call):
    caller = call(task_of("classify"), await simulate({"fault": "max_tokens", "tokens": 2}))
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.fault is Fault.TRUNCATED
    assert caught.value.usage is not None


async def test_a_neighbour_that_changes_every_answer_cannot_be_seen_in_one_call(simulate, call):
    """Stated, not defended: each answer is valid; mixing trust domains is what must not happen."""
    caller = call(task_of("classify"), await simulate({"fault": "contagion"}))
    answers = (await caller(ITEMS)).answers
    assert len({answer["label"] for answer in answers}) == 1


async def test_a_short_reply_of_vectors_is_of_no_use(simulate, call):
    with pytest.raises(CallError) as caught:
        await call(task_of("embed"), await simulate({"fault": "short_reply"}))(ITEMS)
    assert caught.value.fault is Fault.BAD_REPLY
    assert caught.value.usage is not None


async def test_vectors_all_of_another_dimension_pause_the_task(simulate, call):
    """No item will ever fit; taken for bad replies they would all become dead letters."""
    with pytest.raises(CallError) as caught:
        await call(task_of("embed"), await simulate({"fault": "wrong_dimension"}))(ITEMS)
    assert caught.value.fault is Fault.ACCOUNT
    assert "`dimension` is 256" in caught.value.message


async def test_vectors_in_another_order_are_placed_by_their_index(simulate, call):
    """The SDK's client ignores the index."""
    caller = call(task_of("embed"), await simulate({"fault": "reordered_index", "calls": 2}))
    assert (await caller(ITEMS)).answers == (await caller(ITEMS)).answers


@pytest.mark.parametrize("operation", ["classify", "embed"])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry_after_s": 7}, 7.0), ({"retry_after_ms": 250, "retry_after_s": 9}, 0.25), ({}, None)],
)
@pytest.mark.parametrize("name", ["rate_limited", "overloaded", "rate_limited_html", "unavailable"])
async def test_what_the_api_asks_to_wait_is_told(name, headers, seconds, operation, simulate, call):
    """Whatever the body: the Voyage SDK loses the headers of a 429 in HTML."""
    caller = call(task_of(operation), await simulate({"fault": name, **headers}))
    with pytest.raises(CallError) as caught:
        await caller(ITEMS)
    assert caught.value.retry_after_s == seconds
