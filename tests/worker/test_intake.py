"""The shares of `max_buffered_mb`, and how lanes share what is for items (`worker/intake.py`)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.worker.intake import Budget, Room

MB = 1_000_000


class Partition:
    """As much of a lane as is looked at; `held`: what its items take."""

    def __init__(self, held: int = 0, mean_bytes: int = 2048, *, measured: bool = False) -> None:
        self.bytes = held
        self.mean_bytes = mean_bytes
        self.measured = measured
        self.task: Any = SimpleNamespace(buffered_bytes=lambda lane: lane.bytes)


def lanes(count: int, **facts: Any) -> list[Any]:
    return [Partition(**facts) for _ in range(count)]


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("inflated_mb", [0, 1, 20])
@pytest.mark.parametrize("filled", [0.0, 0.5, 1.0])
def test_all_shares_together_are_the_budget(ledger, inflated_mb, filled):
    """Items, what waits beside them, a fetch on its way, a batch while it is inflated, and the
    ledger's two parts."""
    budget = Budget(64 * MB, ledger=ledger)
    inflated = inflated_mb * MB
    items = int(budget.item_bytes(inflated) * filled)
    waiting = budget.waiting_bytes(items, inflated)
    ledgers = 2 * budget.ledger_bytes if ledger else 0
    used = items + waiting + 2 * budget.fetch_bytes + ledgers + 2 * inflated
    copies = 64 * MB // 8 if inflated_mb < 4 else 0
    assert used + copies <= 64 * MB * (1.2 if inflated_mb == 20 else 1.04)


def test_fifty_lanes_with_unknown_records_get_together_what_fits():
    """By bytes, not by a hundred records each: those may be 100 kB large."""
    allowance = Room(Budget(64 * MB)).allowance(lanes(50))
    assert sum(share.bytes for share in allowance.shares.values()) <= 32 * MB / 8
    assert allowance.round_bytes <= 32 * MB / 2


def test_a_lane_gets_no_more_records_than_its_share_has_room_for():
    """Also where they were small so far: its bytes are half its room, for a text is there twice."""
    (lane,) = lanes(1, held=8 * MB, mean_bytes=24_000, measured=True)
    share = Room(Budget(64 * MB)).allowance([lane]).shares[lane]
    assert share.records == 1000
    assert share.bytes == 12 * MB


def test_a_lane_whose_next_record_does_not_fit_is_full():
    (lane,) = lanes(1, held=30 * MB, mean_bytes=3 * MB, measured=True)
    room = Room(Budget(64 * MB))
    assert room.allowance([lane]).shares == {}
    assert not room.has(lane)
    lane.bytes = 16 * MB
    assert room.can_read(lane, 1)


def test_a_lane_that_holds_nothing_may_take_a_record_larger_than_its_share():
    fifty = lanes(50, mean_bytes=2 * MB, measured=True)
    shares = Room(Budget(64 * MB)).allowance(fifty).shares
    assert {share.records for share in shares.values()} == {1}


def test_records_larger_than_their_shares_wait_for_each_other_and_for_nobody_else():
    """All lanes together stay within the budget."""
    full = lanes(11, held=3 * MB, mean_bytes=3 * MB, measured=True)
    large, small = (
        Partition(mean_bytes=3 * MB, measured=True),
        Partition(mean_bytes=2000, measured=True),
    )
    room = Room(Budget(64 * MB))
    assert [*room.allowance([*full, large, small]).shares] == [small]
    full[0].bytes = 0
    assert not room.can_read(full[0], 13), "still more than nine tenths"
    full[1].bytes = 0
    assert room.can_read(full[1], 13)
    assert set(room.allowance([*full, large, small]).shares) == {large, small, *full[:2]}


@pytest.mark.parametrize("measured", [False, True])
def test_a_lane_that_holds_more_than_its_share_stops_no_other(measured):
    """It was alone until a rebalance, and its first item is not done yet. It holds all there is."""
    (stuck,) = lanes(1, held=33 * MB, mean_bytes=2000, measured=True)
    (other,) = lanes(1, mean_bytes=2000, measured=measured)
    room = Room(Budget(64 * MB))
    for _ in range(3):
        share = room.allowance([stuck, other]).shares[other]
        assert share.records >= 100
        other.measured, other.bytes = True, share.records * 2000
        assert other.bytes <= 32 * MB / 10
        assert other not in room.allowance([stuck, other]).shares
        assert not room.has(other)
        other.bytes = 0
        assert room.has(other), "else /health would not see that it is not read"
        assert room.can_read(other, 2), "all of it is delivered"


def test_what_waits_may_be_more_while_items_are_less():
    """So that compressed batches stay open while the items are quickly done."""
    room = Room(Budget(64 * MB))
    (lane,) = lanes(1, held=31 * MB, mean_bytes=2000, measured=True)
    full = room.allowance([lane]).waiting_bytes
    lane.bytes = 0
    assert full < 2 * room.allowance([lane]).waiting_bytes
    assert full >= 8 * MB


def test_large_batches_take_room_from_items():
    """One of 20 MB is there twice while it is inflated."""
    room, many = Room(Budget(64 * MB)), lanes(12, mean_bytes=2000, measured=True)
    before = room.allowance(many).shares[many[0]].bytes
    after = room.allowance(many, inflated_bytes=20 * MB).shares[many[0]].bytes
    assert after == pytest.approx(before / 2, rel=0.01)
