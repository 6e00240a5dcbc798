"""An item's window closes so early that its outcome is back by its `flush_by`."""

from __future__ import annotations

from random import Random

import pytest

from streams.core import Flush, Halt, Resume
from streams.core.lead import FIRST_CALL_S, MARGIN_S
from streams.errors import Fault

from .scenario import Scenario, words


def practised(call_s: float = 0.0, delivery_s: float = 0.0, **limits: object) -> Scenario:
    """It has seen what a call takes, and a delivery. It is 10 s."""
    s = Scenario(**{"max_wait_s": 1.0, **limits})
    s.arrive("z0")
    s.handle(Flush())
    s.at(call_s).reply("z0").at(call_s + delivery_s).deliver().handle(Resume())
    s.at(10.0).calls()
    s.released()
    return s


def test_a_window_closes_so_that_the_call_is_back_in_time() -> None:
    s = practised(call_s=0.1)
    s.arrive("a0").arrive("a1", flush_by=10.4)
    assert s.engine.next_deadline() == pytest.approx(10.4 - 0.1 - MARGIN_S)
    s.at(10.4)
    (batch,) = s.batches()
    assert batch.reason == "deadline"
    assert sorted(batch.items) == ["a0", "a1"]


def test_the_time_until_the_outcome_is_durable_counts_too() -> None:
    s = practised(call_s=0.1, delivery_s=0.02)
    s.arrive("a0", flush_by=10.4)
    assert s.engine.next_deadline() == pytest.approx(10.4 - 0.1 - 0.02 - MARGIN_S)


def test_before_the_first_reply_a_call_is_expected_to_take_a_second() -> None:
    s = Scenario(max_wait_s=9.0)
    s.arrive("a0", flush_by=3.0)
    assert s.engine.next_deadline() == 3.0 - FIRST_CALL_S


def test_what_waits_follows_the_duration_of_the_latest_calls() -> None:
    s = practised(call_s=0.1, max_wait_s=9.0, max_items=2, max_in_flight=5)
    s.arrive("a0", flush_by=15.0).arrive("b0 b1", call_key="b")
    assert s.engine.next_deadline() == pytest.approx(15.0 - 0.1 - MARGIN_S)
    s.at(12.0).reply("b0 b1")
    assert s.engine.next_deadline() == pytest.approx(15.0 - 2.0 - MARGIN_S)


def test_one_call_of_a_hundred_that_is_slow_makes_none_earlier() -> None:
    s = practised(call_s=0.1, max_items=1)
    for n in range(100):
        slow = 5.0 if n == 50 else 0.1
        s.arrive(f"a{n}").at(s.now + slow).reply(f"a{n}").deliver()
    assert s.engine.windows.lead.s == pytest.approx(0.1 + MARGIN_S)


def test_a_call_that_fails_says_nothing_of_the_next() -> None:
    s = practised(call_s=0.1, max_wait_s=0.0, max_items=1, max_attempts=1)
    s.arrive("a0").at(70.0).fail("a0", Fault.TIMEOUT)
    assert s.engine.windows.lead.s == pytest.approx(0.1 + MARGIN_S)


def test_a_flush_by_that_is_far_away_makes_no_item_wait_longer() -> None:
    s = practised(max_wait_s=0.05)
    s.arrive("a0", flush_by=99.0)
    assert s.engine.next_deadline() == 10.05


def test_an_item_that_is_late_when_it_arrives_leaves_at_once() -> None:
    s = practised(max_wait_s=9.0)
    s.arrive("a0", flush_by=1.0)
    assert s.calls() == ["a0"]


def test_an_item_whose_time_has_come_goes_before_the_backlog_of_its_lane() -> None:
    s = practised(max_items=3, max_wait_s=10, max_in_flight=1)
    s.arrive("y0 y1 y2").arrive(words("a", 20)).arrive("a20", flush_by=10.1).at(10.1)
    s.calls()
    s.reply("y0 y1 y2")
    assert s.calls() == ["a20 a0 a1"]
    s.reply("a20 a0 a1")
    assert s.released()[1:] == ["a0 a1"]  # it still leaves in its turn
    assert s.calls() == ["a2 a3 a4"]


