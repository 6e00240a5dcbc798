"""When the whole task waits, how it finds out that it may go on, and that nothing is lost by it."""

from __future__ import annotations

import pytest

from streams.core import Paused, Resumed
from streams.errors import Fault

from .scenario import Scenario, words

OUTAGES = [Fault.CONNECTION, Fault.SERVER]
PAUSING = [*OUTAGES, Fault.THROTTLED, Fault.ACCOUNT]


def reasons(s: Scenario) -> list[str]:
    return [said.reason if isinstance(said, Paused) else "resumed" for said in s.said()]


@pytest.mark.parametrize(
    ("fault", "reason", "until"),
    [
        (Fault.CONNECTION, "outage", 0.375),  # 0.5 s: half of it, and half of the other half drawn
        (Fault.SERVER, "outage", 0.375),
        (Fault.THROTTLED, "throttled", 0.375),
        (Fault.ACCOUNT, "account", 0.375),
    ],
)
def test_the_task_pauses_then_one_call_probes_and_its_answer_lets_everything_flow(
    fault: Fault, reason: str, until: float
) -> None:
    s = Scenario(max_items=1, max_in_flight=3, draw=0.5)
    s.arrive(words("a", 9)).fail("a0", fault, message="why").fail("a1", fault).fail("a2", fault)
    assert s.said() == [Paused(reason, until, "why")]
    s.calls()
    s.at(until - 0.001)
    assert s.calls() == []
    s.at(until)
    # The probe, and only it: another microbatch, but where calls are scarce the first.
    probe = "a0" if fault is Fault.THROTTLED else "a3"
    assert s.calls() == [probe]
    s.at(1000.0)
    assert s.calls() == []
    s.reply(probe)
    assert s.said() == [Resumed()]
    assert s.calls() == (["a1", "a2"] if probe == "a0" else ["a0", "a1"])
    assert {slot.faults for slot in s.slots.values()} == {0}


@pytest.mark.parametrize("fault", PAUSING)
def test_an_outage_of_ten_minutes_costs_no_dead_letter_and_hammers_nobody(fault: Fault) -> None:
    s = Scenario(max_items=20, max_in_flight=5, draw=0.99)
    s.arrive(words("a", 150))
    probes = 0
    while s.now < 600:
        for call in list(s.in_flight):
            s.fail(call, fault)
            probes += 1
        due = s.engine.next_deadline()
        assert due is not None
        s.at(due)
    apart_s = 2 if fault is Fault.THROTTLED else 15
    assert probes <= 5 + 6 + 600 / apart_s  # every 15 to 30 s, or 2 to 4, once it has backed off
    while s.in_flight:
        s.reply(next(iter(s.in_flight)))
    assert s.codes() == {}
    assert all(outcome == word.upper() for word, outcome in s.outcomes().items())


def test_a_failing_probe_makes_the_next_wait_twice_as_long_up_to_30_s() -> None:
    s = Scenario(max_items=1, draw=0.0)
    s.arrive("a0")
    waits = []
    for _ in range(9):
        s.fail("a0", Fault.CONNECTION)
        due = s.engine.next_deadline()
        assert due is not None
        waits.append(due - s.now)
        s.at(due)
    assert waits == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 15, 15, 15])


def test_an_account_refusal_is_probed_like_an_outage_then_every_30_s_doubling_to_300() -> None:
    """At first it may be an item that is refused, and everybody waits for it."""
    s = Scenario(max_items=1, draw=0.0)
    s.arrive("a0")
    waits = []
    for _ in range(12):
        s.fail("a0", Fault.ACCOUNT, message="credit balance is too low")
        due = s.engine.next_deadline()
        assert due is not None
        waits.append(due - s.now)
        s.at(due)
    assert waits == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 30, 60, 120, 240, 300, 300])
    said = s.said()
    assert len(said) == 12
    assert {(p.reason, p.message) for p in said if isinstance(p, Paused)} == {
        ("account", "credit balance is too low")
    }


def test_a_throttled_task_waits_as_long_as_it_was_told_and_a_little_more() -> None:
    s = Scenario(max_items=1, draw=0.5)
    s.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=7.0)
    assert s.engine.next_deadline() == 7.0 + 0.125


def test_a_retry_after_of_nothing_is_believed_once() -> None:
    """An API that goes on refusing and says "0" is probed twice a second, not in a loop."""
    s = Scenario(max_items=1, draw=0.0)
    s.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=0.0)
    assert s.calls() == ["a0", "a0"]
    s.fail("a0", Fault.THROTTLED, retry_after_s=0.0)
    assert s.engine.next_deadline() == 0.5


