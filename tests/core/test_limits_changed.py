"""Size, wait and calls in flight may change at any time; and a window may be told to close now."""

from __future__ import annotations

import pytest

from streams.core import Expedited, Flush, Halt, LimitsChanged, Resume
from streams.core.lead import MARGIN_S
from streams.errors import Fault

from .scenario import Company, Scenario, words


def test_a_smaller_size_cuts_what_waits_at_once() -> None:
    s = Scenario(max_items=10, max_in_flight=9)
    s.arrive(words("a", 5))
    assert s.calls() == []
    s.handle(LimitsChanged(max_items=2))
    assert s.calls() == ["a0 a1", "a2 a3"]
    s.at(0.05)
    assert s.calls() == ["a4"]


def test_a_larger_size_is_that_of_what_waits() -> None:
    s = Scenario(max_items=2, max_in_flight=1)
    s.arrive(words("a", 9)).calls()
    s.handle(LimitsChanged(max_items=5))
    s.reply("a0 a1")
    assert s.calls() == ["a2 a3 a4 a5 a6"]


@pytest.mark.parametrize(("wait_s", "due"), [(0.01, 0.01), (0.2, 0.2), (0.05, 0.05)])
def test_another_wait_counts_from_the_arrival_of_what_waits(wait_s: float, due: float) -> None:
    s = Scenario(max_wait_s=0.05)
    s.arrive("a0")
    s.handle(LimitsChanged(max_wait_s=wait_s))
    assert s.engine.next_deadline() == due
    s.at(due)
    assert s.calls() == ["a0"]


def test_a_wait_that_is_over_by_the_new_limit_ends_now() -> None:
    s = Scenario(max_wait_s=10.0)
    s.arrive("a0").at(1.0)
    s.handle(LimitsChanged(max_wait_s=0.5))
    assert s.calls() == ["a0"]


def test_a_deadline_stands_whatever_the_wait_becomes() -> None:
    s = Scenario(max_wait_s=0.05)
    s.arrive("z0").at(0.05).reply("z0")  # a call takes no time
    s.arrive("a0", flush_by=0.08)
    s.handle(LimitsChanged(max_wait_s=9.0))
    assert s.engine.next_deadline() == 0.08 - MARGIN_S


def test_more_calls_in_flight_start_at_once() -> None:
    s = Scenario(max_items=1, max_in_flight=1)
    s.arrive(words("a", 5))
    assert s.calls() == ["a0"]
    s.handle(LimitsChanged(max_in_flight=3))
    assert s.calls() == ["a1", "a2"]


def test_with_fewer_calls_in_flight_those_under_way_end_and_none_starts_before_there_is_room() -> (
    None
):
    s = Scenario(max_items=1, max_in_flight=3, order="none")
    s.arrive(words("a", 6))
    assert s.calls() == ["a0", "a1", "a2"]
    s.handle(LimitsChanged(max_in_flight=1))
    assert s.cancelled() == []
    s.reply("a0").reply("a1")
    assert s.calls() == []
    s.reply("a2")
    assert s.calls() == ["a3"]
    assert s.released() == ["a0", "a1", "a2"]


def test_a_call_in_flight_keeps_its_items_and_what_repeats_them_keeps_to_the_new_size() -> None:
    s = Scenario(max_items=5, max_in_flight=9)
    s.arrive(words("a", 5)).calls()
    s.handle(LimitsChanged(max_items=2))
    s.fail("a0 a1 a2 a3 a4", Fault.RETRY, retry_after_s=1)
    s.at(1.0)
    parts = s.batches()
    assert [" ".join(part.items) for part in parts] == ["a0 a1", "a2 a3", "a4"]
    assert [part.cause for part in parts] == ["retry", "split", "split"]


