"""In which order outcomes leave, and how far the watermark may go."""

from __future__ import annotations

import pytest

from streams.core import PENDING, Arrived, Closed, Delivered, Opened, Slot
from streams.errors import Fault, ItemError
from streams.model import DROP

from .scenario import Scenario, words


def test_results_leave_in_arrival_order_however_calls_come_back() -> None:
    s = Scenario(max_items=2, max_in_flight=3)
    s.arrive("a0 a1 a2 a3 a4 a5")
    s.reply("a4 a5").reply("a2 a3")
    assert s.released() == []
    s.reply("a0 a1")
    assert s.released() == ["a0 a1 a2 a3 a4 a5"]


def test_lanes_do_not_wait_for_each_other() -> None:
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0").arrive("b0")
    s.reply("b0")
    assert s.released() == ["b0"]


def test_a_failed_batch_fills_its_place_and_later_items_flow() -> None:
    """In Flink's proposal a failed batch never fills its place, so everything after it waits."""
    s = Scenario(max_items=1, max_in_flight=2)
    s.arrive("a0 a1")
    s.reply("a1")
    s.fail("a0", Fault.REJECTED)
    assert s.released() == ["a0 a1"]
    assert s.codes() == {"a0": "rejected"}


def test_dead_letters_and_drops_leave_in_their_place() -> None:
    s = Scenario(max_items=4)
    s.arrive("a0 a1 a2 a3")
    s.reply("a0 a1 a2 a3", a1=ItemError("too_sad"), a2=DROP)
    assert s.released() == ["a0 a1 a2 a3"]
    assert s.codes() == {"a1": "too_sad"}


def test_by_key_only_equal_keys_wait_for_each_other() -> None:
    s = Scenario(max_items=1, max_in_flight=5, order="key")
    s.arrive("a0", order_key="x").arrive("a1", order_key="y").arrive("a2", order_key="x")
    s.arrive("a3 a4")
    s.reply("a4").reply("a2").reply("a1")
    assert s.released() == ["a4", "a1"]
    s.reply("a0")
    assert s.released() == ["a0 a2"]
    s.reply("a3")
    assert s.released() == ["a3"]


def test_without_order_results_leave_at_once() -> None:
    s = Scenario(max_items=1, max_in_flight=3, order="none")
    s.arrive("a0 a1 a2")
    s.reply("a2").reply("a0")
    assert s.released() == ["a2", "a0"]


def test_the_watermark_moves_when_outcomes_are_durable_and_not_before() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1")
    assert s.watermark("a") == 0
    s.reply("a0 a1")
    assert s.watermark("a") == 0
    s.deliver()
    assert s.watermark("a") == 2


def test_the_watermark_never_passes_an_item_in_flight() -> None:
    """Faust 0.15.3 commits past an in-flight head when later acks come first."""
    s = Scenario(max_items=1, max_in_flight=6, order="none")
    s.arrive(words("a", 6))
    for n in range(1, 6):
        s.reply(f"a{n}").deliver()
    assert s.watermark("a") == 0
    assert s.engine.progress("a") == (0, [(1, 5)])
    assert s.engine.progress("a", {s.slots["a0"]}) == (6, [])
    s.reply("a0").deliver()
    assert s.watermark("a") == 6
    assert s.engine.progress("a") == (6, [])


def test_deliveries_may_come_in_several_lists_and_in_any_order() -> None:
    s = Scenario(max_items=4)
    s.arrive("a0 a1 a2 a3").reply("a0 a1 a2 a3")
    s.deliver("a2 a3")
    assert s.watermark("a") == 0
    s.deliver("a0")
    assert s.watermark("a") == 1
    s.deliver("a1")
    assert s.watermark("a") == 4


def test_a_delivery_that_is_said_twice_counts_once() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0 a1", memory=10).reply("a0 a1")
    s.deliver("a0").deliver("a0")
    assert s.engine.lane_bytes("a") == 10
    assert s.engine.statistics().delivering == 1


def test_gaps_in_the_sequence_are_no_items() -> None:
    """Kafka's offsets have gaps: compaction, transaction markers."""
    s = Scenario(max_items=3)
    s.arrive("a5 a9 a17")
    assert s.watermark("a") == 5  # nothing below it was ever an item
    s.reply("a5 a9 a17")
    s.deliver("a5")
    assert s.watermark("a") == 9
    s.deliver("a9 a17")
    assert s.watermark("a") == 18


def test_a_lane_without_items_is_settled_up_to_where_it_begins() -> None:
    s = Scenario()
    s.handle(Opened("a", 42))
    assert s.watermark("a") == 42
    assert s.watermark("b") is None


def test_items_settled_beyond_the_watermark_do_not_keep_their_payload_in_memory() -> None:
    s = Scenario(max_items=1, max_in_flight=2, order="none")
    s.arrive("a0 a1")
    s.reply("a1").deliver()
    assert s.slots["a1"].item is None
    assert s.slots["a1"].outcome is None


