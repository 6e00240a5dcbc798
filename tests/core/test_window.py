"""When a window closes, what it takes, and that lanes share it fairly."""

from __future__ import annotations

import pytest

from streams.core import Flush, Halt, Resume, StartCall, Tick

from .scenario import Scenario, words


def test_a_window_closes_at_once_when_it_is_full() -> None:
    s = Scenario(max_items=3)
    s.arrive("a0 a1")
    assert s.calls() == []
    s.arrive("a2 a3")
    assert s.calls() == ["a0 a1 a2"]


def test_a_window_closes_max_wait_s_after_its_first_item() -> None:
    s = Scenario(max_wait_s=0.05)
    s.arrive("a0").at(0.04).arrive("a1").at(0.0499)
    assert s.calls() == []
    s.at(0.05)
    assert s.calls() == ["a0 a1"]


def test_the_wait_counts_from_the_first_item_after_idleness_too() -> None:
    """Arroyo's BatchStep counted from the buffer's creation: after 60 s a batch of one at once."""
    s = Scenario(max_wait_s=0.05)
    s.at(60.0).arrive("a0")
    assert s.calls() == []
    s.at(60.049).arrive("a1")
    assert s.calls() == []
    s.at(60.05)
    assert s.calls() == ["a0 a1"]


def test_a_stale_tick_does_not_close_a_younger_window() -> None:
    """Flink's batch operator left the timer of a full batch alive, which then cut the next one."""
    s = Scenario(max_items=2, max_wait_s=0.1, max_in_flight=5)
    s.arrive("a0")
    stale = s.engine.next_deadline()
    s.at(0.06).arrive("a1 a2")
    assert s.calls() == ["a0 a1"]
    assert stale == 0.1
    s.now = stale
    assert s.handle(Tick()) == []
    s.at(0.159)
    assert s.calls() == []
    s.at(0.16)
    assert s.calls() == ["a2"]


def test_a_linger_of_5_ms_needs_at_most_two_wakeups_per_batch() -> None:
    """thin-edge truncated its wait to whole seconds and span until the window was due."""
    s = Scenario(max_items=100, max_wait_s=0.005, max_in_flight=100)
    batches = 0
    for n in range(100):
        s.at(n * 0.0031)
        s.arrive(f"a{n}")
        batches += len(s.calls())
    s.at(2.0)
    batches += len(s.calls())
    assert batches > 25
    assert s.ticks <= 2 * batches


def test_no_wait_at_all_when_max_wait_s_is_zero() -> None:
    s = Scenario(max_wait_s=0.0)
    s.arrive("a0")
    assert s.calls() == ["a0"]


def test_nothing_is_due_while_nothing_waits_or_no_call_may_start() -> None:
    s = Scenario(max_in_flight=1, max_wait_s=0.05)
    assert s.engine.next_deadline() is None
    s.arrive("a0")
    assert s.engine.next_deadline() == 0.05
    s.at(0.05).arrive("a1")
    assert s.engine.next_deadline() is None  # the only place is taken: a tick could start nothing


def test_a_window_goes_on_filling_while_no_place_is_free() -> None:
    s = Scenario(max_items=3, max_wait_s=0.01, max_in_flight=1)
    s.arrive("a0").at(0.01)
    assert s.calls() == ["a0"]
    s.arrive("a1").at(0.5).arrive("a2").at(1.0).arrive("a3 a4")
    assert s.calls() == []
    s.reply("a0")
    assert s.calls() == ["a1 a2 a3"]  # full, though a1 alone was due long ago


def test_a_place_that_becomes_free_is_taken_at_once_by_what_is_due() -> None:
    s = Scenario(max_wait_s=0.01, max_in_flight=1)
    s.arrive("a0").at(0.01).arrive("a1").at(5.0)
    s.calls()
    s.reply("a0")
    assert s.calls() == ["a1"]


@pytest.mark.parametrize(
    ("limits", "field", "reason"),
    [
        ({"max_tokens": 100}, "tokens", "tokens"),
        ({"max_bytes": 100}, "size", "bytes"),
    ],
)
def test_a_window_closes_when_tokens_or_bytes_are_reached(
    limits: dict[str, int], field: str, reason: str
) -> None:
    s = Scenario(**limits)
    s.arrive("a0", **{field: 60})
    assert s.calls() == []
    s.arrive("a1", **{field: 40})
    (batch,) = s.batches()
    assert batch.items == ["a0", "a1"]  # exactly the limit fits in
    assert batch.reason == reason


