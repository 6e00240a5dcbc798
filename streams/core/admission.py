"""Which call may start now: the limit in flight, the task's pauses, and retries that are due.

A decision and its record are one step: `start_next` takes a microbatch out of its queue, gives it
a number and counts it in flight, so that it cannot start twice. A retry gave its place back when
its call failed and comes through the same gate as a new microbatch, but before it, because what
comes after it in order waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from streams.core.call import Call, Slot, State, tokens_by_script
from streams.core.call_money import CallMoney
from streams.core.demands import Demands
from streams.core.left_over import has_failed, is_suspected, nothing_but
from streams.core.limits import Limits
from streams.core.reservation import Reservation
from streams.core.retries import within
from streams.core.seat import Seat
from streams.core.task_pause import TaskPause
from streams.core.verdict import EVERYBODY, Verdict, verdict
from streams.core.window import Window
from streams.core.windows import Windows
from streams.errors import CallError, Fault
from streams.model import RateLimits, Usage
from streams.policies.budget import Over
from streams.policies.demand import Demand
from streams.policies.packing import Packing
from streams.policies.retry import RULES, Blame, Cause, Step, rule

IN_FLIGHT = State.IN_FLIGHT
DROPPED = State.DROPPED

STUBBORN_STRIKES = 3
"""A repeated call that failed so often takes turns with new ones."""

LIMITED_STRIKES = 15
"""What waits for a limit is given so many tries before it is divided."""


class Admission:
    """`calls`: what is in flight, by id. `results`: calls so far that gave an item a result.
    `limits_from`: the number of the last call that had started when the limits changed. `latest`:
    the size of the last one, and what it takes by estimate."""

    def __init__(
        self,
        limits: Limits,
        prefix: str,
        random: Callable[[], float],
        seat: Seat,
        packing: Packing,
        money: CallMoney | None = None,
    ) -> None:
        self.money = money
        self._prefix = prefix
        self._limits = limits
        self._retries: list[tuple[float, int, Call]] = []  # a heap by due time, then by failure
        self._tie = count()
        # Whose turn it is where retries do not simply go first: among probes, among other calls.
        self._probes_new = self._calls_new = False
        self.seat = seat
        self.pauses = TaskPause(limits, random, seat)
        self.demands = Demands(packing)
        self.calls: dict[str, Call] = {}
        self.started = 0
        self.started_by_cause: Counter[str] = Counter()
        self.new_by_reason: Counter[str] = Counter()
        self.results = 0
        self._at_refusal = inf  # answers to others when the account refused this task last
        self.max_in_flight_seen = 0
        self.limits_from = 0
        self.latest: tuple[int, Demand] | None = None

    def change(self, limits: Limits) -> None:
        """Other limits: calls in flight end as they are, repeated ones keep to the new size."""
        self._limits, self.limits_from = limits, self.started
        self.pauses.change(limits)
        self.seat.resize(limits.max_in_flight)
        queued, self._retries = sorted(self._retries), []
        for _, _, call in queued:
            self._queue(call)

    def start_next(self, windows: Windows, now: float) -> Call | None:
        """Starts the next call, if one is due and may start. One without an id does not start:
        there is no money for it."""
        due = None if self._own_opens_at() > now else self._due(windows, now)
        if due is None:
            self.seat.withdraw(now)
            return None
        limit = self.pauses.new_items_limit
        if isinstance(due, Call):
            due.tokens_by_script = tokens_by_script(due.slots)
            size, demand = float(due.size), self.demands.of_call(due)
        else:
            size, weight = due.next_cut(limit)
            demand = self.demands.of(size, weight)
        pays_at = -inf if self.money is None else self.money.ready_at(size, demand, now)
        if isinstance(pays_at, Over) or pays_at > now:
            self.seat.withdraw(now)
            return self._take(due, windows, now, limit) if isinstance(pays_at, Over) else None
        reservation = self.seat.reserve(demand, now)
        if isinstance(reservation, float):
            return None
        call = self._take(due, windows, now, limit)
        if isinstance(due, Window):
            self.seat.amend(reservation, self.demands.of_call(call))
        self._start(call, reservation, now)
        return call

    def _take(self, due: Call | Window, windows: Windows, now: float, limit: int) -> Call:
        if isinstance(due, Window):
            return windows.cut(due, now, limit)
        return heappop(self._retries)[2]

    def _due(self, windows: Windows, now: float) -> Call | Window | None:
        """What is to be called now: a retry, or a new microbatch of a window."""
        retry = self._retries[0][2] if self._retries and self._retries[0][0] <= now else None
        if retry is not None and not self._prefers_new():
            return retry
        return windows.due(now) or retry

    def next_at(self, windows: Windows) -> float:
        """When the next call starts as things stand; inf: only an event can start one."""
        return self.seat.next_at(self.due_at(windows))

    def due_at(self, windows: Windows) -> float:
        """The same, as far as the engine alone decides."""
        own_opens_at = self._own_opens_at()
        retry_at = self._retries[0][0] if self._retries else inf
        due_at = inf if own_opens_at == inf else min(retry_at, windows.next_at())
        return inf if due_at == inf else max(due_at, own_opens_at)

    def opens_at(self) -> float:
        """From when on a call may start as things stand; inf: only an event can change that."""
        return max(self._own_opens_at(), self.seat.opens_at)

    def _own_opens_at(self) -> float:
        pauses = self.pauses
        opens_at = pauses.opens_at if len(self.calls) < pauses.limit else inf
        return opens_at if self.money is None else max(opens_at, self.money.opens_at)

    def _prefers_new(self) -> bool:
        """Whether a new microbatch goes before a retry. In general it does not; but where the next
        call is a probe, or the retry is suspected or has failed often, they take turns, so that one
        that always fails is never the only one that is tried."""
        if self.pauses.probing:
            return self._probes_new
        retry = self._retries[0][2]
        return self._calls_new and (retry.strikes >= STUBBORN_STRIKES or is_suspected(retry))

    def retries(self) -> Iterator[Call]:
        return (entry[2] for entry in self._retries)

    def _start(self, call: Call, reservation: Reservation, now: float) -> None:
        """Counts a call in flight from now on, and one call more for each of its items."""
        self.started += 1
        call.number = self.started
        call.id = f"{self._prefix}-{self.started}"
        call.started_at = now
        call.reservation = reservation
        if self.money is not None:
            self.money.pay(call, now)
        if call.answers is None:
            call.answers = self.seat.account.evidence.answers
        suspicion = call.suspicion
        reservation.suspected = suspicion is not None and suspicion.repeats > 0
        if call.results is None:
            call.results = self.results
        for index, slot in enumerate(call.slots):
            slot.index = index
            slot.calls += 1
            slot.state = IN_FLIGHT
        self.started_by_cause[call.cause] += 1
        if call.cause == "new":
            self.new_by_reason[call.reason] += 1
        if self.pauses.probing:
            self._probes_new = call.cause != "new"
        else:
            self._calls_new = call.cause != "new"
        self.calls[call.id] = call
        self.latest = call.size, reservation.demand
        if len(self.calls) > self.max_in_flight_seen:
            self.max_in_flight_seen = len(self.calls)
        self.pauses.started(call)

    def learn(
        self, call: Call, usage: Usage | None, rate_limits: RateLimits | None, now: float
    ) -> None:
        """A call was answered: what that says about limits, before its end is told."""
        took = self.demands.took(usage, call.reservation.demand)
        self.demands.learn(call, usage)
        self.seat.learn(call.reservation, took, rate_limits, now)
        if self.money is not None:
            self.money.ended(call, usage)

    def learn_failure(self, call: Call, error: CallError, now: float) -> None:
        """The same of a call that failed."""
        took = self.demands.took(error.usage, call.reservation.demand)
        self.demands.learn(call, error.usage, answered=error.fault is Fault.TRUNCATED)
        self.seat.learn_failure(call.reservation, error, took, now)
        if self.money is not None:
            self.money.ended(call, error.usage, error)

    def succeeded(self, call: Call, now: float, *, result: bool) -> None:
        """A call was answered: it gives its place back. `result`: whether an item got one."""
        del self.calls[call.id]
        self.results += result
        if call.suspicion is not None:
            self.seat.account.evidence.recovered(call.suspicion)
            call.suspicion = None
        call.answers = None  # what it did not answer starts afresh
        self.pauses.succeeded(call, now, result=result)

    def failed(
        self, call: Call, error: CallError, now: float, windows: Windows
    ) -> tuple[Step, Verdict]:
        """A call failed: it gives its place back. Learns what that says about the API; returns
        what is to follow for the microbatch, and whose fault it is if it may be everybody's."""
        del self.calls[call.id]
        cause, said = RULES[error.fault].cause, EVERYBODY
        if cause is not None:
            said = self._verdict(call, cause, now, windows)
        step, cause = rule(error.fault, said.blame, function_errors=self._limits.function_errors)
        if self.pauses.current is None and cause is not None:
            # Another microbatch tells more; but where calls are scarce, who was first comes first.
            self._probes_new = cause is not Cause.THROTTLED
        self.pauses.failed(call, step, cause, error, now, alone=said.blame is Blame.TASK)
        call.answers = self.seat.account.evidence.answers
        return step, said

    def _verdict(self, call: Call, cause: Cause, now: float, windows: Windows) -> Verdict:
        if cause is Cause.ACCOUNT and not self.pauses.answers and self._others_answered(call):
            return Verdict(Blame.TASK)
        left_over = nothing_but(is_suspected, call, self.retries(), windows, self.seat)
        return verdict(self.seat, call, cause, now, left_over=left_over)

    def _others_answered(self, call: Call) -> bool:
        """Whether calls of other tasks were answered since the account refused this task last, or
        since this call began."""
        answers = self.seat.account.evidence.answers
        before, self._at_refusal = self._at_refusal, answers
        return answers > min(before, call.answers or 0)

    def nothing_else(self, windows: Windows, call: Call) -> bool:
        """Whether nothing but this call, which is over, and others that failed as often could be
        answered. Not soon where others have met a limit and passed: what waits for one is answered,
        and calls are scarce."""
        suspicion = call.suspicion
        if suspicion is None:
            return False
        evidence = self.seat.account.evidence
        limited = Cause.THROTTLED in suspicion.failures and evidence.has_recovered(Cause.THROTTLED)
        if limited and call.strikes < LIMITED_STRIKES:
            return False
        return nothing_but(has_failed, call, self.retries(), windows, self.seat)

    def failed_alone(self, call: Call, step: Step) -> bool:
        """Whether other calls gave results while this microbatch had its counted attempts. Those
        take long, so that in the end many may fail in a row that began among results."""
        counted = step in (Step.COUNT, Step.ISOLATE)
        return counted and self.results > (call.results or 0)

    def retry(self, call: Call, now: float, wait_s: float) -> None:
        """Queues a retry, to start `wait_s` from now at the earliest."""
        call.failed_at = now
        call.due_at = now + wait_s
        for slot in call.slots:
            slot.state = State.RETRYING
        self._queue(call)

    def _queue(self, call: Call) -> None:
        """Queues a retry; where `max_items` has become less than its size, in parts."""
        for part in within(call, self._limits.max_items):
            heappush(self._retries, (part.due_at, next(self._tie), part))

    def drop(self, slots: Collection[Slot]) -> list[str]:
        """These slots are DROPPED: their retries go; returns the calls that nobody owns now."""
        remaining = []
        for entry in self._retries:
            call = entry[2]
            if any(slot.state is DROPPED for slot in call.slots):
                call.slots = [slot for slot in call.slots if slot.state is not DROPPED]
                call.size = len(call.slots)
            if call.slots:
                remaining.append(entry)
        if len(remaining) < len(self._retries):
            self._retries = remaining
            heapify(remaining)
        return [
            call.id
            for call in self.calls.values()
            if all(slot.state is DROPPED for slot in call.slots)
            and any(slot in slots for slot in call.slots)
        ]
