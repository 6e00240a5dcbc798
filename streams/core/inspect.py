"""What an engine shows of itself: snapshots for logs, metrics and pages; for tests also each item's
history and what is true between any two events (never on the hot path)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol

from streams.core.admission import Admission
from streams.core.beyond import bound, slot_bytes
from streams.core.call import PENDING, Call, Slot, State, tokens_by_script
from streams.core.limits import Limits
from streams.core.order import GONE, Lane
from streams.core.ranges import packed_bytes
from streams.core.windows import Windows


class Inspected(Protocol):
    """What is read of an engine."""

    limits: Limits
    windows: Windows
    admission: Admission

    @property
    def lanes(self) -> Mapping[Hashable, Lane]: ...
    @property
    def buffered_bytes(self) -> int: ...
    def history(self, lane: Hashable, seq: int) -> list[str]: ...


class LaneStatistics(NamedTuple):
    """One lane. `unsettled`: items without a durable outcome. `reordering`: items whose outcome
    waits for its turn, or for the gate. `delivering`: released, not durable. `buffered_bytes`: of
    its unsettled items."""

    watermark: int
    unsettled: int
    reordering: int
    delivering: int
    buffered_bytes: int
    halted: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of one moment.

    Items: `waiting` (in windows), `parked` (waiting in halted lanes), `retrying`, `reordering`,
    `delivering`. Calls: `in_flight`, `max_in_flight_seen`; since the start: `calls`, of which
    `retries` repeat an item after a failure or a missing answer and `splits` are further calls from
    dividing a microbatch; `calls_by_reason`: first calls by what closed their window.
    `paused_until`: in the shell's seconds; None: calls may flow. `buffered_bytes`: of all lanes.
    `token_estimate_error`: see `Packing.error`.
    """

    waiting: int
    parked: int
    in_flight: int
    retrying: int
    reordering: int
    delivering: int
    buffered_bytes: int
    calls: int
    retries: int
    splits: int
    max_in_flight_seen: int
    paused_reason: str | None
    paused_until: float | None
    paused_message: str
    calls_by_reason: Mapping[str, int]
    lanes: Mapping[Hashable, LaneStatistics]
    token_estimate_error: float | None = None


class Blocking(NamedTuple):
    """The item at a lane's watermark. `since`: when it came into `state` (waiting: its arrival; in
    flight: the call's start; retrying: its failure), else None. `until`: when it may be tried
    again. `reason`: the fault it is retried for."""

    seq: int
    state: State
    calls: int
    since: float | None = None
    until: float | None = None
    reason: str | None = None
    call_id: str | None = None


def statistics(engine: Inspected) -> Statistics:
    admission = engine.admission
    by_cause = admission.started_by_cause
    pause = admission.pauses.current
    lanes = engine.lanes
    return Statistics(
        waiting=engine.windows.count,
        parked=sum(len(lane.parked) for lane in lanes.values()),
        in_flight=len(admission.calls),
        retrying=sum(call.size for call in admission.retries()),
        reordering=sum(lane.reordering for lane in lanes.values()),
        delivering=sum(lane.delivering for lane in lanes.values()),
        buffered_bytes=engine.buffered_bytes,
        calls=admission.started,
        retries=by_cause["retry"] + by_cause["ask"],
        splits=by_cause["split"],
        max_in_flight_seen=admission.max_in_flight_seen,
        paused_reason=None if pause is None else pause.cause.value,
        paused_until=None if pause is None else pause.until,
        paused_message="" if pause is None else pause.message,
        calls_by_reason=dict(admission.new_by_reason),
        lanes={
            key: LaneStatistics(
                lane.watermark,
                lane.unfinished,
                lane.reordering,
                lane.delivering,
                lane.buffered_bytes,
                lane.halted,
            )
            for key, lane in lanes.items()
        },
        token_estimate_error=engine.windows.packing.error,
    )


