"""What may be settled beyond the watermark always fits into a commit; the rest waits for it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from streams.core import Delivered, Opened, Passed
from streams.core.ranges import packed_bytes

from .scenario import Scenario, words

BEYOND_BYTES = 2592
"""What a commit has room for."""


def gated(limit: int, **limits: Any) -> Scenario:
    """Items alone in their calls, thirty at once, in no order."""
    given = {"max_items": 1, "max_in_flight": 30, "order": "none", **limits}
    return Scenario(max_beyond_bytes=limit, **given)


def size(s: Scenario) -> int:
    return packed_bytes(*s.engine.progress("a"))


# -- what is held --------------------------------------------------------------------------------


def test_when_a_commit_is_full_nothing_more_leaves_until_the_watermark_moves() -> None:
    """Every other item is done; each takes two bytes: how many before it are not, and its one."""
    s = gated(9)  # a tenth of less than ten is nothing
    s.arrive(words("a", 14))
    for n in range(1, 14, 2):
        s.reply(f"a{n}").deliver()
    assert s.released() == ["a1", "a3", "a5", "a7"]
    assert (s.watermark("a"), size(s)) == (0, 8)
    s.reply("a0").deliver()
    assert s.watermark("a") == 2
    assert s.released() == ["a0", "a9"]
    s.reply("a2").deliver()
    assert s.released() == ["a2", "a11"]


def test_what_is_held_back_waits_for_its_turn_as_others_do() -> None:
    s = gated(4)
    s.arrive(words("a", 8))
    for n in (1, 3, 5, 7):
        s.reply(f"a{n}").deliver()
    statistics = s.engine.statistics()
    assert (statistics.reordering, statistics.delivering, statistics.buffered_bytes) == (2, 0, 6)


def test_what_is_released_counts_as_if_the_worst_of_it_settled_first() -> None:
    """Of a1 to a6 the sink may answer a2, a4 and a6 before the others: six bytes, not two."""
    s = gated(9, max_items=20)
    s.arrive(words("a", 1)).at(0.1)
    s.arrive(words("a", 12, 1)).at(0.2)
    s.reply(words("a", 12, 1))
    assert s.released() == ["a1 a2 a3 a4 a5 a6 a7 a8"]
    s.deliver("a2 a4 a6 a8")
    assert size(s) == 8
    s.deliver("a1 a3 a5 a7")
    assert s.released() == ["a9 a10 a11 a12"]
    assert (s.watermark("a"), size(s)) == (0, 2)


def test_the_first_item_of_a_lane_leaves_however_full_it_is() -> None:
    s = gated(2)
    s.arrive(words("a", 6))
    for n in (2, 4, 5, 1, 0):
        s.reply(f"a{n}").deliver()
    assert s.released() == ["a2", "a0", "a1"]
    assert s.watermark("a") == 1
    s.deliver()
    assert s.watermark("a") == 3
    assert s.released() == ["a4"]


def test_a_full_commit_is_left_by_lists_and_not_by_single_items() -> None:
    """A tenth of the room is for the items behind the watermark that nothing else holds back."""
    s = gated(300, max_items=20, max_in_flight=400, check=False)
    s.arrive(words("a", 8000))
    for start in range(20, 8000, 40):
        s.reply(words("a", 20, start)).deliver()
    while s.engine.statistics().delivering:
        s.deliver()
    s.engine.check_invariants()
    assert 265 < size(s) <= 270
    s.released()
    s.reply(words("a", 20))
    assert s.released() == [words("a", 20)]
    s.deliver()
    assert s.watermark("a") == 40


# -- what is not held ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["key", "none"])
def test_a_thousand_microbatches_that_do_not_touch_overtake_a_slow_one(order: str) -> None:
    s = gated(
        BEYOND_BYTES, max_items=20, max_in_flight=2500, order=order, max_wait_s=0, check=False
    )
    for start in range(0, 44_000, 20):
        s.arrive(words("a", 20, start))
    for start in range(20, 44_000, 40):
        s.reply(words("a", 20, start)).deliver()
    assert len(s.released()) > 1050
    assert len(s.engine.progress("a")[1]) > 1050
    assert size(s) <= BEYOND_BYTES
    s.engine.check_invariants()


@pytest.mark.parametrize(("per_call", "count"), [(1, 2_000), (20, 20_000), (1000, 20_000)])
def test_what_overtakes_in_one_run_has_no_bound(per_call: int, count: int) -> None:
    """Calls end out of order, but all of them but for the first."""
    chance = Random(7)
    s = gated(BEYOND_BYTES, max_items=per_call, max_in_flight=10, max_wait_s=0, check=False)
    s.arrive("a0").at(1.0)
    s.arrive(words("a", count, 1))
    while len(s.in_flight) > 1:
        s.reply(chance.choice([call for call in s.in_flight if call != "a0"])).deliver()
        assert size(s) <= BEYOND_BYTES
    assert s.engine.progress("a")[1] == [(1, count)]
    assert s.engine.statistics().reordering == 0
    s.engine.check_invariants()


def test_a_microbatch_larger_than_a_commit_leaves_piece_by_piece() -> None:
    s = gated(100, max_items=500)
    s.arrive("a0").at(1.0)
    s.arrive(words("a", 500, 1))
    s.reply(words("a", 500, 1))
    pieces = 0
    while s.engine.statistics().delivering:
        s.deliver()
        pieces += 1
    assert pieces == 6
    assert s.engine.progress("a")[1] == [(1, 500)]


def test_in_partition_order_and_without_a_limit_nothing_is_held_back() -> None:
    for s in (gated(2, order="partition"), Scenario(max_items=1, max_in_flight=30, order="none")):
        s.arrive(words("a", 9))
        for n in (2, 4, 6, 8, 0, 1, 3, 5, 7):
            s.reply(f"a{n}").deliver()
        assert s.watermark("a") == 9


# -- order ---------------------------------------------------------------------------------------


def test_what_was_held_back_leaves_in_sequence_and_keys_keep_their_order() -> None:
    s = gated(4, order="key")
    s.arrive(words("a", 5)).arrive("a5 a6 a7 a8", order_key="k")
    s.reply("a2").deliver().reply("a4").deliver()
    s.reply("a8").reply("a6").reply("a5")
    s.released()
    s.reply("a7")
    assert s.released() == []
    for n in (0, 1, 3):
        s.reply(f"a{n}").deliver()
    s.deliver().deliver()
    assert " ".join(s.released()) == "a0 a1 a5 a3 a6 a7 a8"


# -- memory --------------------------------------------------------------------------------------


def test_behind_a_slow_head_memory_does_not_grow_with_what_overtakes_it() -> None:
    """What is settled becomes runs; sequence numbers that no slot has lie within them."""
    s = gated(BEYOND_BYTES, max_items=100, max_in_flight=2, max_wait_s=0, check=False)
    s.arrive("a0").at(1.0)
    for start in range(1, 60_001, 300):
        s.arrive(" ".join(f"a{n}" for n in range(start, start + 300, 3)))
        s.reply(next(call for call in s.in_flight if call != "a0")).deliver()
        assert len(s.engine.lanes["a"].unsettled) <= 1100
    assert s.engine.progress("a")[1] == [(1, 59_998)]
    s.engine.check_invariants()
    s.reply("a0").deliver()
    assert s.engine.progress("a") == (59_999, [])


def test_a_delivery_beyond_the_watermark_that_is_said_twice_counts_once() -> None:
    s = gated(50)
    s.arrive("a0 a1 a2 a3 a4").reply("a1").reply("a3")
    s.deliver("a1 a3").deliver("a3").deliver("a1 a3")
    assert s.engine.progress("a") == (0, [(1, 1), (3, 3)])
    assert s.engine.statistics().delivering == 0


def test_progress_can_be_told_as_it_will_be_when_a_transaction_has_ended() -> None:
    s = gated(50)
    s.arrive(words("a", 8))
    for n in (1, 2, 5):
        s.reply(f"a{n}")
    s.deliver("a2")
    also = {s.slots[word] for word in ("a1", "a2", "a5")}
    assert s.engine.progress("a", also) == (0, [(1, 2), (5, 5)])
    s.reply("a0")
    assert s.engine.progress("a", also | {s.slots["a0"]}) == (3, [(5, 5)])
    assert s.engine.progress("a") == (0, [(2, 2)])


# -- what an earlier incarnation settled ---------------------------------------------------------


def test_what_was_done_before_is_told_on_until_the_watermark_has_passed_it() -> None:
    s = gated(50, max_items=2)
    s.handle(Opened("a", 5, [(7, 8), (12, 20)]))
    assert s.engine.progress("a") == (5, [(7, 8), (12, 20)])
    s.arrive("a5 a6 a9 a10")
    s.reply("a9 a10").deliver()
    assert s.engine.progress("a") == (5, [(7, 10), (12, 20)])
    s.reply("a5 a6").deliver()
    assert s.engine.progress("a") == (11, [(12, 20)])


@pytest.mark.parametrize("order", ["partition", "key", "none"])
def test_a_watermark_below_what_was_done_before_goes_on_behind_it(order: str) -> None:
    """Also where the number between them is that of no item, which is known once it is passed."""
    s = gated(50, order=order)
    s.handle(Opened("a", 5, [(5, 8), (10, 20), (23, 30)]))
    assert s.engine.progress("a") == (9, [(10, 20), (23, 30)])
    s.handle(Passed("a", 21))
    assert s.engine.progress("a") == (21, [(23, 30)])
    s.arrive("a22")
    s.reply("a22").deliver()
    assert s.engine.progress("a") == (31, [])


def test_a_lane_that_was_full_when_its_owner_died_begins_full() -> None:
    s = gated(9)
    s.handle(Opened("a", 0, [(n, n) for n in (1, 3, 5, 7)]))
    s.arrive("a0 a2 a4 a6 a8 a9")
    s.reply("a9").reply("a2")
    assert s.released() == []
    s.reply("a0").deliver()
    assert s.released() == ["a0", "a2 a9"]
    s.deliver()
    assert s.engine.progress("a") == (4, [(5, 5), (7, 7), (9, 9)])


def test_in_partition_order_only_what_was_done_before_is_told() -> None:
    """A worker whose order was changed between two runs."""
    s = gated(50, order="partition")
    s.handle(Opened("a", 0, [(4, 6)]))
    s.arrive("a0 a1 a2 a3")
    for n in range(4):
        s.reply(f"a{n}")
    s.deliver("a2")
    assert s.engine.progress("a") == (0, [(4, 6)])
    s.deliver("a0 a1 a3")
    assert s.engine.progress("a") == (7, [])


def test_a_closed_lane_is_told_nothing_more() -> None:
    s = gated(2)
    s.arrive("a0 a1 a2 a3").reply("a1").reply("a3")
    released = s.slots["a1"]
    s.close("a")
    assert s.handle(Delivered("a", [released])) == []
    assert s.handle(Passed("a", 9)) == []
