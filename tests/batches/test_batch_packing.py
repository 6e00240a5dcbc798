"""Items into requests, requests into chunks."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batches.core.batch_packing import ChunkBounds, ChunkBuilder, packed
from streams.batches.core.chunk_record import covers, packed_calls, unpacked_calls
from streams.core.call import PENDING, Slot
from streams.core.cut import screen
from streams.core.limits import Limits
from streams.errors import ItemError
from streams.model import DROP
from tests.batches.world import Text

FRAME = 50
LIMITS = Limits(max_items=3, max_tokens=20, max_bytes=60)

sizes = st.lists(st.tuples(st.integers(0, 25), st.booleans()), min_size=1, max_size=60)


def slots_of(lanes: list[list[tuple[int, bool]]]) -> list[list[Slot]]:
    """A slot for each (tokens, whether it has its outcome already)."""
    found = []
    for lane, items in enumerate(lanes):
        found.append(
            [
                Slot(
                    lane,
                    2 * place,
                    Text(str(tokens)),
                    tokens=tokens,
                    size=3 * tokens,
                    memory=10,
                    outcome=DROP if done else PENDING,
                    call_key=tokens // 20,
                )
                for place, (tokens, done) in enumerate(items)
            ]
        )
    return found


def chunks_of(lanes: list[list[Slot]], bounds: ChunkBounds) -> list[ChunkBuilder]:
    builders: list[ChunkBuilder] = []
    builder = ChunkBuilder(LIMITS, bounds, FRAME)
    for lane in lanes:
        screen(lane, LIMITS)
        rest = lane
        while rest := builder.add(rest):
            builders.append(builder)
            builder = ChunkBuilder(LIMITS, bounds, FRAME)
    return [*builders, builder]


@given(st.lists(sizes, min_size=1, max_size=3), st.integers(1, 5), st.integers(100, 500))
def test_every_item_is_in_one_chunk_in_order_and_no_chunk_passes_its_bounds(
    lanes: list[list[tuple[int, bool]]], max_requests: int, max_body_bytes: int
) -> None:
    given_slots = slots_of(lanes)
    bounds = ChunkBounds(max_requests, max_body_bytes, max_memory_bytes=150)
    builders = chunks_of(given_slots, bounds)
    assert [slot for builder in builders for slot in builder.slots] == list(
        chain.from_iterable(given_slots)
    )
    for builder in builders:
        calls = packed(builder.slots, LIMITS)
        assert len(calls) == builder.requests <= max_requests
        if len(builder.slots) > 1:
            body = sum(FRAME + sum(slot.size for slot in call.slots) for call in calls)
            assert body <= max_body_bytes
            assert sum(slot.memory for slot in builder.slots) <= 150


@given(st.lists(sizes, min_size=1, max_size=3))
def test_a_request_keeps_to_the_limits_a_lane_and_a_call_key_and_is_as_full_as_a_run_can_be(
    lanes: list[list[tuple[int, bool]]],
) -> None:
    slots = list(chain.from_iterable(slots_of(lanes)))
    screen(slots, LIMITS)
    calls = packed(slots, LIMITS)
    assert [slot for call in calls for slot in call.slots] == [
        slot for slot in slots if slot.outcome is PENDING
    ]
    for call in calls:
        assert call.size <= 3
        assert call.tokens <= 20
        assert sum(slot.size for slot in call.slots) <= 60
        assert len({(slot.lane, slot.call_key) for slot in call.slots}) == 1
    for one, following in pairwise(calls):
        first = following.slots[0]
        full = (
            one.size == 3
            or one.tokens + first.tokens > 20
            or sum(slot.size for slot in one.slots) + first.size > 60
        )
        last = one.slots[-1]
        assert full or (first.lane, first.call_key) != (last.lane, last.call_key)


@given(st.lists(sizes, min_size=1, max_size=3))
def test_a_plan_written_as_ranges_gives_the_same_requests(
    lanes: list[list[tuple[int, bool]]],
) -> None:
    slots = list(chain.from_iterable(slots_of(lanes)))
    calls = packed(slots, LIMITS)
    for at in covers(slots):
        of_lane = [call for call in calls if call.slots[0].lane == at.lane]
        ranges = unpacked_calls(packed_calls(of_lane))
        assert ranges == [(call.slots[0].seq, call.slots[-1].seq) for call in of_lane]


def test_an_item_too_large_for_any_request_has_its_outcome_at_once() -> None:
    slot = Slot(0, 0, Text("x"), tokens=21)
    screen([slot], LIMITS)
    assert isinstance(slot.outcome, ItemError)
    assert slot.outcome.code == "too_large"
    assert packed([slot], LIMITS) == []


def test_an_item_above_the_bounds_of_a_chunk_is_a_chunk_of_its_own() -> None:
    big = [Slot(0, n, Text("x"), memory=1_000) for n in range(2)]
    builders = chunks_of([big], ChunkBounds(max_memory_bytes=10))
    assert [len(builder.slots) for builder in builders] == [1, 1]


def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="max_requests"):
        ChunkBounds(max_requests=0)