@pytest.mark.parametrize("order", ["partition", "key", "none"])
def test_memory_is_held_until_the_outcome_is_durable(order: str) -> None:
    s = Scenario(max_items=2, order=order)
    s.arrive("a0 a1", memory=100).arrive("b0", memory=7)
    assert (s.engine.lane_bytes("a"), s.engine.lane_bytes("b"), s.engine.buffered_bytes) == (
        200,
        7,
        207,
    )
    s.reply("a0 a1")
    assert s.engine.buffered_bytes == 207
    s.deliver()
    assert (s.engine.lane_bytes("a"), s.engine.buffered_bytes) == (0, 7)
    s.close("b")
    assert s.engine.buffered_bytes == 0


@pytest.mark.parametrize(
    ("slots", "fact"),
    [
        ([Slot("a", 4, None)], "4 arrived, but 5 is due"),
        ([Slot("a", 5, None), Slot("a", 5, None)], "5 arrived, but 6 is due"),
        ([Slot("b", 0, None)], "lane b is not open"),
    ],
)
def test_slots_out_of_sequence_are_refused_and_change_nothing(slots: list[Slot], fact: str) -> None:
    s = Scenario()
    s.handle(Opened("a", 5))
    with pytest.raises(ValueError, match=fact):
        s.handle(Arrived(slots))
    s.engine.check_invariants()
    assert s.watermark("a") == 5
    assert s.engine.statistics().waiting == 0


def test_an_open_lane_cannot_be_opened_again() -> None:
    s = Scenario()
    s.arrive("a0")
    with pytest.raises(ValueError, match="lane a is open already"):
        s.handle(Opened("a", 0))
    assert s.engine.statistics().waiting == 1


# -- lanes that close ----------------------------------------------------------------------------


def test_a_closed_lanes_waiting_items_are_dropped() -> None:
    s = Scenario()
    s.arrive("a0").arrive("b0").close("a").at(1.0)
    assert s.calls() == ["b0"]


def test_a_call_is_cancelled_when_none_of_its_items_has_an_owner_left() -> None:
    s = Scenario(max_items=2, max_in_flight=2)
    s.arrive("a0 a1").arrive("b0 b1")
    s.close("a")
    assert s.cancelled() == ["a0 a1"]


def test_a_call_with_a_living_item_goes_on_and_the_dead_ones_are_ignored() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0").arrive("b0").close("a")
    assert s.cancelled() == []
    s.reply("a0 b0")
    assert s.released() == ["b0"]
    assert s.slots["a0"].outcome is PENDING


def test_a_call_of_two_lanes_is_cancelled_when_the_second_closes() -> None:
    s = Scenario(max_items=2)
    s.arrive("a0").arrive("b0").close("a").close("b")
    assert s.cancelled() == ["a0 b0"]


def test_a_cancelled_call_holds_its_place_until_it_has_ended() -> None:
    """A synchronous function in its thread cannot be stopped: it still counts in flight."""
    s = Scenario(max_items=1, max_in_flight=1)
    s.arrive("a0").close("a").arrive("b0")
    assert s.cancelled() == ["a0"]
    assert s.calls() == ["a0"]
    s.cancel("a0")
    assert s.calls() == ["b0"]


def test_a_late_failure_of_a_call_without_owners_is_not_repeated() -> None:
    s = Scenario(max_items=2, max_in_flight=1)
    s.arrive("a0 a1").close("a").fail("a0 a1", Fault.TIMEOUT)
    assert s.at_rest
    assert s.at(100.0).calls() == ["a0 a1"]


def test_only_the_living_items_of_a_failed_call_are_repeated() -> None:
    s = Scenario(max_items=2, draw=0.0)
    s.arrive("a0").arrive("b0").close("a").fail("a0 b0", Fault.TIMEOUT)
    assert s.calls() == ["a0 b0", "b0"]


def test_a_closed_lanes_items_are_taken_out_of_calls_that_wait_to_be_repeated() -> None:
    s = Scenario(max_items=4, draw=0.5)
    s.arrive("a0 a1").arrive("b0 b1").fail("a0 a1 b0 b1", Fault.RETRY, retry_after_s=5)
    s.calls()
    s.close("a").at(5.0)
    assert s.calls() == ["b0 b1"]
    s.fail("b0 b1", Fault.RETRY, retry_after_s=5).close("b").at(20.0)
    assert s.calls() == []
    assert s.engine.next_deadline() is None


def test_a_lane_that_opens_again_is_a_new_lane() -> None:
    """Replies and deliveries for the old one do not touch it."""
    s = Scenario(max_items=2, max_in_flight=3)
    s.arrive("a0 a1 a2 a3").reply("a0 a1")
    old = [s.slots["a0"], s.slots["a1"]]
    s.close("a")
    s.handle(Opened("a", 0))
    s.arrive("a0 a1")
    s.handle(Delivered("a", old))
    assert s.watermark("a") == 0
    s.reply("a2 a3")
    assert s.released() == ["a0 a1"]  # of the old lane, before it closed
    s.reply("a0 a1")
    assert s.released() == ["a0 a1"]
    s.deliver()
    assert s.watermark("a") == 2


def test_what_is_not_known_any_more_is_ignored() -> None:
    s = Scenario()
    s.arrive("a0").at(0.05)
    batch = s.in_flight["a0"]
    s.reply("a0")
    s.in_flight["a0"] = batch
    s.fail("a0", Fault.TIMEOUT)
    assert s.handle(Closed("never opened")) == []
    assert s.handle(Delivered("never opened", [])) == []
    assert s.released() == ["a0"]
    assert not s.at_rest  # released, not delivered