def blocking(engine: Inspected, key: Hashable) -> Blocking | None:
    lane = engine.lanes.get(key)
    if lane is None or not lane.unsettled:
        return None
    slot, admission = lane.unsettled[0], engine.admission
    place = Blocking(slot.seq, slot.state, slot.calls)
    if slot.state is State.WAITING:
        return place._replace(since=slot.arrived_at)
    for call in admission.calls.values():
        if slot in call.slots:
            return place._replace(since=call.started_at, call_id=call.id)
    for call in admission.retries():
        if slot in call.slots:
            return place._replace(since=call.failed_at, until=call.due_at, reason=call.reason)
    return place


def check_invariants(engine: Inspected) -> None:
    """Raises `AssertionError` that names the fact and, with tracing, the item's history."""
    _check_places(engine)
    _check_calls(engine)
    _check_windows(engine)
    for key, lane in engine.lanes.items():
        assert lane.key == key
        _check_lane(engine, lane)
    by_lane = sum(lane.buffered_bytes for lane in engine.lanes.values())
    assert engine.buffered_bytes == by_lane, f"{engine.buffered_bytes} bytes, by lane {by_lane}"


def _story(engine: Inspected, slot: Slot) -> str:
    return "\n  ".join([repr(slot), *engine.history(slot.lane, slot.seq)])


def _check_places(engine: Inspected) -> None:
    """Each slot is in exactly the one place that its state says."""
    counts: Counter[int] = Counter()
    for slots, state in _places(engine):
        for slot in slots:
            if slot.state is not State.DROPPED:
                assert slot.state is state, f"should be {state.value}: {_story(engine, slot)}"
                counts[id(slot)] += 1
    for lane in engine.lanes.values():
        for slot in lane.unsettled:
            expected = slot.state in (State.WAITING, State.IN_FLIGHT, State.RETRYING)
            assert counts[id(slot)] == expected, f"{counts[id(slot)]} x {_story(engine, slot)}"


def _places(engine: Inspected) -> list[tuple[list[Slot], State]]:
    places = [(lane.parked, State.WAITING) for lane in engine.lanes.values()]
    places += [(window.waiting(), State.WAITING) for window in engine.windows]
    places += [(call.slots, State.IN_FLIGHT) for call in engine.admission.calls.values()]
    places += [(call.slots, State.RETRYING) for call in engine.admission.retries()]
    return places


def _check_calls(engine: Inspected) -> None:
    admission = engine.admission
    # Those that started before the limits changed may be more, and larger, than these allow.
    by_limits = [c for c in admission.calls.values() if c.number > admission.limits_from]
    fits = len(admission.calls) <= engine.limits.max_in_flight
    assert fits or not by_limits, "too many calls in flight"
    assert admission.started == sum(admission.started_by_cause.values())
    for call_id, call in admission.calls.items():
        assert call.id == call_id
    for call in by_limits:
        _check_call(engine, call)
    _check_seat(admission)
    for call in admission.retries():
        assert all(slot.state is State.RETRYING for slot in call.slots)
        _check_call(engine, call)


def _check_seat(admission: Admission) -> None:
    """The account counts what its members count."""
    seat, account = admission.seat, admission.seat.account
    if not seat.has_left:
        reservations = [call.reservation for call in admission.calls.values()]
        assert len(seat.reservations) == len(reservations)
        assert seat.reservations == set(reservations)
        assert seat in account.seats
    assert set(account.line) <= set(account.seats), "one that has left is in line"
    if account.probe is not None:
        assert account.pause is not None, "a probe without a pause"
        probe = account.probe
        assert any(probe in each.reservations for each in account.seats), "nobody's probe"


def _check_call(engine: Inspected, call: Call) -> None:
    limits = engine.limits
    assert 1 <= call.size == len(call.slots) <= limits.max_items, f"{call} of {call.size}"
    if limits.max_tokens is not None and not engine.windows.packing.learns:
        tokens = sum(slot.tokens for slot in call.slots)
        assert tokens <= limits.max_tokens, f"{call}: {tokens} tokens"
    size = sum(slot.size for slot in call.slots)
    assert limits.max_bytes is None or size <= limits.max_bytes, f"{call}: {size} bytes"
    assert len({slot.call_key for slot in call.slots}) == 1, f"{call} mixes call keys"