@pytest.mark.parametrize(
    ("retry_after_s", "until"),
    [
        (float("nan"), 0.25),  # as if nothing had been said
        (float("inf"), 0.25),
        (-5.0, 0.0),
        (1_800_000_000.0, 3600.0),  # a date where seconds were meant: probed after an hour
    ],
)
def test_a_retry_after_that_means_nothing_does_not_stop_the_task_for_good(
    retry_after_s: float, until: float
) -> None:
    s = Scenario(max_items=1, draw=0.0)
    s.arrive("a0").calls()
    s.fail("a0", Fault.THROTTLED, retry_after_s=retry_after_s).at(until)
    assert s.calls() == ["a0"]
    assert [p.until for p in s.said() if isinstance(p, Paused)] == [until]


def test_a_later_shorter_retry_after_never_shortens_a_pause() -> None:
    s = Scenario(max_items=1, max_in_flight=3, draw=0.0)
    s.arrive("a0 a1 a2 a3").fail("a0", Fault.THROTTLED, retry_after_s=10.0)
    s.at(1.0).fail("a1", Fault.THROTTLED, retry_after_s=2.0)
    assert s.engine.next_deadline() == 10.0
    s.at(2.0).fail("a2", Fault.THROTTLED, retry_after_s=20.0)
    assert s.engine.next_deadline() == 22.0
    assert [p.until for p in s.said() if isinstance(p, Paused)] == [10.0, 22.0]


def test_calls_in_flight_go_on_through_a_pause_and_their_answers_do_not_end_a_throttling() -> None:
    """They were admitted before it; they say nothing about the next one."""
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1 a2").fail("a0", Fault.THROTTLED, retry_after_s=10.0)
    s.said()
    s.at(1.0).reply("a1")
    assert s.said() == []
    assert s.engine.statistics().paused_reason == "throttled"


def test_any_answer_ends_an_outage() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1 a2").fail("a0", Fault.CONNECTION)
    assert reasons(s) == ["outage"]
    s.reply("a1")
    assert reasons(s) == ["resumed"]
    assert s.calls() == ["a0", "a1", "a0", "a2"]


def test_the_longest_of_several_pauses_wins() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1").fail("a0", Fault.THROTTLED, retry_after_s=5.0)
    s.fail("a1", Fault.CONNECTION, retry_after_s=30.0)
    assert reasons(s) == ["throttled", "outage"]
    s.at(29.9)
    assert s.calls() == ["a0", "a1"]
    s.at(31.0)
    assert s.calls() == ["a0"]
    s.reply("a0")
    assert reasons(s) == ["resumed"]


def test_after_a_pause_calls_ramp_up_by_doubling() -> None:
    s = Scenario(max_items=1, max_in_flight=16)
    s.arrive(words("a", 100)).calls()
    for n in range(16):
        s.fail(f"a{n}", Fault.THROTTLED, retry_after_s=1.0)
    s.at(10.0)
    in_flight = []
    for _ in range(6):
        in_flight.append(len(s.in_flight))
        s.reply(next(iter(s.in_flight)))
    assert in_flight == [1, 2, 4, 8, 16, 16]


def test_a_refusal_of_an_item_shows_that_the_api_is_back() -> None:
    s = Scenario(max_items=1)
    s.arrive("a0").fail("a0", Fault.CONNECTION).at(1.0).fail("a0", Fault.REJECTED)
    assert reasons(s) == ["outage", "resumed"]
    assert s.codes() == {"a0": "rejected"}


def test_a_probe_that_times_out_prolongs_the_pause_and_counts_for_its_item() -> None:
    s = Scenario(max_items=1, max_in_flight=1, draw=0.0)
    s.arrive("a0 a1").fail("a0", Fault.CONNECTION).at(0.25).fail("a1", Fault.TIMEOUT)
    assert s.slots["a1"].faults == 1
    assert s.engine.statistics().paused_until == 0.25 + 0.5


def test_probes_take_turns_so_that_one_bad_batch_is_not_the_only_one_that_is_tried() -> None:
    """a0 breaks every connection; others get through as soon as one of them probes."""
    s = Scenario(max_items=1, max_in_flight=1, max_wait_s=0)
    s.arrive("a0").fail("a0", Fault.CONNECTION).arrive("b0 b1 b2 b3")
    for probe in ("b0", "a0", "b1", "b0"):
        assert s.at(s.now + 100).calls()[-1] == probe
        s.fail(probe, Fault.CONNECTION)
    s.at(s.now + 100).reply("b2")
    assert reasons(s)[-1] == "resumed"


def test_every_probe_that_fails_prolongs_an_outage_whatever_succeeded_before_it() -> None:
    """Or each batch that once failed alone would have a try of its own, one upon the other."""
    s = Scenario(max_items=1, max_in_flight=2, draw=0.5)
    s.arrive("a0 a1 a2 a3").reply("a1").fail("a0", Fault.CONNECTION).reply("a2")
    assert s.said() == []  # others succeed: a0 waits by itself; and one more has succeeded since
    s.arrive("a4").fail("a4", Fault.CONNECTION)
    assert reasons(s) == ["outage"]
    s.at(1.0).fail("a4", Fault.CONNECTION).at(5.0).calls()
    s.fail("a0", Fault.CONNECTION)
    assert s.calls() == []
    paused_until = s.engine.statistics().paused_until
    assert paused_until is not None
    assert paused_until > s.now


