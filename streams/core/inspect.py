"""What the engine shows of itself: immutable snapshots for logs, metrics, pages and tests."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from streams.core.call import State
from streams.core.order import Lane

if TYPE_CHECKING:
    from streams.core.engine import Engine


class LaneStatistics(NamedTuple):
    """One lane. `unsettled`: items without a durable outcome. `reordering`: items whose outcome
    waits for its turn, or for the gate. `delivering`: released, not durable. `held`: bytes."""

    watermark: int
    unsettled: int
    reordering: int
    delivering: int
    held: int
    halted: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of one moment.

    Items: `waiting` (in windows), `parked` (waiting in halted lanes), `retrying`, `reordering`,
    `delivering`. Calls: `in_flight`, `max_in_flight_seen`; since the start: `calls`, of which
    `retries` repeat an item after a failure or a missing answer and `splits` are further calls from
    dividing a microbatch; `calls_by_reason`: first calls by what closed their window;
    `retries_by_reason`: the retries by what caused them (a fault's or a missing answer's code).
    `paused_until`: in the shell's seconds; None: calls may flow. `held`: bytes.
    """

    waiting: int
    parked: int
    in_flight: int
    retrying: int
    reordering: int
    delivering: int
    held: int
    calls: int
    retries: int
    splits: int
    max_in_flight_seen: int
    paused_reason: str | None
    paused_until: float | None
    paused_message: str
    calls_by_reason: Mapping[str, int]
    retries_by_reason: Mapping[str, int]
    lanes: Mapping[Hashable, LaneStatistics]


class Blocking(NamedTuple):
    """The item at a lane's watermark. `since`: when it came into `state`, where that is known
    (waiting: its arrival; in flight: the call's start; retrying: its failure), else None.
    `until`: when it may be tried again. `reason`: the fault it is retried for."""

    seq: int
    state: State
    calls: int
    since: float | None = None
    until: float | None = None
    reason: str | None = None
    call_id: str | None = None


def statistics(engine: Engine) -> Statistics:
    admission = engine.admission
    by_cause = admission.started_by_cause
    pause = admission.pauses.current
    lanes = engine.lanes
    return Statistics(
        waiting=engine.windows.count,
        parked=sum(len(lane.parked) for lane in lanes.values()),
        in_flight=len(admission.calls),
        retrying=sum(call.size for call in admission.repeats()),
        reordering=sum(lane.reordering for lane in lanes.values()),
        delivering=sum(lane.delivering for lane in lanes.values()),
        held=engine.held_total,
        calls=admission.started,
        retries=by_cause["retry"] + by_cause["ask"],
        splits=by_cause["split"],
        max_in_flight_seen=admission.max_in_flight_seen,
        paused_reason=None if pause is None else pause.cause.value,
        paused_until=None if pause is None else pause.until,
        paused_message="" if pause is None else pause.message,
        calls_by_reason=dict(admission.new_by_reason),
        retries_by_reason=dict(admission.retries_by_reason),
        lanes={
            key: LaneStatistics(
                lane.watermark,
                lane.unfinished,
                lane.reordering,
                lane.delivering,
                lane.held,
                lane.halted,
            )
            for key, lane in lanes.items()
        },
    )


def at_rest(engine: Engine, keys: Collection[Hashable] | None) -> bool:
    lanes: Collection[Lane]
    if keys is None:
        lanes = engine.lanes.values()
        if engine.admission.calls or any(engine.admission.repeats()):
            return False
    else:
        lanes = {engine.lanes[key] for key in keys if key in engine.lanes}
        for calls in (engine.admission.calls.values(), engine.admission.repeats()):
            if any(slot.home in lanes for call in calls for slot in call.slots):
                return False
    return not any(lane.delivering for lane in lanes)


def blocking(engine: Engine, key: Hashable) -> Blocking | None:
    lane = engine.lanes.get(key)
    if lane is None or not lane.unsettled:
        return None
    slot, admission = lane.unsettled[0], engine.admission
    if slot.state is State.WAITING:
        return Blocking(slot.seq, slot.state, slot.calls, since=slot.arrived_at)
    for call in admission.calls.values():
        if slot in call.slots:
            return Blocking(
                slot.seq, slot.state, slot.calls, since=call.started_at, call_id=call.id
            )
    for call in admission.repeats():
        if slot in call.slots:
            return Blocking(
                slot.seq, slot.state, slot.calls, call.failed_at, call.due_at, call.reason
            )
    return Blocking(slot.seq, slot.state, slot.calls)