def test_what_is_due_first_goes_first() -> None:
    s = practised(max_items=4, max_wait_s=10, max_in_flight=1)
    s.arrive("y0 y1 y2 y3")
    s.arrive("a0", flush_by=10.3).arrive("a1", flush_by=10.1).arrive("a2", flush_by=10.2)
    s.arrive("b0", call_key="b", flush_by=10.05).at(11.0)
    s.calls()
    s.reply("y0 y1 y2 y3")
    assert s.calls() == ["b0"]
    s.reply("b0")
    assert s.calls() == ["a1 a2 a0"]


@pytest.mark.parametrize("max_items", [1, 2, 5, 20])
def test_a_backlog_of_urgent_items_holds_no_other_lane_back_for_more_than_two_rounds(
    max_items: int,
) -> None:
    s = practised(max_items=max_items, max_in_flight=1, check=False)
    s.arrive(words("a", 500), flush_by=10.001).at(10.5).arrive("b0", flush_by=99.0)
    held = s.calls()
    for _ in range(2 if max_items > 1 else 4):  # a round of two lanes
        s.reply(held[-1])
        held += s.calls()
    assert any("b0" in call.split() for call in held[1:]), held


def test_flush_bys_of_long_ago_put_no_call_key_before_all_others() -> None:
    s = practised(max_items=1, max_wait_s=0.05, max_in_flight=1, check=False)
    s.arrive(words("a", 50), call_key="late", flush_by=-1e9)
    (first,) = s.calls()
    s.at(10.1).arrive("b0", call_key="b").at(10.2).arrive(words("a", 50, 50), flush_by=-1e9)
    calls = [first]
    while "b0" not in calls and len(calls) < 100:
        s.reply(calls[-1])
        calls += s.calls()
    assert len(calls) <= 52


def test_the_flush_by_of_an_item_that_has_been_taken_closes_nothing() -> None:
    s = practised(max_items=2, max_wait_s=10, max_in_flight=5)
    s.arrive("a0 a1", flush_by=10.5).arrive("a2")
    assert s.calls() == ["a0 a1"]
    assert s.engine.next_deadline() == 20.0


def test_the_flush_by_of_a_halted_lane_counts_when_it_resumes() -> None:
    s = practised(max_wait_s=9.0)
    s.arrive("a0", flush_by=10.5)
    s.handle(Halt())
    assert s.engine.next_deadline() is None
    s.at(11.0).handle(Resume())
    assert s.calls() == ["a0"]


def test_at_half_load_all_are_back_in_time_and_calls_stay_full() -> None:
    """One call of 100 ms at a time, 20 items in it: 100 items a second are half of its load."""
    late, sizes = 0, []
    random = Random(7)
    s = practised(call_s=0.1, max_items=20, max_wait_s=9.0, max_in_flight=1, check=False)
    ends: dict[str, float] = {}
    for n in range(2_000):
        arrival = s.now + random.expovariate(100)
        while True:
            due = s.engine.next_deadline() or 1e9
            end = min(ends.values(), default=1e9)
            if min(due, end, arrival) == arrival:
                break
            s.at(min(due, end))
            if end <= due:
                words_of = min(ends, key=lambda each: ends[each])
                sizes.append(len(words_of.split()))
                late += sum(s.now > s.slots[word].flush_by for word in words_of.split())  # type: ignore[operator]
                s.reply(words_of).deliver()
                del ends[words_of]
            ends |= {each: s.now + random.uniform(0.09, 0.11) for each in s.calls()}
        s.at(arrival).arrive(f"a{n}", flush_by=arrival + 0.3)
        ends |= {each: s.now + random.uniform(0.09, 0.11) for each in s.calls()}
    assert late <= 0.005 * 2_000
    assert sum(sizes) / len(sizes) >= 10
