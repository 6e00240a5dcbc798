"""What is always true of an engine between two events; for tests, never on the hot path."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streams.core.beyond import bound, slot_bytes
from streams.core.call import PENDING, State
from streams.core.ranges import packed_bytes

if TYPE_CHECKING:
    from streams.core.call import Call, Slot
    from streams.core.engine import Engine
    from streams.core.order import Lane


def check_invariants(engine: Engine) -> None:
    """Raises `AssertionError` that names the fact and, with tracing, the item's history."""
    _check_places(engine)
    _check_calls(engine)
    _check_windows(engine)
    held = 0
    for key, lane in engine.lanes.items():
        assert lane.key == key
        _check_lane(engine, lane)
        held += lane.held
    assert engine.held_total == held, f"held in all {engine.held_total}, by lane {held}"


def _told(engine: Engine, slot: Slot) -> str:
    return "\n  ".join([repr(slot), *engine.history(slot.lane, slot.seq)])


def _check_places(engine: Engine) -> None:
    """Each slot is in exactly the one place that its state says."""
    places: Counter[int] = Counter()
    for place, state in _placed(engine):
        for slot in place:
            if slot.state is not State.DROPPED:
                assert slot.state is state, f"should be {state.value}: {_told(engine, slot)}"
                places[id(slot)] += 1
    for lane in engine.lanes.values():
        for slot in lane.unsettled:
            expected = slot.state in (State.WAITING, State.IN_FLIGHT, State.RETRYING)
            assert places[id(slot)] == expected, f"{places[id(slot)]} x {_told(engine, slot)}"


def _placed(engine: Engine) -> list[tuple[list[Slot], State]]:
    placed = [(lane.parked, State.WAITING) for lane in engine.lanes.values()]
    placed += [(window.waiting(), State.WAITING) for window in engine.windows]
    placed += [(call.slots, State.IN_FLIGHT) for call in engine.admission.calls.values()]
    placed += [(call.slots, State.RETRYING) for call in engine.admission.repeats()]
    return placed


def _check_calls(engine: Engine) -> None:
    admission = engine.admission
    assert len(admission.calls) <= engine.limits.max_in_flight, "too many calls in flight"
    assert admission.max_in_flight_seen <= engine.limits.max_in_flight
    assert admission.started == sum(admission.started_by_cause.values())
    for call_id, call in admission.calls.items():
        assert call.id == call_id
        _check_batch(engine, call)
    for call in admission.repeats():
        assert all(slot.state is State.RETRYING for slot in call.slots)
        _check_batch(engine, call)


def _check_batch(engine: Engine, call: Call) -> None:
    limits = engine.limits
    assert 1 <= call.size == len(call.slots) <= limits.max_items, f"{call} of {call.size}"
    tokens = sum(slot.weight for slot in call.slots)
    assert limits.max_tokens is None or tokens <= limits.max_tokens, f"{call}: {tokens} tokens"
    size = sum(slot.size for slot in call.slots)
    assert limits.max_bytes is None or size <= limits.max_bytes, f"{call}: {size} bytes"
    assert len({slot.call_key for slot in call.slots}) == 1, f"{call} mixes call keys"


def _check_windows(engine: Engine) -> None:
    for window in engine.windows:
        waiting = window.waiting()
        assert waiting, "an empty window is open"
        assert window.count == len(waiting)
        assert window.tokens == sum(slot.weight for slot in waiting)
        assert window.bytes == sum(slot.size for slot in waiting)
        due = [slot.arrived_at + engine.limits.max_wait_s for slot in waiting]
        due += [slot.deadline_at for slot in waiting if slot.deadline_at is not None]
        assert window.due_at == min(due), f"due at {window.due_at}, not {min(due)}"
        assert not any(slot.home.halted for slot in waiting), "a halted lane's slot may be cut"


def _check_lane(engine: Engine, lane: Lane) -> None:
    unsettled = lane.unsettled
    states = Counter(slot.state for slot in unsettled)
    assert lane.reordering == states[State.ANSWERED]
    assert lane.delivering == states[State.RELEASED]
    held = sum(slot.memory for slot in unsettled if slot.state is not State.SETTLED)
    assert lane.held == held, f"lane {lane.key} holds {lane.held}, its slots {held}"
    if unsettled:
        assert unsettled[0].state is not State.SETTLED, f"behind: {_told(engine, unsettled[0])}"
    _check_gate(engine, lane)
    kept = [] if lane.gate is None else lane.gate.held_back()
    before = -1
    behind = False  # whether an earlier slot of the lane is not released yet
    behind_keys = set()
    for slot in unsettled:
        assert slot.home is lane
        assert before < slot.seq < lane.next_seq, f"out of sequence: {_told(engine, slot)}"
        before = slot.seq
        assert slot.state is not State.DROPPED, f"dropped: {_told(engine, slot)}"
        left = slot.state in (State.RELEASED, State.SETTLED)
        answered = left or slot.state is State.ANSWERED
        assert answered == (slot.outcome is not PENDING), f"outcome: {_told(engine, slot)}"
        ordered = engine.limits.order == "partition"
        keyed = engine.limits.order == "key" and slot.order_key is not None
        first = not (behind if ordered else keyed and slot.order_key in behind_keys)
        assert first or not left, f"released before its turn: {_told(engine, slot)}"
        for_nothing = answered and first and not left and slot not in kept
        assert not for_nothing, f"held for nothing: {_told(engine, slot)}"
        if not left:
            behind = True
            behind_keys.add(slot.order_key)


def _check_gate(engine: Engine, lane: Lane) -> None:
    """What may be settled beyond the watermark fits into a commit; only what might not is held."""
    gate, watermark = lane.gate, lane.watermark
    if gate is None:
        return
    size = packed_bytes(*lane.progress())
    assert size <= gate.bound <= gate.limit, f"lane {lane.key}: {size} <= {gate.bound} bytes"
    kept = gate.held_back()
    if kept and not lane.delivering:
        first = kept[0]
        assert first is not lane.unsettled[0], f"the first is held: {_told(engine, first)}"
        cost = slot_bytes(first.seq, -1, watermark)
        full = bound(lane) + cost > gate.room
        assert full, f"held though there is room: {_told(engine, first)}"
