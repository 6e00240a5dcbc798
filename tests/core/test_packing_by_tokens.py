"""A microbatch is filled by what its items weigh, which replies tell better each time."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core import Failed
from streams.errors import CallError, Fault
from streams.model import Usage
from streams.policies.packing import LATIN, WIDE, AnswerRoom, CallShape

from .scenario import Scenario

SHAPE = CallShape(100, 5, 9, AnswerRoom(each=32, at_least=0, frame=64, most=21_332))


def scenario(shape: CallShape = SHAPE, **limits: Any) -> Scenario:
    given = {"max_items": 50, "max_tokens": 1_000, "max_wait_s": 10, **limits}
    return Scenario(call_shape=shape, **given)


def words(lane: str, count: int) -> str:
    return " ".join(f"{lane}{n}" for n in range(count))


def used(call: str, *, each: float = 100, overhead: float = 100, answer: int = 9) -> Usage:
    count = len(call.split())
    return Usage(round(overhead + each * count), answer * count, None)


def learned(s: Scenario, rounds: int, each: float, lane: str = "z", **slot: Any) -> None:
    """The replies to so many calls of one to three items of 100 tokens."""
    seq = 0
    for n in range(rounds):
        count = 1 + n % 3
        items = " ".join(f"{lane}{seq + m}" for m in range(count))
        seq += count
        s.arrive(items, tokens=100, flush_by=s.now, **slot)
        (call,) = s.calls()
        s.reply(call, usage=used(call, each=each))


def test_instructions_frames_and_a_margin_count_against_max_tokens() -> None:
    """1,000 tokens, a tenth of them as margin: 909 less 100 for the instructions, 105 an item."""
    s = scenario()
    s.arrive(words("a", 20), tokens=100)
    assert s.calls() == [words("a", 7)]


def test_a_reply_that_took_fewer_tokens_makes_the_next_call_fuller() -> None:
    s = scenario()
    learned(s, 30, each=50)
    s.arrive(words("a", 30), tokens=100)
    (call,) = s.calls()
    assert len(call.split()) in (16, 17)  # 1,000 less 2 % and the instructions, 50 each


def test_a_reply_that_took_more_tokens_makes_the_next_call_smaller() -> None:
    s = scenario()
    learned(s, 30, each=200)
    s.arrive(words("a", 30), tokens=100)
    (call,) = s.calls()
    assert len(call.split()) == 4


def test_what_waits_already_is_cut_by_the_latest_replies() -> None:
    """Nothing is weighed when it arrives."""
    s = scenario(max_in_flight=1)
    s.arrive(words("a", 200), tokens=100)
    sizes = []
    for _ in range(6):
        (call,) = s.calls()
        sizes.append(len(call.split()))
        s.reply(call, usage=used(call, each=40))
    assert sizes[0] == 7
    assert sizes[-1] >= 18


def test_each_script_has_a_factor_of_its_own() -> None:
    s = scenario(max_in_flight=20)
    learned(s, 20, each=50, script=LATIN)
    learned(s, 20, each=190, lane="y", script=WIDE)
    s.arrive(words("a", 30), tokens=100, script=WIDE, call_key="wide")
    s.arrive(words("b", 30), tokens=100, script=LATIN, call_key="latin")
    started = s.calls()
    wide, latin = started[0], next(call for call in started if call.startswith("b"))
    assert len(wide.split()) == 4
    assert len(latin.split()) >= 15


def test_whether_an_item_is_too_large_never_depends_on_replies() -> None:
    """The same text is treated the same, early and late."""
    s = scenario()
    learned(s, 30, each=220)  # more than twice the count
    s.arrive("a0", tokens=1_000).arrive("a1", tokens=1_001)
    assert s.codes() == {"a1": "too_large"}
    assert s.calls() == ["a0"]  # alone, and above the limit by now


def test_smaller_items_behind_one_that_does_not_fit_fill_the_call() -> None:
    s = scenario(shape=CallShape(), max_tokens=1_101)  # 1,000 with the margin
    s.arrive("z0", tokens=1_000)
    s.arrive("a0 a1", tokens=300).arrive("a2", tokens=700).arrive("a3 a4 a5", tokens=100)
    s.calls()
    s.reply("z0", usage=None)
    assert s.calls() == ["a0 a1 a3 a4 a5"]
    s.arrive("a6", tokens=100, flush_by=s.now)
    s.reply("a0 a1 a3 a4 a5", usage=None)
    assert s.calls() == ["a6 a2"]


def test_one_that_does_not_fit_begins_the_next_call_however_many_follow() -> None:
    s = scenario(shape=CallShape(), max_tokens=1_101)
    s.arrive("z0", tokens=1_000)
    s.arrive("a0", tokens=600).arrive("a1", tokens=900)
    s.arrive(" ".join(f"a{n}" for n in range(2, 40)), tokens=100)
    s.calls()
    s.reply("z0", usage=None)
    (call,) = s.calls()
    assert call == "a0 a2 a3 a4 a5"
    s.reply(call, usage=None)
    (call,) = s.calls()
    assert call.split()[0] == "a1"


def test_answers_that_would_be_cut_close_the_window_and_bound_the_call() -> None:
    room = AnswerRoom(each=100, at_least=1_000, frame=0, most=2_000)
    s = scenario(shape=SHAPE._replace(room=room), max_tokens=100_000)
    for n in range(30):
        s.arrive(f"z{n}", tokens=10, flush_by=s.now)
        (call,) = s.calls()
        s.reply(call, usage=Usage(115, 400, None))
    s.arrive("a0", tokens=10)
    assert s.calls() == []
    s.arrive(words("a", 6).removeprefix("a0 "), tokens=10)
    (batch,) = s.batches()
    assert batch.items == ["a0", "a1"]  # three would take 1,200 of 1,000 tokens, or nearly
    assert batch.reason == "answers"


def test_a_refusal_teaches_what_the_items_weigh_and_nothing_about_answers() -> None:
    s = scenario(max_items=1)
    packing = s.engine.windows.packing
    answers = packing.answers(100, 1)
    s.arrive("a0", tokens=100)
    failure = CallError(Fault.REFUSED, "no", usage=Usage(400, 1, None))
    s.handle(Failed(s.in_flight.pop("a0").id, failure))
    assert packing.weight([100, 0, 0], 1) > 150
    assert packing.answers(100, 1) == pytest.approx(answers)


def test_the_error_of_estimates_is_in_the_statistics() -> None:
    s = scenario()
    assert s.engine.statistics().token_estimate_error is None
    learned(s, 50, each=80)
    error = s.engine.statistics().token_estimate_error
    assert error is not None
    assert error < 0.03


def test_calls_reserve_what_they_weigh_with_their_instructions() -> None:
    s = scenario()
    learned(s, 30, each=60)
    s.arrive(words("a", 5), tokens=100, flush_by=s.now)
    (call,) = s.engine.admission.calls.values()
    assert call.reservation.demand.input_tokens == pytest.approx(100 + 5 * 60, rel=0.05)
    assert call.reservation.demand.output_tokens == pytest.approx(5 * 9, rel=0.1)


def test_a_lane_whose_last_item_left_out_of_turn_is_as_good_as_new() -> None:
    s = scenario(shape=CallShape(), max_tokens=1_101, max_wait_s=0.05)
    s.arrive("z0", tokens=1_001)
    s.calls()
    s.arrive("a0", tokens=600).arrive("a1", tokens=900).arrive("b0", tokens=100)
    s.reply("z0")
    assert s.calls() == ["a0 b0"]
    s.reply("a0 b0").at(0.05)
    assert s.calls() == ["a1"]
    s.arrive("b1", tokens=100)
    s.reply("a1")
    s.at(0.1)
    assert s.calls() == ["b1"]
