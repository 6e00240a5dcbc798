"""Two or three engines on one account, against what an outsider sees of it.

Never two probes, no call before a pause is over or above the ramp, nobody passed over for long, and
no wake-up too few or too many: once answers flow, every engine finishes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.core import (
    Action,
    Arrived,
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
from streams.errors import CallError, Fault
from streams.policies.breaker import BreakerLimits
from streams.policies.retry import Backoff

from .effort import effort
from .model import ANSWERS_OF_THE_API

LIMITS = st.builds(
    Limits,
    max_items=st.integers(1, 3),
    max_wait_s=st.sampled_from([0.0, 0.05, 3.0]),
    max_in_flight=st.integers(1, 6),
    max_attempts=st.integers(1, 3),
    breaker=st.sampled_from([None, None, BreakerLimits(run=3)]),
    backoff=st.just(Backoff(0.5, 4.0)),
    priority=st.sampled_from([0, 0, 7]),
)
FAULTS = [*Fault, Fault.THROTTLED, Fault.THROTTLED, Fault.CONNECTION, Fault.CONNECTION]


@dataclass(eq=False)
class Member:
    engine: Engine
    limits: Limits
    arrived: int = 0  # items of its lane
    calls: set[str] = field(default_factory=set)
    paused: bool = False  # as it last announced
    passed_over: int = 0  # probes of others since it is in line
    left: bool = False


class AccountMachine(RuleBasedStateMachine):
    @initialize(
        limits=st.lists(LIMITS, min_size=2, max_size=3), random=st.randoms(use_true_random=False)
    )
    def begin(self, limits: list[Limits], random: Any) -> None:
        self.random = random.random
        self.account = Account(Backoff(0.5, 4.0), Backoff(3.0, 30.0), self.random)
        self.now = 0.0
        self.woken: list[Member] = []
        self.members: list[Member] = []
        self.probe: tuple[Member, str] | None = None
        self.not_before = 0.0  # what the API has asked for
        self.ramp = inf
        self.since: set[tuple[int, str]] = set()  # calls under way that began since it began
        for each in limits:
            self.join(each)

    def join(self, limits: Limits) -> None:
        engine = Engine(
            limits,
            random=self.random,
            tracing=True,
            account=self.account,
            wake=lambda: self.woken.append(member),
        )
        member = Member(engine, limits)
        self.members.append(member)
        self.handle(member, Opened("a"))

    # -- what happens ------------------------------------------------------------------------

    def handle(self, member: Member, event: Event) -> list[Action]:
        """One event, and the ticks of those that it wakes."""
        actions = self.handle_one(member, event)
        while self.woken:
            woken = self.woken.pop(0)
            due = woken.engine.next_deadline()
            heard = self.handle_one(woken, Tick())
            # A higher one that was woken, too, may have taken what there was.
            outranked = any(m.limits.priority > woken.limits.priority for m in self.members)
            changed = bool(heard) or woken.engine.next_deadline() != due
            assert changed or outranked, "woken for nothing"
        return actions

    def handle_one(self, member: Member, event: Event) -> list[Action]:
        was_paused = self.account.pause is not None
        before = len(self.woken)
        actions = member.engine.handle(event, self.now)
        assert member not in self.woken[before:], "woken while it was handled"
        self.follow(member, event, was_paused)
        for action in actions:
            match action:
                case StartCall(call):
                    self.judge_start(member, call.id)
                case Release(lane, slots):
                    actions = actions + self.handle_one(member, Delivered(lane, slots))
                case Paused():
                    member.paused = True
                case Resumed():
                    assert member.paused, "resumed without a pause"
                    member.paused = False
        return actions

    def follow(self, member: Member, event: Event, was_paused: bool) -> None:
        """What the event says about the account."""
        if isinstance(event, Replied | Failed | Cancelled):
            member.calls.remove(event.call_id)
            self.since.discard((id(member), event.call_id))
            if self.probe == (member, event.call_id):
                self.probe = None
        if self.account.pause is None and was_paused:
            self.probe, self.ramp = None, 2
            self.since.clear()
        elif isinstance(event, Replied) or (
            isinstance(event, Failed) and event.error.fault in ANSWERS_OF_THE_API
        ):
            self.ramp *= 2 if not member.left else 1
        if isinstance(event, Failed) and event.error.fault is Fault.THROTTLED and not member.left:
            self.not_before = max(self.not_before, self.now + (event.error.retry_after_s or 0.0))
        self.end_ramp()

    def end_ramp(self) -> None:
        """It is over when it limits nobody."""
        if self.ramp >= sum(each.limits.max_in_flight for each in self.members):
            self.ramp = inf

    def judge_start(self, member: Member, call_id: str) -> None:
        assert not member.left, "one that has left starts a call"
        assert self.now >= self.not_before, "earlier than the API asked for"
        under_way = sum(len(each.calls) for each in self.members)
        pause = self.account.pause
        if pause is not None:
            assert self.now >= pause.until, "a call started in a pause"
            assert self.probe is None, "two probes at once"
            self.probe = (member, call_id)
            for other in self.members:
                other.passed_over += other.engine.admission.seat in self.account.line
        else:
            allowed = under_way < self.ramp
            if len(member.calls) < self.ramp and not self.since:
                allowed = True  # the others' calls, all from before, may take long
            assert allowed, "more calls than the ramp allows"
            self.since.add((id(member), call_id))
        member.passed_over = 0
        member.calls.add(call_id)
        assert len(member.calls) <= member.limits.max_in_flight

    def pick(self, which: int) -> Member:
        return self.members[which % len(self.members)]

    def pick_call(self, which: int) -> tuple[Member, str]:
        calls = [(member, call) for member in self.members for call in sorted(member.calls)]
        return calls[which % len(calls)]

    def calling(self) -> bool:
        return any(member.calls for member in self.members)

    # -- rules -------------------------------------------------------------------------------

    @rule(which=st.integers(0, 2), count=st.integers(1, 8))
    def arrive(self, which: int, count: int) -> None:
        member = self.pick(which)
        seqs = range(member.arrived, member.arrived + count)
        slots = [Slot("a", seq, None, tokens=seq % 3, arrived_at=self.now) for seq in seqs]
        member.arrived += count
        self.handle(member, Arrived(slots))

    @precondition(calling)
    @rule(which=st.integers(0, 20))
    def reply(self, which: int) -> None:
        member, call_id = self.pick_call(which)
        size = member.engine.admission.calls[call_id].size
        self.handle(member, Replied(call_id, [1] * size))

    @precondition(calling)
    @rule(
        which=st.integers(0, 20),
        fault=st.sampled_from(FAULTS),
        retry_after_s=st.sampled_from([None, 0.0, 0.2, 3.0]),
    )
    def fail(self, which: int, fault: Fault, retry_after_s: float | None) -> None:
        member, call_id = self.pick_call(which)
        error = CallError(fault, "no", retry_after_s=retry_after_s)
        self.handle(member, Failed(call_id, error))

    @precondition(calling)
    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        member, call_id = self.pick_call(which)
        self.handle(member, Cancelled(call_id))

    @rule(which=st.integers(0, 2))
    def close_its_lane(self, which: int) -> None:
        member = self.pick(which)
        self.handle(member, Closed("a"))
        member.arrived = 0
        self.handle(member, Opened("a"))

    @rule(which=st.integers(0, 8), limits=LIMITS)
    def leave_and_join(self, which: int, limits: Limits) -> None:
        if which < len(self.members):
            member = self.members.pop(which)
            member.left = True
            if self.probe is not None and self.probe[0] is member:
                self.probe = None
            member.engine.leave()
            self.end_ramp()
            self.since = {each for each in self.since if each[0] != id(member)}
            for call_id in list(member.calls):
                member.engine.handle(Failed(call_id, CallError(Fault.ACCOUNT)), self.now)
            self.join(limits)

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.3, 2.0, 40.0]))
    def let_time_pass(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            due, member = self.next_due()
            if due > until:
                break
            self.now = max(self.now, due)
            self.handle(member, Tick())
        self.now = until

    def next_due(self) -> tuple[float, Member]:
        deadlines = [(member.engine.next_deadline(), member) for member in self.members]
        times = [(inf if due is None else due, member) for due, member in deadlines]
        return min(times, key=lambda pair: pair[0])

    # -- after every step --------------------------------------------------------------------

    @invariant()
    def the_counts_agree(self) -> None:
        for member in self.members:
            member.engine.check_invariants()
        statistics = self.account.statistics()
        assert statistics.in_flight == sum(len(member.calls) for member in self.members)
        assert statistics.probing == (self.probe is not None)
        calls = [c for m in self.members for c in m.engine.admission.calls.values()]
        assert statistics.reserved_tokens == sum(call.tokens for call in calls)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        for member in self.members:
            admission, seat = member.engine.admission, member.engine.admission.seat
            own_opens_at = admission._own_opens_at()
            windows = member.engine.windows
            retry_at = min((call.due_at for call in admission.retries()), default=inf)
            due_at = min(retry_at, windows.next_at())
            if own_opens_at > self.now or due_at > self.now:
                assert seat not in self.account.line, "in line with nothing to call"
                continue
            opens_at, deadline = seat.opens_at, member.engine.next_deadline()
            assert opens_at > self.now, "a call is due, and may start"
            assert seat.asks_at is not None, "a call is due, and its engine is not to be woken"
            on_time = opens_at == inf or (deadline is not None and deadline <= opens_at)
            assert on_time, "asks later than it may"

    @invariant()
    def who_announced_a_pause_has_heard_of_its_end(self) -> None:
        for member in self.members:
            if member.engine.admission.pauses.current is None:
                assert not member.paused

    @invariant()
    def probes_take_turns(self) -> None:
        for member in self.members:
            if member.engine.admission.seat not in self.account.line:
                member.passed_over = 0
            assert member.passed_over < len(self.members), "passed over by everybody, and again"

    def teardown(self) -> None:
        """Once the API answers, every item of every engine has its outcome."""
        if not hasattr(self, "account"):
            return
        for _ in range(5_000):
            due, member = self.next_due()
            if self.calling():
                self.reply(0)
            elif due < inf:
                self.now = max(self.now, due)
                self.handle(member, Tick())
            else:
                break
        assert self.account.statistics()[1:4] == (0, 0, 0)
        for member in self.members:
            assert member.engine.watermark("a") == member.arrived, member.engine.statistics()


TestAccount = AccountMachine.TestCase
TestAccount.settings = effort(100, stateful_step_count=50)