def test_an_item_that_does_not_fit_begins_the_next_batch() -> None:
    s = Scenario(max_tokens=100, max_in_flight=2)
    s.arrive("a0", tokens=60).arrive("a1", tokens=60)
    assert s.calls() == ["a0"]
    s.at(0.05)
    assert s.calls() == ["a1"]


@pytest.mark.parametrize(
    ("limits", "fields"),
    [({"max_tokens": 100}, {"tokens": 101}), ({"max_bytes": 100}, {"size": 101})],
)
def test_an_item_above_the_limit_alone_is_a_dead_letter_in_its_place(
    limits: dict[str, int], fields: dict[str, int]
) -> None:
    s = Scenario(**limits)
    s.arrive("a0").arrive("a1", **fields).arrive("a2")
    assert s.codes() == {"a1": "too_large"}
    assert s.released() == []  # a0 is before it
    s.at(0.05)
    assert s.calls() == ["a0 a2"]
    s.reply("a0 a2")
    assert s.released() == ["a0 a1 a2"]
    assert s.slots["a1"].calls == 0


def test_an_item_that_is_exactly_as_large_as_the_limit_is_called() -> None:
    s = Scenario(max_tokens=100, max_bytes=50)
    s.arrive("a0", tokens=100, size=50)
    assert s.calls() == ["a0"]


def test_an_item_that_arrives_with_its_outcome_is_never_called() -> None:
    s = Scenario()
    s.arrive("a0").arrive("a1", outcome=None).arrive("b0", outcome="forwarded")
    assert s.released() == ["b0"]
    s.at(0.05)
    assert s.calls() == ["a0"]
    s.reply("a0")
    assert s.released() == ["a0 a1"]


def test_items_share_a_call_only_with_items_of_their_batch_key() -> None:
    s = Scenario(max_items=2, max_in_flight=5)
    s.arrive("a0", call_key="x").arrive("a1", call_key="y").arrive("b0", call_key="x")
    assert s.calls() == ["a0 b0"]
    s.at(0.05)
    assert s.calls() == ["a1"]


def test_of_several_windows_the_one_due_the_longest_is_cut_first() -> None:
    s = Scenario(max_items=2, max_in_flight=1)
    s.arrive("z0 z1", call_key="z")
    s.arrive("a0", call_key="x").at(0.01).arrive("b0 b1 b2 b3", call_key="y").at(1.0)
    s.calls()
    s.reply("z0 z1")
    assert s.calls() == ["a0"]  # due since 0.05; the full one is due at 0.06
    s.reply("a0")
    assert s.calls() == ["b0 b1"]


# -- fairness ----------------------------------------------------------------------------------


def test_lanes_share_a_batch_equally() -> None:
    s = Scenario(max_items=6, max_wait_s=10)
    s.arrive("z0 z1 z2 z3 z4 z5")  # takes the only place
    s.arrive(words("a", 9)).arrive(words("b", 9)).arrive(words("c", 9))
    s.calls()
    s.reply("z0 z1 z2 z3 z4 z5")
    assert s.calls() == ["a0 a1 b0 b1 c0 c1"]


def test_what_a_lane_does_not_need_of_its_share_goes_to_the_others() -> None:
    s = Scenario(max_items=6, max_wait_s=10)
    s.arrive("z0 z1 z2 z3 z4 z5")
    s.arrive(words("a", 9)).arrive("b0").arrive(words("c", 9))
    s.calls()
    s.reply("z0 z1 z2 z3 z4 z5")
    assert s.calls() == ["a0 a1 b0 c0 c1 a2"]


def test_the_next_batch_begins_at_the_next_lane() -> None:
    s = Scenario(max_items=2, max_wait_s=10)
    s.arrive("z0 z1").arrive("a0 a1 a2").arrive("b0 b1 b2").arrive("c0 c1 c2")
    started = s.calls()
    for _ in range(4):
        s.reply(started[-1])
        started += s.calls()
    assert started == ["z0 z1", "a0 b0", "c0 a1", "b1 c1", "a2 b2"]


