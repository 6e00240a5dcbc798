"""Whose bill a call is on: its items', by tokens, also where it failed."""

from __future__ import annotations

from streams.core import Failed, Replied
from streams.errors import CallError, Fault
from streams.model import Usage

from .scenario import MISSING, Scenario


def test_usage_is_shared_by_weight_and_adds_up_over_all_calls_of_an_item() -> None:
    s = Scenario(max_items=3)
    s.arrive("a0", tokens=1).arrive("a1", tokens=1).arrive("a2", tokens=2)
    s.reply("a0 a1 a2", a2=MISSING, usage=Usage(10, 3, 1_001))
    s.reply("a2", usage=Usage(7, 1, 500))
    shares = [
        (slot.input_tokens, slot.output_tokens, slot.cost_nano_usd) for slot in s.slots.values()
    ]
    assert shares == [(3, 1, 250), (2, 1, 250), (5 + 7, 1 + 1, 501 + 500)]
    assert tuple(map(sum, zip(*shares, strict=True))) == (17, 4, 1_501)


def test_a_call_that_failed_is_on_the_bill_of_its_items() -> None:
    """A refusal is billed, and so is a reply that nobody can use."""
    s = Scenario(max_items=2)
    s.arrive("a0 a1", tokens=1)
    for call, fault in (("a0 a1", Fault.REFUSED), ("a0", Fault.BAD_REPLY)):
        failure = CallError(fault, "no", usage=Usage(10, 2, 101))
        s.handle(Failed(s.in_flight.pop(call).id, failure))
    s.reply("a1").reply("a0", usage=Usage(5, 1, 50))
    assert [slot.cost_nano_usd for slot in s.slots.values()] == [51 + 101 + 50, 50]
    assert [slot.input_tokens for slot in s.slots.values()] == [5 + 10 + 5, 5]


def test_a_reply_of_the_wrong_length_is_on_the_bill_of_its_items() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1")
    s.handle(Replied(s.in_flight.pop("a0 a1").id, ["one"], Usage(10, 2, 100)))
    assert [slot.cost_nano_usd for slot in s.slots.values()] == [50, 50]
    assert s.calls()[1:] == ["a0"]


def test_an_item_whose_price_of_one_call_is_not_known_has_no_known_cost() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1", tokens=1)
    s.reply("a0 a1", a1=MISSING, usage=Usage(10, 2, 100))
    s.reply("a1", usage=Usage(5, 1, None))
    assert [slot.cost_nano_usd for slot in s.slots.values()] == [50, None]
    assert [slot.input_tokens for slot in s.slots.values()] == [5, 10]