def test_a_longer_wait_that_is_asked_for_while_a_probe_is_out_is_kept() -> None:
    s = Scenario(max_items=1, max_in_flight=2, draw=0.0)
    s.arrive("a0 a1 a2").fail("a0", Fault.THROTTLED, retry_after_s=1.0).at(1.0).calls()
    s.fail("a1", Fault.THROTTLED, retry_after_s=30.0)  # it began before the pause
    s.reply("a0")  # the probe: it was let in before the API asked for more
    assert reasons(s) == ["throttled", "throttled"]
    assert s.at(30.9).calls() == []
    assert s.at(31.0).calls() == ["a2"]


def test_a_bad_batch_that_is_all_there_is_to_probe_with_is_halved_after_its_second_failure() -> (
    None
):
    for fault in (*OUTAGES, Fault.ACCOUNT):
        s = Scenario(max_items=4, max_in_flight=1)
        s.arrive(words("a", 4))
        for _ in range(2):
            s.fail("a0 a1 a2 a3", fault).at(s.now + 100)
        assert s.calls()[-1] == "a0 a1"
        s.fail("a0 a1", fault).at(s.now + 100)
        assert s.calls() == ["a2 a3"]
        s.reply("a2 a3")
        assert reasons(s)[-1] == "resumed"


def test_a_throttled_batch_is_halved_after_its_fourth_failure_and_later_in_a_limited_account() -> (
    None
):
    """Calls may be scarce, and then half of the items in each are twice as many."""
    s = Scenario(max_items=4, max_in_flight=1)
    s.arrive(words("a", 4))
    for _ in range(4):
        s.fail("a0 a1 a2 a3", Fault.THROTTLED).at(s.now + 1000)
    assert s.calls() == ["a0 a1 a2 a3"] * 4 + ["a0 a1"]
    s = Scenario(max_items=4, max_in_flight=1)
    s.arrive(words("a", 4)).fail("a0 a1 a2 a3", Fault.THROTTLED).at(1000).reply("a0 a1 a2 a3")
    s.arrive(words("b", 4)).calls()
    for _ in range(15):
        s.fail("b0 b1 b2 b3", Fault.THROTTLED).at(s.now + 1000)
    assert set(s.calls()) == {"b0 b1 b2 b3"}
    s.fail("b0 b1 b2 b3", Fault.THROTTLED).at(s.now + 1000)
    assert s.calls() == ["b0 b1"]


def test_in_a_long_outage_few_microbatches_are_divided() -> None:
    s = Scenario(max_items=20, max_in_flight=5)
    s.arrive(words("a", 100))
    while s.now < 600:
        for call in list(s.in_flight):
            s.fail(call, Fault.CONNECTION)
        s.at(s.now + 1)
    assert s.engine.statistics().splits <= 10


def test_a_probe_whose_lane_is_closed_makes_way_for_another() -> None:
    s = Scenario(max_items=1, max_in_flight=1)
    s.arrive("a0").arrive("b0").fail("a0", Fault.CONNECTION).at(1.0)
    assert s.calls() == ["a0", "b0"]
    s.close("b").cancel("b0")
    assert s.calls() == ["a0"]


def test_new_items_are_taken_in_while_the_task_is_paused() -> None:
    s = Scenario(max_items=2, max_wait_s=0.05)
    s.arrive("a0 a1").fail("a0 a1", Fault.THROTTLED, retry_after_s=5.0).arrive("a2 a3 a4")
    s.calls()
    assert s.at(4.9).calls() == []
    assert s.at(6.0).calls() == ["a0 a1"]
    s.reply("a0 a1")
    assert s.calls() == ["a2 a3"]


def test_a_full_window_probes_as_soon_as_the_pause_is_over() -> None:
    s = Scenario(max_items=2, max_wait_s=100)
    s.arrive("a0 a1").fail("a0 a1", Fault.THROTTLED, retry_after_s=5.0).close("a")
    s.arrive("b0 b1").calls()
    assert s.at(6.0).calls() == ["b0 b1"]


def test_the_pause_is_told_in_the_statistics() -> None:
    s = Scenario(max_items=1)
    s.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5.0, message="slow down")
    statistics = s.engine.statistics()
    assert statistics.paused_reason == "throttled"
    assert statistics.paused_message == "slow down"
    assert statistics.paused_until is not None
    assert statistics.paused_until >= 5.0
    assert statistics.retrying == 1


def test_the_next_tick_is_due_when_the_pause_is_over_if_there_is_anything_to_call() -> None:
    s = Scenario(max_items=1)
    s.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=30.0)
    assert s.engine.next_deadline() == 30.125
    s.close("a")
    assert s.engine.next_deadline() is None
