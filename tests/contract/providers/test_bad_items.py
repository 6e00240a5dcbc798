"""A bad item among four, from the wire to the outcomes: simulator, unmodified SDK, operation and
engine. Time is the engine's own, so nothing waits."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core import Failed, Replied
from streams.errors import CallError
from streams.providers import TaskCaller
from tests.contract.providers.conftest import ITEMS, task_of
from tests.core.scenario import Scenario, words

BAD, BAD_TEXT = "a2", "box"  # ITEMS[2] is "It is a box."
NEIGHBOURS = {"a0", "a1", "a3"}


async def outcomes_of(caller: TaskCaller, *, until_s: float = 600) -> tuple[Scenario, int]:
    """The four items in one microbatch; the calls that it took."""
    s = Scenario(max_items=4, max_in_flight=2)
    s.arrive(words("a", len(ITEMS)))
    calls = 0
    while True:
        if s.in_flight:
            _, batch = s.in_flight.popitem()
            calls += 1
            try:
                reply = await caller([ITEMS[int(name[1:])] for name in batch.items])
            except CallError as error:
                s.handle(Failed(batch.id, error))
            else:
                s.handle(Replied(batch.id, reply.answers, reply.usage))
            continue
        due = s.engine.next_deadline()
        if due is None or due > until_s:
            return s, calls
        s.at(due)


@pytest.mark.parametrize(
    ("fault", "code", "extra_calls"),
    [
        ("bad_request", "rejected", 4),
        ("unprocessable", "rejected", 4),
        ("too_large", "too_large", 4),
        ("refusal", "refused", 4),
        ("invalid_json", "invalid_answer", 5),
        ("empty_content", "invalid_answer", 5),
        ("missing", "no_answer", 2),
        ("unknown_id", "no_answer", 2),
        ("conflicting", "invalid_answer", 2),
        ("outside_enum", "invalid_answer", 2),
        ("wrong_type", "invalid_answer", 2),
    ],
)
async def test_a_bad_item_is_a_dead_letter_and_its_neighbours_have_their_results(
    fault: str, code: str, extra_calls: int, simulate: Any, call: Any
) -> None:
    caller = call(task_of("classify"), await simulate({"fault": fault, "text": BAD_TEXT}))
    s, calls = await outcomes_of(caller)
    assert s.codes() == {BAD: code}
    assert " ".join(s.released()) == words("a", 4)
    assert {word for word, told in s.outcomes().items() if told != code} == NEIGHBOURS
    assert calls - 1 == extra_calls


WAYS = [
    ("unauthorized", "account"),
    ("billing", "account"),
    ("forbidden", "account"),
    ("not_found", "account"),
    ("method_not_allowed", "account"),
    ("spend_limit", "account"),
    ("rate_limited", "throttled"),
    ("overloaded", "throttled"),
    ("server_error", "server_error"),
    ("unavailable", "server_error"),
    ("bad_gateway_html", "server_error"),
    ("conflict", "client_error"),
    ("reset", "connection"),
    ("reset_after_headers", "connection"),
    ("truncated_body", "connection"),
    ("cut_gzip", "connection"),
    ("invalid_body", "connection"),
    ("empty_body", "connection"),
    ("redirect", "connection"),
    ("login_page", "connection"),
    ("error_body", "connection"),
    ("other_body", "connection"),
]
"""Faults that may befall everybody, or that say nothing final, and here befall one item."""


@pytest.mark.parametrize("operation", ["classify", "embed"])
@pytest.mark.parametrize(("fault", "code"), WAYS)
async def test_an_item_that_alone_meets_what_may_befall_everybody_is_a_dead_letter(
    fault: str, code: str, operation: str, simulate: Any, call: Any
) -> None:
    """Also where its microbatch is all there is. After `max_attempts` of it alone."""
    caller = call(task_of(operation), await simulate({"fault": fault, "text": BAD_TEXT}))
    s, _ = await outcomes_of(caller)
    assert s.codes() == {BAD: code}
    assert " ".join(s.released()) == words("a", 4)
    assert s.slots[BAD].faults == s.limits.max_attempts
    if code != "client_error":
        assert {s.slots[word].faults for word in NEIGHBOURS} == {0}


async def test_a_400_that_quotes_the_items_own_words_is_the_items(simulate: Any, call: Any) -> None:
    rule = {"fault": "bad_request", "message": f"policy: billing: '{BAD_TEXT}'", "text": BAD_TEXT}
    s, _ = await outcomes_of(call(task_of("classify"), await simulate(rule)))
    assert s.codes() == {BAD: "rejected"}
    assert s.now == 0.0


async def test_every_token_of_a_refused_item_is_on_somebodys_bill(simulate: Any, call: Any) -> None:
    """Refusals are billed: what the items paid adds up to what the API charged."""
    simulator = await simulate({"fault": "refusal", "text": BAD_TEXT})
    s, _ = await outcomes_of(call(task_of("classify"), simulator))
    state = simulator.state()
    slots = s.slots.values()
    assert sum(slot.input_tokens for slot in slots) == state["input_tokens"]
    assert sum(slot.cost_nano_usd for slot in slots) == round(state["cost_usd"] * 1e9)


async def test_a_voyage_reply_that_is_short_for_one_text_is_halved_down_to_it(
    simulate: Any, call: Any
) -> None:
    caller = call(task_of("embed"), await simulate({"fault": "short_reply", "text": BAD_TEXT}))
    s, calls = await outcomes_of(caller)
    assert s.codes() == {BAD: "invalid_answer"}
    assert calls - 1 == 5


@pytest.mark.parametrize(
    "fault",
    ["rate_limited", "overloaded", "unavailable", "reset", "unauthorized", "billing", "forbidden",
     "spend_limit", "spend_cap", "redirect", "login_page", "error_body", "other_body", "empty_body",
     "invalid_body", "cut_gzip"],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_what_is_not_the_items_fault_costs_no_item_anything(
    fault: str, operation: str, simulate: Any, call: Any
) -> None:
    simulator = await simulate({"fault": fault, "calls": "1-8"})
    s, calls = await outcomes_of(call(task_of(operation), simulator), until_s=86_400)
    assert s.codes() == {}
    assert {slot.faults for slot in s.slots.values()} == {0}
    assert " ".join(s.released()) == words("a", 4)
    assert calls >= 9
