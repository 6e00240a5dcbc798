"""Which call may start now: the limit in flight, the task's pauses, and retries that are due.

A decision and its record are one step: `start_next` takes a microbatch out of its queue, gives it
a number and counts it in flight, so that it cannot start twice. A retry gave its place back when
its call failed and comes through the same gate as a new microbatch, but before it, because what
comes after it in order waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from streams.core.account import Pauses
from streams.core.call import Call, State
from streams.core.limits import Limits
from streams.core.order import Lane
from streams.core.windows import Windows
from streams.errors import CallError
from streams.policies.retry import Step, rule

IN_FLIGHT = State.IN_FLIGHT
DROPPED = State.DROPPED

STUBBORN_STRIKES = 3

RECENTLY_S = 60.0
"""For so long after the last answer a failure of the one item that is left is taken for its own."""


class Admission:
    """`calls`: what is in flight, by id. `successes`: calls answered so far (`Replied`); `results`:
    those that gave an item a result."""

    def __init__(self, limits: Limits, call_prefix: str, random: Callable[[], float]) -> None:
        self._prefix = call_prefix
        self._retries: list[tuple[float, int, Call]] = []  # a heap by due time, then by failure
        self._tie = count()
        self._turn = "retry"  # whose turn it is where retries do not simply go first
        self.pauses = Pauses(limits, random)
        self.calls: dict[str, Call] = {}
        self.started = 0
        self.started_by_cause: Counter[str] = Counter()
        self.new_by_reason: Counter[str] = Counter()
        self.successes = 0
        self._succeeded_at = -inf
        self.results = 0
        self.max_in_flight_seen = 0

    def start_next(self, windows: Windows, now: float) -> Call | None:
        """Starts the next call, if one is due and may start."""
        if self.opens_at() > now:
            return None
        limit = self.pauses.new_items_limit
        if self._prefers_new():
            call = windows.cut(now, limit) or self._next_retry(now)
        else:
            call = self._next_retry(now) or windows.cut(now, limit)
        if call is not None:
            self._start(call, now)
        return call

    def next_at(self, windows: Windows) -> float:
        """When the next call starts as things stand; inf: only an event can start one."""
        opens_at = self.opens_at()
        if opens_at == inf:
            return inf
        retry_at = self._retries[0][0] if self._retries else inf
        due_at = min(retry_at, windows.next_at())
        return inf if due_at == inf else max(due_at, opens_at)

    def opens_at(self) -> float:
        """From when on a call may start as things stand; inf: only an event can change that."""
        return self.pauses.opens_at if len(self.calls) < self.pauses.limit else inf

    def _prefers_new(self) -> bool:
        """Whether a new microbatch goes before a retry. In general it does not; but where the next
        call is a probe, or the retry has failed often, they take turns, so that one that always
        fails is never the only one that is tried."""
        if self._turn == "retry":
            return False
        stubborn = self._retries and self._retries[0][2].strikes >= STUBBORN_STRIKES
        return self.pauses.probing or bool(stubborn)

    def _next_retry(self, now: float) -> Call | None:
        """Takes out the retry that is due the longest."""
        if self._retries and self._retries[0][0] <= now:
            return heappop(self._retries)[2]
        return None

    def retries(self) -> Iterator[Call]:
        return (entry[2] for entry in self._retries)

    @property
    def is_idle(self) -> bool:
        """Whether no call is in flight and no retry waits."""
        return not self.calls and not self._retries

    def _start(self, call: Call, now: float) -> None:
        """Counts a call in flight from now on, and one call more for each of its items."""
        self.started += 1
        call.number = self.started
        call.id = f"{self._prefix}-{self.started}"
        call.started_at = now
        if call.successes is None:
            call.successes = self.successes
        if call.results is None:
            call.results = self.results
        for index, slot in enumerate(call.slots):
            slot.index = index
            slot.calls += 1
            slot.state = IN_FLIGHT
        self.started_by_cause[call.cause] += 1
        if call.cause == "new":
            self.new_by_reason[call.reason] += 1
        self._turn = "retry" if call.cause == "new" else "new"
        self.calls[call.id] = call
        self.max_in_flight_seen = max(self.max_in_flight_seen, len(self.calls))
        self.pauses.started(call)

    def succeeded(self, call: Call, now: float, *, result: bool) -> None:
        """A call was answered: it gives its place back. `result`: whether an item got one."""
        del self.calls[call.id]
        self.successes += 1
        self._succeeded_at = now
        self.results += result
        call.successes = None  # what it did not answer starts afresh
        self.pauses.answered(call, now, result=result)
        self.pauses.ended(call)

    def failed(self, call: Call, error: CallError, now: float, waiting: int) -> Step:
        """A call failed: it gives its place back. Learns what that says about the API; returns
        what is to follow for the microbatch. `waiting`: items that are in no microbatch yet."""
        del self.calls[call.id]
        pauses = self.pauses
        others_succeed = self._others_succeed(call, now, last=self.is_idle and not waiting)
        step, cause = rule(error.fault, others_succeed=others_succeed)
        if cause is not None:
            pauses.failed(call, cause, error, now)
        elif step in (Step.HALVE, Step.ASK):
            pauses.answered(call, now, result=False)
        elif step is Step.COUNT:
            pauses.prolong(call, now)
        elif step is Step.WAIT:
            pauses.asked_to_wait(call, error, now)
        pauses.ended(call)
        call.successes = self.successes
        return step

    def _others_succeed(self, call: Call, now: float, *, last: bool) -> bool:
        """Whether calls have succeeded since the microbatch failed the last time, or began."""
        if self.pauses.is_probe(call):
            return False  # those that had succeeded before an outage say nothing about it
        if self.successes > (call.successes or 0):
            return True
        # Nothing else is left that could succeed. An item that has failed among others that did
        # not, a moment ago, would be waited for until new ones come.
        failed_among_others = call.size == 1 and call.slots[0].faults > 0
        return last and failed_among_others and now - self._succeeded_at <= RECENTLY_S

    def failed_alone(self, call: Call, step: Step) -> bool:
        """Whether other calls gave results while this microbatch had its counted attempts. Those
        take long, so that in the end many may fail in a row that began among results."""
        return step is Step.COUNT and self.results > (call.results or 0)

    def retry(self, call: Call, now: float, wait_s: float) -> None:
        """Queues a retry, to start `wait_s` from now at the earliest."""
        call.failed_at = now
        call.due_at = now + wait_s
        for slot in call.slots:
            slot.state = State.RETRYING
        heappush(self._retries, (call.due_at, next(self._tie), call))

    def drop(self, lane: Lane) -> list[str]:
        """The lane's slots are DROPPED: its retries go; returns the calls that nobody owns."""
        remaining = []
        for entry in self._retries:
            call = entry[2]
            call.slots = [slot for slot in call.slots if slot.home is not lane]
            call.size = len(call.slots)
            if call.slots:
                remaining.append(entry)
        self._retries = remaining
        heapify(remaining)
        return [
            call.id
            for call in self.calls.values()
            if any(slot.home is lane for slot in call.slots)
            and all(slot.state is DROPPED for slot in call.slots)
        ]