def test_a_backlog_in_one_lane_does_not_hold_another_lanes_new_item_back() -> None:
    """5,000 items wait in one lane; the other lane's item is in the very next call."""
    s = Scenario(max_items=100, max_in_flight=1, check=False)
    s.arrive(words("a", 5_000))
    (first,) = s.calls()
    s.arrive("b0")
    s.reply(first)
    (second,) = s.calls()
    assert "b0" in second.split()
    assert len(second.split()) == 100


def test_lanes_take_turns_by_tokens_too() -> None:
    """Where tokens and not items bound the batch, a lane's share is counted in what fits."""
    s = Scenario(max_items=100, max_tokens=60, max_wait_s=10)
    s.arrive("z0", tokens=60)
    s.arrive(words("a", 50), tokens=10).arrive(words("b", 50), tokens=10)
    s.calls()
    s.reply("z0")
    assert s.calls() == ["a0 a1 a2 b0 b1 b2"]


def test_the_oldest_item_is_reached_while_places_are_free_however_many_lanes_there_are() -> None:
    s = Scenario(max_items=2, max_wait_s=0.05, max_in_flight=10)
    for lane in "abcdefghi":
        s.arrive(f"{lane}0")
    s.at(0.05)
    assert " ".join(s.calls()).split() == [f"{lane}0" for lane in "abcdefghi"]
    assert s.now == 0.05


# -- flush, halt, resume -----------------------------------------------------------------------


def test_flush_closes_windows_at_once_and_keeps_arrival_order() -> None:
    """thin-edge's flush popped the newest first."""
    s = Scenario(max_items=2, max_wait_s=10, max_in_flight=3)
    s.arrive("a0")
    s.handle(Flush())
    assert s.calls() == ["a0"]
    s.arrive("a1 a2 a3")
    assert s.calls() == ["a1 a2", "a3"]
    assert s.engine.statistics().calls_by_reason == {"flush": 2, "count": 1}


def test_flush_starts_no_call_beyond_those_that_the_items_need() -> None:
    s = Scenario(max_items=2, max_in_flight=10)
    s.handle(Flush())
    assert s.calls() == []
    s.arrive("a0 a1")
    assert s.calls() == ["a0 a1"]
    assert s.engine.next_deadline() is None


def test_a_halted_lanes_items_are_left_out_of_new_batches_until_it_resumes() -> None:
    s = Scenario(max_items=3)
    s.arrive("a0").arrive("b0")
    s.handle(Halt(["a"]))
    s.arrive("a1").arrive("b1").at(1.0)
    assert s.calls() == ["b0 b1"]
    assert s.engine.statistics().parked == 2
    s.reply("b0 b1")
    s.handle(Resume(["a"]))
    assert s.calls() == ["a0 a1"]


def test_a_lane_that_resumes_has_its_items_in_order_in_every_window() -> None:
    s = Scenario(max_items=2, max_in_flight=5, max_wait_s=10)
    s.arrive("a0", call_key="x").arrive("a1", call_key="y").arrive("a2 a3", call_key="z")
    s.calls()
    s.handle(Halt(["a"]))
    s.arrive("a4", call_key="y").arrive("a5 a6", call_key="x")
    s.handle(Resume(["a"]))
    assert s.calls() == ["a0 a5", "a1 a4"]


def test_what_is_in_flight_goes_on_while_its_lane_is_halted() -> None:
    s = Scenario(max_items=2, max_in_flight=2)
    s.arrive("a0 a1 a2")
    s.handle(Halt())
    assert not s.at_rest
    s.reply("a0 a1")
    assert s.released() == ["a0 a1"]
    assert not s.at_rest  # not durable yet
    s.deliver()
    assert s.at_rest
    assert s.watermark("a") == 2
    assert s.at(9.0).engine.next_deadline() is None


def test_halting_everything_holds_for_lanes_that_open_later() -> None:
    s = Scenario(max_items=1)
    s.handle(Halt())
    s.arrive("a0")
    assert s.calls() == []
    s.handle(Resume())
    assert s.calls() == ["a0"]


def test_a_started_batch_is_started_once() -> None:
    """httpcore once decided without recording it, so that the next pass decided again."""
    s = Scenario(max_items=2, max_in_flight=5)
    actions = s.arrive("a0 a1").handle(Tick())
    assert s.calls() == ["a0 a1"]
    assert not [action for action in actions if isinstance(action, StartCall)]
    s.handle(Flush())
    s.at(10.0)
    assert s.calls() == []
