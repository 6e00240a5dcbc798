"""A small language for the engine in virtual time.

An item of lane "a" with sequence number 3 is written `a3`. Calls, releases and lanes are strings
of such words, so that a test reads as the specification:

    s = Scenario(max_items=2)
    s.arrive("a0 a1 a2")                # at 0.0 s, in order
    assert s.calls() == ["a0 a1"]       # calls that have started since it was last asked
    s.reply("a0 a1")
    s.at(0.05)                          # time passes; ticks are sent exactly when they are due
    assert s.calls() == ["a2"]
    assert s.released() == ["a0 a1"]    # one string per release

After every event all invariants are checked. Outcomes are delivered only by `deliver`.

`Company` is several of them on one account, in one time:

    company = Company(a={"max_in_flight": 3}, b={})
    a, b = company.members
    a.arrive("a0").fail("a0", Fault.THROTTLED, retry_after_s=5)
    company.at(4.9)                     # woken engines have their tick, too
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from streams.core import (
    Action,
    Arrived,
    CancelCall,
    Cancelled,
    Closed,
    Delivered,
    Engine,
    Event,
    Failed,
    Limits,
    Opened,
    Paused,
    Release,
    Replied,
    Resumed,
    Slot,
    StartCall,
    Tick,
)
from streams.core.account import Account
from streams.core.call import Call
from streams.errors import CallError, Fault, ItemError
from streams.model import RateLimits, Unanswered, Usage
from streams.policies.retry import Backoff


class Scenario:
    """`draw`: what the jitter draws, in [0, 1). Lanes open by themselves, from sequence number 0.
    `check`: whether all invariants are checked after every event (in time with the items held)."""

    def __init__(
        self,
        *,
        draw: float = 0.5,
        check: bool = True,
        account: Account | None = None,
        wake: Callable[[], None] = lambda: None,
        **limits: Any,
    ) -> None:
        self._check = check
        self.limits = Limits(**{"max_items": 10, "max_wait_s": 0.05, "max_in_flight": 1, **limits})
        self.engine = Engine(
            self.limits,
            call_prefix="t",
            random=lambda: draw,
            tracing=True,
            account=account,
            wake=wake,
        )
        self.now = 0.0
        self.ticks = 0
        self.actions: list[Action] = []
        self.in_flight: dict[str, Call] = {}  # by what it holds
        self.slots: dict[str, Slot] = {}
        self._started: list[Call] = []
        self._words: dict[str, str] = {}  # batch id -> what it holds
        self._undelivered: list[Release] = []
        self._released: list[str] = []
        self._cancelled: list[str] = []
        self._said: list[Paused | Resumed] = []

    # -- events ------------------------------------------------------------------------------

    def handle(self, event: Event) -> list[Action]:
        actions = self.engine.handle(event, self.now)
        if self._check:
            self.engine.check_invariants()
        for action in actions:
            self._record(action)
        return actions

    def at(self, time_s: float) -> Scenario:
        """Lets time pass until `time_s`, with a Tick at each deadline on the way."""
        while (due := self.engine.next_deadline()) is not None and due <= time_s:
            assert due > self.now, f"due at {due}, but it is {self.now}"
            self.now = due
            self.ticks += 1
            assert self.handle(Tick()), f"a tick at its deadline {due} did nothing"
        self.now = max(self.now, time_s)
        return self

    def arrive(self, words: str, **fields: Any) -> Scenario:
        """Slots arrive now, one event for each run of one lane. `fields`: of every slot."""
        run: list[Slot] = []
        for word in words.split():
            lane, seq = word[0], int(word[1:])
            if lane not in self.engine.lanes:
                self.handle(Opened(lane))
            if run and run[0].lane != lane:
                self.handle(Arrived(run))
                run = []
            slot = Slot(lane, seq, word, **{"arrived_at": self.now, "memory": 1, **fields})
            self.slots[word] = slot
            run.append(slot)
        if run:
            self.handle(Arrived(run))
        return self

    def reply(
        self,
        words: str,
        *,
        usage: Usage | None = None,
        rate_limits: RateLimits | None = None,
        **answers: Any,
    ) -> Scenario:
        """The call with these items is answered: each with its own name in capitals, or as said."""
        batch = self.in_flight.pop(words)
        values = [answers.get(word, word.upper()) for word in batch.items]
        self.handle(Replied(batch.id, values, usage, rate_limits))
        return self

    def fail(
        self,
        words: str,
        fault: Fault,
        retry_after_s: float | None = None,
        message: str = "no",
        rate_limits: RateLimits | None = None,
    ) -> Scenario:
        batch = self.in_flight.pop(words)
        error = CallError(fault, message, retry_after_s=retry_after_s, rate_limits=rate_limits)
        self.handle(Failed(batch.id, error))
        return self

    def cancel(self, words: str) -> Scenario:
        """The call has ended because it was cancelled."""
        self.handle(Cancelled(self.in_flight.pop(words).id))
        return self

    def deliver(self, words: str | None = None) -> Scenario:
        """What was released is durable: all of it, or these slots of one lane."""
        if words is not None:
            slots = [self.slots[word] for word in words.split()]
            self.handle(Delivered(slots[0].lane, slots))
            return self
        undelivered, self._undelivered = self._undelivered, []
        for release in undelivered:
            self.handle(Delivered(release.lane, release.slots))
        return self

    def close(self, lane: str) -> Scenario:
        self.handle(Closed(lane))
        return self

    def run(self, respond: Callable[[Call], list[Any] | CallError], *, until_s: float = 1e6) -> int:
        """Answers every call as `respond` says until nothing more happens; how many calls."""
        calls = 0
        while True:
            if self.in_flight:
                words, batch = next(iter(self.in_flight.items()))
                del self.in_flight[words]
                said = respond(batch)
                calls += 1
                if isinstance(said, CallError):
                    self.handle(Failed(batch.id, said))
                else:
                    self.handle(Replied(batch.id, said))
                continue
            due = self.engine.next_deadline()
            if due is None or due > until_s:
                return calls
            self.at(due)

    # -- what came of it ---------------------------------------------------------------------

    def calls(self) -> list[str]:
        """The calls that have started since it was last asked."""
        started, self._started = self._started, []
        return [self._words[batch.id] for batch in started]

    def batches(self) -> list[Call]:
        """The same as values."""
        started, self._started = self._started, []
        return started

    def released(self) -> list[str]:
        released, self._released = self._released, []
        return released

    def cancelled(self) -> list[str]:
        cancelled, self._cancelled = self._cancelled, []
        return cancelled

    def said(self) -> list[Paused | Resumed]:
        said, self._said = self._said, []
        return said

    def outcomes(self) -> dict[str, Any]:
        """What became of each item: its answer, or the code of its dead letter."""
        return {word: _told(slot.outcome) for word, slot in self.slots.items()}

    def codes(self) -> dict[str, str]:
        """The dead letters and their codes."""
        return {
            word: slot.outcome.code
            for word, slot in self.slots.items()
            if isinstance(slot.outcome, ItemError)
        }

    @property
    def at_rest(self) -> bool:
        """Whether no call is under way or to be retried, and no outcome on its way to the sink."""
        seen = self.engine.statistics()
        return not (seen.in_flight or seen.retrying or seen.delivering)

    def watermark(self, lane: str) -> int | None:
        return self.engine.watermark(lane)

    def _record(self, action: Action) -> None:
        match action:
            case StartCall(batch):
                words = " ".join(batch.items)
                self._words[batch.id] = words
                assert words not in self.in_flight, f"{words} started twice"
                self.in_flight[words] = batch
                self._started.append(batch)
            case Release(lane, slots):
                assert all(slot.lane == lane for slot in slots)
                self._released.append(_words(slots))
                self._undelivered.append(action)
            case CancelCall(batch_id):
                self._cancelled.append(self._words[batch_id])
            case Paused() | Resumed():
                self._said.append(action)


class Company:
    """Engines on one account, in one time. A woken engine has its tick in a later turn: at the next
    `at`. `wakes`: how often each was woken."""

    def __init__(self, *, draw: float = 0.0, **members: dict[str, Any]) -> None:
        self.account = Account(Backoff(), Backoff(30.0, 300.0), lambda: draw)
        self.now = 0.0
        self.wakes: Counter[str] = Counter()
        self._woken: list[str] = []
        self._by_name = {
            name: Scenario(
                draw=draw, account=self.account, wake=partial(self._wake, name), **limits
            )
            for name, limits in members.items()
        }
        self.members = list(self._by_name.values())

    def _wake(self, name: str) -> None:
        self.wakes[name] += 1
        self._woken.append(name)

    def at(self, time_s: float) -> Company:
        """Lets time pass until `time_s`: a tick for each that was woken, and at each deadline."""
        for _ in range(10_000):
            while self._woken:
                self._by_name[self._woken.pop(0)].handle(Tick())
            due, member = min(
                ((_due_at(member), member) for member in self.members), key=lambda pair: pair[0]
            )
            if due > time_s:
                break
            self._set_time(due)
            member.handle(Tick())
        else:
            raise AssertionError("ticks without end")
        self._set_time(time_s)
        return self

    def _set_time(self, time_s: float) -> None:
        self.now = max(self.now, time_s)
        for member in self.members:
            member.now = self.now

    def turn(self) -> Company:
        """No time passes: those that were woken have their tick."""
        return self.at(self.now)


def _due_at(member: Scenario) -> float:
    due = member.engine.next_deadline()
    return float("inf") if due is None else due


def words(lane: str, count: int, start: int = 0) -> str:
    """`words("a", 3)` is "a0 a1 a2"."""
    return " ".join(f"{lane}{seq}" for seq in range(start, start + count))


def error(fault: Fault, **fields: Any) -> CallError:
    return CallError(fault, "no", **fields)


MISSING, INVALID, CUT = Unanswered.MISSING, Unanswered.INVALID, Unanswered.CUT


def _words(slots: Iterable[Slot]) -> str:
    return " ".join(f"{slot.lane}{slot.seq}" for slot in slots)


def _told(outcome: Any) -> Any:
    return outcome.code if isinstance(outcome, ItemError) else outcome