def _check_windows(engine: Inspected) -> None:
    due_at = inf
    for window in engine.windows:
        waiting = window.waiting()
        assert waiting, "an empty window is open"
        assert window.count == len(waiting)
        assert window.tokens == tokens_by_script(waiting)
        assert window.bytes == sum(slot.size for slot in waiting)
        until = min(slot.arrived_at + engine.limits.max_wait_s for slot in waiting)
        assert window.wait_until == until, f"waits until {window.wait_until}, not {until}"
        urgent = [
            max(slot.flush_by, slot.arrived_at) for slot in waiting if slot.flush_by is not None
        ]
        assert window.flush_by == min(urgent, default=inf), f"{window.flush_by}: {urgent}"
        assert not any(slot.home.halted for slot in waiting), "a halted lane's slot may be cut"
        closes = window.full is not None or engine.windows.flushing
        due_at = min(
            due_at, -inf if closes else min(until, window.flush_by - engine.windows.lead.s)
        )
    assert engine.windows.count == sum(window.count for window in engine.windows)
    assert engine.windows.next_at() == due_at, f"{engine.windows.next_at()}, not {due_at}"


def _check_lane(engine: Inspected, lane: Lane) -> None:
    unsettled = lane.unsettled
    states = Counter(slot.state for slot in unsettled)
    assert lane.reordering == states[State.ANSWERED]
    assert lane.delivering == states[State.RELEASED]
    size = sum(slot.memory for slot in unsettled if slot.state not in GONE)
    assert lane.buffered_bytes == size, f"lane {lane.key}: {lane.buffered_bytes}, slots: {size}"
    if unsettled:
        assert unsettled[0].state not in GONE, f"behind: {_story(engine, unsettled[0])}"
    _check_gate(engine, lane)
    at_gate = [] if lane.gate is None else lane.gate.queue()
    before = -1
    behind = False  # whether an earlier slot of the lane is not released yet
    behind_keys = set()
    for slot in unsettled:
        assert slot.home is lane
        assert before < slot.seq < lane.next_seq, f"out of sequence: {_story(engine, slot)}"
        before = slot.seq
        if slot.state is State.DROPPED:
            assert engine.limits.order == "none", f"dropped: {_story(engine, slot)}"
            continue
        left = slot.state in (State.RELEASED, State.SETTLED)
        answered = left or slot.state is State.ANSWERED
        assert answered == (slot.outcome is not PENDING), f"outcome: {_story(engine, slot)}"
        ordered = engine.limits.order == "partition"
        keyed = engine.limits.order == "key" and slot.order_key is not None
        first = not (behind if ordered else keyed and slot.order_key in behind_keys)
        assert first or not left, f"released before its turn: {_story(engine, slot)}"
        for_nothing = answered and first and not left and slot not in at_gate
        assert not for_nothing, f"waits for nothing: {_story(engine, slot)}"
        if not left:
            behind = True
            behind_keys.add(slot.order_key)


def _check_gate(engine: Inspected, lane: Lane) -> None:
    """What may be settled beyond the watermark fits into a commit; only what might not waits."""
    gate, watermark = lane.gate, lane.watermark
    if gate is None:
        return
    size = packed_bytes(*lane.progress())
    assert size <= gate.bound <= gate.limit, f"lane {lane.key}: {size} <= {gate.bound} bytes"
    queue = gate.queue()
    if queue and not lane.delivering:
        first = queue[0]
        assert first is not lane.unsettled[0], f"the first waits: {_story(engine, first)}"
        cost = slot_bytes(first.seq, -1, watermark)
        full = bound(lane) + cost > gate.room
        assert full, f"waits though there is room: {_story(engine, first)}"
