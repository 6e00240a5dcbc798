"""The engine: events in, actions out. Everything that can be wrong about batching, order, retries,
pauses and watermarks is decided here, without a clock, a loop or a broker.

    Arrived ─► window ─► admission ─► StartCall · · Replied ─► sequencer ─► Release · · Delivered
               (cut late)    ▲                      Failed                                  │
                             └── retries ◄────────────┘                       watermark ◄───┘

Rules for this file and its neighbours:
1. State changes only within `handle`, which decides and records in one step; what is to be done is
   returned as values. An illegal event (`ValueError`) leaves the state as it was.
2. Nothing here knows Kafka, and nothing asks for the time: `now` comes with each event.
3. What follows a fault is the table in `streams.policies.retry`, carried out by `retries.py`.
4. Everything is counted where it is; `inspect.py` compares the counts with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from math import inf
from typing import Any

from streams.core import inspect
from streams.core.account import Account
from streams.core.admission import Admission
from streams.core.call import Call, Slot, State
from streams.core.call_money import CallMoney
from streams.core.cut import screen
from streams.core.events import (
    CANCELLED,
    Action,
    Arrived,
    CancelCall,
    Cancelled,
    Closed,
    Delivered,
    Event,
    Expedited,
    Failed,
    Flush,
    Halt,
    LimitsChanged,
    Opened,
    Passed,
    Release,
    Replied,
    Resume,
    StartCall,
    Tick,
    Withdrawn,
)
from streams.core.history import History
from streams.core.lanes import Lanes
from streams.core.limits import Limits
from streams.core.order import Lane, by_lane
from streams.core.ranges import Range
from streams.core.retries import NOTHING, Aftermath, Retries
from streams.core.seat import Seat
from streams.core.sizing import Sizing
from streams.core.windows import Windows
from streams.core.withdrawals import withdraw
from streams.policies.breaker import results_and_failures


class Engine:
    """One task's engine. `call_prefix`: call ids are "{call_prefix}-{n}". `random`: draws from
    [0, 1), the only source of chance. `tracing`: record what happens to each item (`history`).

    `account`: that of its API, which others may share; None: one of its own. It calls `wake()` when
    the engine is to have a `Tick` soon, in a later turn of the loop (`account.py`, rule 3), and so
    does `money`: what its calls may cost; None: anything."""

    def __init__(
        self,
        limits: Limits,
        *,
        call_prefix: str = "batch",
        random: Callable[[], float],
        tracing: bool = False,
        account: Account | None = None,
        wake: Callable[[], None] = lambda: None,
        money: CallMoney | None = None,
    ) -> None:
        self.limits = limits
        self.windows = Windows(limits)
        self.lanes = Lanes(limits, self.windows)
        account = account or Account(limits.backoff, limits.account_backoff, random)
        seat = Seat(account, limits, wake)
        self.admission = Admission(limits, call_prefix, random, seat, self.windows.packing, money)
        self.sizing = Sizing(limits, self.windows, self.admission)
        if money is not None:
            money.wake = wake
        self._retries = Retries(limits, random)
        self._history = History() if tracing else None
        self._next_at: float | None = inf  # None: calls flow; computed where it is asked for
        self._handlers: dict[type, Callable[[Any, float], list[Action]]] = {
            Opened: self._opened,
            Closed: self._closed,
            Arrived: self._arrived,
            Withdrawn: self._withdrawn,
            Expedited: self._expedited,
            Passed: self._passed,
            Replied: self._replied,
            Failed: self._failed,
            Cancelled: lambda event, now: self._failed(Failed(event.call_id, CANCELLED), now),
            Delivered: self._delivered,
            Tick: lambda _event, _now: [],
            Flush: self._flush,
            Halt: self._halt,
            Resume: self._resume,
            LimitsChanged: self._limits_changed,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """Takes one event in; returns what is to be done, in order. `now`: never goes back."""
        actions = self._handlers[type(event)](event, now)
        is_flowing = self.admission.pauses.is_flowing
        if not is_flowing and (news := self.admission.pauses.news()) is not None:
            actions.append(news)
        self._start_calls(actions, now)
        waits = not is_flowing or self.admission.seat.rate_at is not None
        self._next_at = self.admission.next_at(self.windows) if waits else None
        return actions

    def next_deadline(self) -> float | None:
        """When to send a `Tick`; None: time alone changes nothing. A Tick then starts a call."""
        next_at = self.admission.due_at(self.windows) if self._next_at is None else self._next_at
        return None if next_at == inf else next_at

    def leave(self) -> None:
        """The engine stops: its account counts none of its calls any more, and it starts none."""
        self.admission.seat.leave()

    def watermark(self, lane: Hashable) -> int | None:
        """The sequence number below which every item is durable; None: the lane is not open."""
        return self.lanes[lane].watermark if lane in self.lanes else None

    @property
    def buffered_bytes(self) -> int:
        """Memory of the slots that are not settled, of all lanes."""
        return self.lanes.buffered_bytes

    def lane_bytes(self, lane: Hashable) -> int:
        """The same of one lane."""
        return self.lanes[lane].buffered_bytes if lane in self.lanes else 0

    def statistics(self) -> inspect.Statistics:
        """Counts as they are now; costs as much as there are lanes and retries."""
        return inspect.statistics(self)

    def blocking(self, lane: Hashable) -> inspect.Blocking | None:
        """The item at the watermark and why it is not settled; None: the lane has none."""
        return inspect.blocking(self, lane)

    def progress(self, lane: Hashable, also: Collection[Slot] = ()) -> tuple[int, list[Range]]:
        """What may be committed of an open lane: the watermark, and the runs of sequence numbers
        above it that need not come again, first and last of each: those settled (order "key" and
        "none"), and those `done` when it opened. `also`: as it is when these slots are settled."""
        return self.lanes[lane].progress(also)

    def history(self, lane: Hashable, seq: int) -> list[str]:
        """What happened to an item, in order; empty without `tracing`."""
        return [] if self._history is None else self._history.of(lane, seq)

    def check_invariants(self) -> None:
        """Raises `AssertionError`, naming the fact, if the state contradicts itself."""
        inspect.check_invariants(self)

    # -- lanes -----------------------------------------------------------------------------------

    def _opened(self, event: Opened, now: float) -> list[Action]:
        self.lanes.open(event)
        return []

    def _closed(self, event: Closed, now: float) -> list[Action]:
        lane = self.lanes.get(event.lane)
        if lane is None:
            return []
        self._note(lane.unsettled, now, "dropped: its lane was closed")
        return [CancelCall(each) for each in self.admission.drop(self.lanes.close(event.lane))]

    def _halt(self, event: Halt, now: float) -> list[Action]:
        self.lanes.halt(event.lanes)
        return []

    def _resume(self, event: Resume, now: float) -> list[Action]:
        self.lanes.resume(event.lanes)
        return []

    def _flush(self, event: Flush, now: float) -> list[Action]:
        self.windows.flushing = True
        return []

    def _limits_changed(self, event: LimitsChanged, now: float) -> list[Action]:
        self.limits = event.applied_to(self.limits)
        self.sizing.change(self.limits)
        return []

    # -- arrival and delivery --------------------------------------------------------------------

    def _arrived(self, event: Arrived, now: float) -> list[Action]:
        slots = event.slots
        if not slots:
            return []
        lane = self.lanes.arrive(slots)
        self._note(slots, now, "arrived")
        waiting, answered = screen(slots, self.limits)
        self.windows.add(lane, waiting)
        return self._release(lane, answered, now) if answered else []

    def _withdrawn(self, event: Withdrawn, now: float) -> list[Action]:
        free = self.limits.order == "none" and self.limits.max_beyond_bytes is None
        assert free, "items can be withdrawn only where nothing waits for them"
        self._note(event.slots, now, "withdrawn")
        memory, calls = withdraw(event.slots, self.windows, self.admission)
        self.lanes.forget(memory)
        return [CancelCall(call_id) for call_id in calls]

    def _expedited(self, event: Expedited, now: float) -> list[Action]:
        self.windows.expedite(event.slots, now)
        return []

    def _passed(self, event: Passed, now: float) -> list[Action]:
        if event.lane in self.lanes:
            self.lanes[event.lane].pass_to(event.next_seq)
        return []

    def _delivered(self, event: Delivered, now: float) -> list[Action]:
        lane = self.lanes.get(event.lane)
        if lane is None:
            return []
        self.lanes.settle(lane, event.slots)
        self.windows.lead.delivered(event.slots, now)
        self._note(event.slots, now, "delivered")
        return self._release(lane, [], now) if lane.waits_for_watermark else []

    def _release(self, lane: Lane, answered: list[Slot], now: float) -> list[Action]:
        released = lane.release(answered)
        self._note(released, now, "released")
        return [Release(lane.key, released)] if released else []

    # -- calls -----------------------------------------------------------------------------------

    def _start_calls(self, actions: list[Action], now: float) -> None:
        while (call := self.admission.start_next(self.windows, now)) is not None:
            if not call.id:
                actions += self._conclude(call, call.give_up(), NOTHING, now)
                continue
            self._note(call.slots, now, "call {0.id} ({0.cause}, {0.reason})", call)
            actions.append(StartCall(call))

    def _replied(self, event: Replied, now: float) -> list[Action]:
        call = self.admission.calls.get(event.call_id)
        if call is None:
            return []
        if len(event.answers) != call.size:
            return self._failed(event.miscounted(call.size), now)
        self.windows.lead.answered(call, now)
        self.admission.learn(call, event.usage, event.rate_limits, now)
        call.share(event.usage)
        answered, unanswered = call.answer(event.answers)
        self.sizing.replied(call, [why for _, why in unanswered], now)
        results, failures = results_and_failures(event.answers)
        self.admission.succeeded(call, now, result=results > 0)
        aftermath = self._retries.after_unanswered(call, unanswered)
        self.admission.pauses.decided(results, failures + aftermath.errors, now)
        return self._conclude(call, answered, aftermath, now)

    def _failed(self, event: Failed, now: float) -> list[Action]:
        call = self.admission.calls.get(event.call_id)
        if call is None:
            return []
        self.admission.learn_failure(call, event.error, now)
        self.sizing.failed(call, event.error, now)
        step, verdict = self.admission.failed(call, event.error, now, self.windows)
        call.share(event.error.usage)  # a refusal is billed
        live = [slot for slot in call.slots if slot.state is State.IN_FLIGHT]
        self._note(live, now, "{} failed: {}", call.id, event.error)
        only = self.admission.nothing_else(self.windows, call)
        aftermath = self._retries.after_failure(call, live, event.error, step, verdict, only=only)
        if not self.admission.failed_alone(call, step):
            self.admission.pauses.decided(0, aftermath.errors, now)
        return self._conclude(call, [], aftermath, now)

    def _conclude(
        self, call: Call, answered: list[Slot], aftermath: Aftermath, now: float
    ) -> list[Action]:
        """A call is over: releases what may go, queues the retries."""
        if aftermath.final:
            answered += call.conclude(aftermath.final)
        for retry, wait_s in aftermath.retries:
            self.admission.retry(retry, now, wait_s)
            self._note(retry.slots, now, "{0.cause} in {1:.3f} s", retry, wait_s)
        call.slots = []
        groups = by_lane(answered).items()
        return [action for lane, group in groups for action in self._release(lane, group, now)]

    def _note(self, slots: Iterable[Slot], now: float, what: str, *about: object) -> None:
        if self._history is not None:
            self._history.note(slots, now, what.format(*about))