def test_a_repeated_call_that_waits_keeps_to_the_new_size_and_to_its_time() -> None:
    s = Scenario(max_items=4, max_in_flight=9)
    s.arrive(words("a", 4)).calls()
    s.fail("a0 a1 a2 a3", Fault.RETRY, retry_after_s=2)
    s.handle(LimitsChanged(max_items=3))
    s.at(1.9)
    assert s.calls() == []
    s.at(2.0)
    assert s.calls() == ["a0 a1 a2", "a3"]
    s.reply("a3").reply("a0 a1 a2")
    assert s.released() == ["a0 a1 a2 a3"]


def test_a_ramp_up_goes_on_to_the_new_number_of_calls() -> None:
    s = Scenario(max_items=1, max_in_flight=8, draw=0.0)
    s.arrive(words("a", 40)).calls()
    s.fail("a0", Fault.THROTTLED, retry_after_s=1)
    for n in range(1, 8):
        s.reply(f"a{n}")
    s.at(1.0)
    (probe,) = s.calls()
    s.handle(LimitsChanged(max_in_flight=3))
    s.reply(probe)
    assert len(s.calls()) == 2  # it ramps up
    s.reply(next(iter(s.in_flight)))
    assert len(s.in_flight) == 3
    s.handle(LimitsChanged(max_in_flight=6))
    assert len(s.in_flight) == 6  # the ramp-up ended at three


def test_members_of_an_account_have_what_one_gives_up_of_a_ramp_up() -> None:
    company = Company(a={"max_items": 1, "max_in_flight": 8}, b={"max_items": 1})
    a, _ = company.members
    a.arrive(words("a", 20)).calls()
    a.fail("a0", Fault.THROTTLED, retry_after_s=1)
    for n in range(1, 8):
        a.reply(f"a{n}")
    company.at(1.0)
    a.reply(*a.calls())
    assert company.account.statistics().ramp == 2
    a.handle(LimitsChanged(max_in_flight=1))
    assert company.account.statistics().ramp is None  # two calls are all they may have


@pytest.mark.parametrize(
    "change",
    [{"max_items": 0}, {"max_in_flight": 0}, {"max_wait_s": -1.0}, {"max_wait_s": float("nan")}],
)
def test_a_limit_out_of_range_is_refused_and_changes_nothing(change: dict[str, float]) -> None:
    s = Scenario(max_items=3)
    s.arrive("a0")
    with pytest.raises(ValueError):
        s.handle(LimitsChanged(**change))  # type: ignore[arg-type]
    s.engine.check_invariants()
    s.arrive("a1 a2")
    assert s.calls() == ["a0 a1 a2"]


def test_an_item_that_waits_and_is_expedited_closes_its_window_and_no_other() -> None:
    s = Scenario(max_wait_s=9.0, max_in_flight=9)
    s.arrive("a0 a1", call_key="x").arrive("a2", call_key="y").at(1.0)
    s.handle(Expedited([s.slots["a1"]]))
    (call,) = s.batches()
    assert sorted(call.items) == ["a0", "a1"]
    assert call.reason == "deadline"
    assert s.engine.next_deadline() == 9.0


def test_what_does_not_wait_is_not_expedited() -> None:
    s = Scenario(max_wait_s=9.0, max_items=1)
    s.arrive("a0 a1").calls()
    s.handle(Expedited([s.slots["a0"]]))
    s.reply("a0")
    assert s.calls() == ["a1"]


def test_an_item_of_a_halted_lane_is_expedited_when_that_resumes() -> None:
    s = Scenario(max_wait_s=9.0)
    s.arrive("a0")
    s.handle(Halt())
    s.handle(Expedited([s.slots["a0"]]))
    assert s.calls() == []
    s.handle(Resume())
    assert s.calls() == ["a0"]


def test_windows_flush_as_before_after_the_limits_changed() -> None:
    s = Scenario()
    s.arrive("a0")
    s.handle(LimitsChanged(max_items=20, max_wait_s=9.0))
    s.handle(Flush())
    assert s.calls() == ["a0"]
