"""The whole engine against the naive model, with every invariant checked after every step.

All order modes, lanes that open and close, faults of every kind, deliveries late and in parts,
ticks late or in time; in the end every item of an open lane has its outcome, in order, durable.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from streams.core import (
    PENDING,
    Action,
    Arrived,
    CancelCall,
    Cancelled,
    Closed,
    Delivered,
    Engine,
    Event,
    Expedited,
    Failed,
    Flush,
    Halt,
    Limits,
    LimitsChanged,
    Opened,
    Passed,
    Paused,
    Release,
    Replied,
    Resume,
    Resumed,
    Slot,
    StartCall,
    Tick,
    Withdrawn,
)
from streams.errors import CallError, Fault, ItemError
from streams.model import DROP, Unanswered, Usage
from streams.policies.breaker import BreakerLimits
from streams.policies.retry import Backoff

from . import invariants
from .effort import effort
from .model import ANSWERS_OF_THE_API, Model, written

LANES = st.sampled_from("abc")
PLAIN: dict[str, Any] = {"gap": 0, "tokens": 2, "size": 1, "memory": 3}
ITEMS = [
    PLAIN,
    PLAIN | {"order_key": "x"},
    PLAIN | {"order_key": "x", "tokens": 5},
    PLAIN | {"order_key": "y", "size": 7},
    PLAIN | {"tokens": 8, "gap": 2},
    PLAIN | {"gap": 200},
    PLAIN | {"tokens": 9, "memory": 0},
    PLAIN | {"tokens": 0, "size": 9},
    PLAIN | {"call_key": "k"},
    PLAIN | {"call_key": "k", "order_key": "x"},
    PLAIN | {"deadline_in_s": 0.01},
    PLAIN | {"deadline_in_s": 3.0},
    PLAIN | {"deadline_in_s": -5.0, "call_key": "k"},
    PLAIN | {"outcome": None, "order_key": "y"},
    PLAIN | {"outcome": ItemError("no_text")},
]
"""One draw an item, or Hypothesis spends its time on drawing."""

ANSWERS = [1, None, DROP, ItemError("sad"), *Unanswered, *Unanswered]
BREAKERS = [None, BreakerLimits(run=3, window=1000), BreakerLimits(run=1000, window=6, share=0.4)]
DONE_BEFORE = [[], [], [(2, 3)], [(0, 0), (4, 9), (12, 200)]]
DISTURBANCES = ["close", "halt", "resume", "resume all", "flush", "cancel", "late", "pass"]
CHANGES: list[dict[str, Any]] = [
    {"max_items": 1},
    {"max_items": 3, "max_in_flight": 2},
    {"max_items": 6, "max_wait_s": 0.0},
    {"max_wait_s": 0.05, "max_in_flight": 4},
    {"max_wait_s": 0.5},
    {"max_in_flight": 1},
]
LIMITS = st.builds(
    Limits,
    max_items=st.integers(1, 6),
    max_wait_s=st.sampled_from([0.0, 0.05]),
    max_tokens=st.sampled_from([None, 8, 20]),
    max_bytes=st.sampled_from([None, 8, 20]),
    max_in_flight=st.integers(1, 4),
    max_attempts=st.integers(1, 4),
    max_asks=st.integers(0, 2),
    split=st.sampled_from([True, True, True, False]),
    order=st.sampled_from(["partition", "key", "none"]),
    max_beyond_bytes=st.sampled_from([None, None, None, 4, 8, 12, 30]),
    backoff=st.just(Backoff(0.5, 4.0)),
    breaker=st.sampled_from(BREAKERS),
)


class EngineMachine(RuleBasedStateMachine):
    @initialize(limits=LIMITS, random=st.randoms(use_true_random=False))
    def begin(self, limits: Limits, random: Any) -> None:
        self.engine = Engine(limits, call_prefix="p", random=random.random, tracing=True)
        self.model = Model(limits)
        self.now = 0.0
        self.undelivered: list[Release] = []
        self.cancelled: set[str] = set()
        self.released: dict[str, list[Slot]] = {}

    def handle(self, event: Event) -> list[Action]:
        actions = self.engine.handle(event, self.now)
        self.heard = actions
        self.model.lead_s = self.engine.windows.lead.s
        return actions

    def judge(self, actions: list[Action], *, answered_by_api: bool = False) -> None:
        """Follows the engine's actions in the model, in order."""
        turns = self.model.may_leave()
        for action in actions:
            match action:
                case Release(lane, slots):
                    self.judge_release(str(lane), slots, turns.pop(str(lane), []))
                    self.undelivered.append(action)
                case Resumed():
                    assert self.model.tripped_at is None, "calls flow and give no results"
                    self.model.resumed()
                    answered_by_api = False
                case Paused(reason, until, _):
                    tripped = self.model.tripped_at is not None
                    assert tripped or reason != "breaker", "the breaker tripped for nothing"
                    self.model.paused_until = until
                case CancelCall(batch_id):
                    items = self.model.calls[batch_id].items
                    assert all(item.is_nobodys for item in items)
                    self.cancelled.add(batch_id)
                case StartCall(batch):
                    if answered_by_api:
                        self.model.ramp *= 2
                        answered_by_api = False
                    self.model.start(batch, self.now)
        if answered_by_api:
            self.model.ramp *= 2
        assert self.model.gated or not turns, f"not released: {turns}"
        if self.model.tripped_at is not None:
            assert self.model.paused_until is not None, "the breaker has not tripped"

    def judge_release(self, lane: str, slots: list[Slot], turn: list[Any]) -> None:
        released = [self.model.by_slot[id(slot)] for slot in slots]
        if self.model.limits.order == "partition":
            assert released == turn
        if self.model.gated:
            turn = turn[: len(released)]  # the rest waits, see `invariants`
            assert released == turn
        assert sorted(item.seq for item in released) == [item.seq for item in turn]
        for key in {item.slot.order_key for item in released} - {None}:
            of_key = [item.seq for item in released if item.slot.order_key == key]
            assert self.model.limits.order == "none" or of_key == sorted(of_key)
        for item in released:
            assert item.place == "answered", f"released twice: {item}"
            item.place = "released"

    # -- lanes and items ---------------------------------------------------------------------

    @rule(
        lane=LANES,
        items=st.lists(st.sampled_from(ITEMS), min_size=1, max_size=8),
        next_seq=st.integers(0, 3),
        done=st.sampled_from(DONE_BEFORE),
    )
    def arrive(
        self, lane: str, items: list[dict[str, Any]], next_seq: int, done: list[tuple[int, int]]
    ) -> None:
        if lane not in self.model.lanes:
            self.open(lane, next_seq, [(next_seq + a, next_seq + b) for a, b in done])
        seq = self.model.next_seq[lane]
        slots = []
        for fields in items:
            fields = dict(fields)
            seq += fields.pop("gap")
            for first, last in self.model.done[lane]:
                seq = last + 1 if first <= seq <= last else seq
            if "deadline_in_s" in fields:
                fields["flush_by"] = self.now + fields.pop("deadline_in_s")
            slots.append(Slot(lane, seq, None, arrived_at=self.now, **fields))
            seq += 1
        decided = [slot.outcome is not PENDING for slot in slots]
        actions = self.handle(Arrived(slots))
        self.model.arrive(lane, slots, decided)
        self.judge(actions)

    def open(self, lane: str, next_seq: int, done: list[tuple[int, int]]) -> None:
        """What an earlier owner has settled is no more than a commit can name."""
        while done and written(next_seq, done) > (self.model.limits.max_beyond_bytes or 100):
            done.pop()
        self.model.open(lane, next_seq, done)
        self.judge(self.handle(Opened(lane, next_seq, done)))

    def close_lane(self, lane: str) -> None:
        self.model.close(lane)
        self.judge(self.handle(Closed(lane)))
        self.nobodys_calls_are_cancelled()

    def nobodys_calls_are_cancelled(self) -> None:
        for batch_id, call in self.model.calls.items():
            dead = all(item.is_nobodys for item in call.items)
            assert not dead or batch_id in self.cancelled, "nobody's call goes on"

    @precondition(lambda self: self.model.limits.order == "none" and not self.model.gated)
    @rule(lane=LANES, first=st.integers(0, 3), step=st.integers(1, 4))
    def withdraw(self, lane: str, first: int, step: int) -> None:
        """Whatever has happened to them; those that have their outcome keep it."""
        items = self.model.lanes.get(lane, [])[first::step]
        self.model.withdraw(items)
        self.judge(self.handle(Withdrawn([item.slot for item in items])))
        self.nobodys_calls_are_cancelled()

    @rule(lane=LANES, first=st.integers(0, 3), step=st.integers(1, 4))
    def expedite(self, lane: str, first: int, step: int) -> None:
        items = self.model.lanes.get(lane, [])[first::step]
        self.judge(self.handle(Expedited([item.slot for item in items])))
        for item in items:
            at = item.slot.flush_by
            assert item.place != "waiting" or (at is not None and at <= self.now), "it may wait"

    @rule(change=st.sampled_from(CHANGES))
    def change_limits(self, change: dict[str, Any]) -> None:
        self.model.change(change)
        self.judge(self.handle(LimitsChanged(**change)))

    # -- calls -------------------------------------------------------------------------------

    @precondition(lambda self: self.model.calls)
    @rule(which=st.integers(0, 9), usage=st.sampled_from([None, Usage(7, 2, 1_001)]))
    def reply_in_full(self, which: int, usage: Usage | None) -> None:
        self.answer(_pick(list(self.model.calls), which), [1], usage)

    @precondition(lambda self: self.model.calls)
    @rule(
        which=st.integers(0, 9), answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=6)
    )
    def reply_in_part(self, which: int, answers: list[Any]) -> None:
        self.answer(_pick(list(self.model.calls), which), answers, Usage(10, 3, 500))

    def answer(self, batch_id: str, answers: list[Any], usage: Usage | None = None) -> None:
        """Each answer is one of its own, so that an item that got another's is found out."""
        answers = (answers * 6)[: len(self.model.calls[batch_id].items)]
        answers = [object() if said == 1 else said for said in answers]
        actions = self.handle(Replied(batch_id, answers, usage))
        self.bill(usage)
        self.model.reply(self.model.end(batch_id), answers)
        self.judge(actions, answered_by_api=True)

    @precondition(lambda self: self.model.calls)
    @rule(
        which=st.integers(0, 9),
        fault=st.sampled_from(list(Fault)),
        retry_after_s=st.sampled_from([None, 0.0, 0.2, 3.0]),
    )
    def fail(self, which: int, fault: Fault, retry_after_s: float | None) -> None:
        batch_id = _pick(list(self.model.calls), which)
        usage = Usage(9, 0, 77) if which % 2 else None
        error = CallError(fault, "no", retry_after_s=retry_after_s, usage=usage)
        actions = self.handle(Failed(batch_id, error))
        self.bill(usage)
        self.model.fail(self.model.end(batch_id), fault)
        self.judge(actions, answered_by_api=fault in ANSWERS_OF_THE_API)

    def bill(self, usage: Usage | None) -> None:
        if usage is not None:
            self.model.usage = [a + b for a, b in zip(self.model.usage, usage[:3], strict=True)]

    def end_cancelled(self, batch_id: str) -> None:
        """Asked for or not: a worker that stops cancels calls whose items still have an owner.
        A call that has been heard of is not heard of again."""
        actions = self.handle(Cancelled(batch_id))
        self.model.fail(self.model.end(batch_id), Fault.RETRY)
        self.judge(actions)
        self.judge(self.handle(Failed(batch_id, CallError(Fault.TIMEOUT))))
        self.judge(self.handle(Replied(batch_id, [])))

    # -- deliveries --------------------------------------------------------------------------

    @precondition(lambda self: self.undelivered)
    @rule(which=st.integers(0, 9), cut=st.integers(1, 9))
    def deliver(self, which: int, cut: int) -> None:
        """Releases become durable in any order, whole or in part, also after their lane closed."""
        release = self.undelivered.pop(which % len(self.undelivered))
        slots, rest = release.slots[-cut:], release.slots[:-cut]
        if rest:
            self.undelivered.append(Release(release.lane, rest))
        self.settle(Release(release.lane, slots))

    def settle(self, release: Release) -> None:
        for slot in release.slots:
            item = self.model.by_slot[id(slot)]
            assert item.place in ("released", "dropped")
            if item.place == "released":
                item.place = "settled"
        self.judge(self.handle(Delivered(release.lane, release.slots)))

    # -- time and stops ----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.05, 0.3, 2.0, 40.0]))
    def let_time_pass(self, seconds: float) -> None:
        """With ticks as they fall due."""
        until = self.now + seconds
        while (due := self.engine.next_deadline()) is not None and due <= until:
            self.now = due
            actions = self.handle(Tick())
            assert any(isinstance(action, StartCall) for action in actions), "a tick for nothing"
            self.judge(actions)
        self.now = until

    @rule(
        what=st.sampled_from(DISTURBANCES),
        which=st.integers(0, 9),
    )
    def disturb(self, what: str, which: int) -> None:
        lane = "abc"[which % 3]
        lanes = None if which % 4 == 0 or what == "resume all" else {lane}
        if what == "close" and lane in self.model.lanes:
            self.close_lane(lane)
        elif what == "pass" and lane in self.model.lanes:
            self.model.next_seq[lane] += which
            self.judge(self.handle(Passed(lane, self.model.next_seq[lane])))
        elif what == "halt":
            self.model.halt(lanes)
            self.judge(self.handle(Halt(lanes)))
        elif what in ("resume", "resume all"):
            self.model.resume(lanes)
            self.judge(self.handle(Resume(lanes)))
        elif what == "flush":
            self.model.flushing = True
            self.judge(self.handle(Flush()))
        elif what == "cancel" and self.model.calls:
            self.end_cancelled(_pick(list(self.model.calls), which))
        elif what == "late":  # a shell that was busy, or a tick that nobody asked for
            self.now += which / 10
            self.judge(self.handle(Tick()))

    # -- after every step --------------------------------------------------------------------

    @invariant()
    def the_engine_is_consistent(self) -> None:
        self.engine.check_invariants()

    @invariant()
    def the_engine_agrees_with_the_model(self) -> None:
        engine, model = self.engine, self.model
        invariants.everything_whose_turn_it_is_has_left(engine, model)
        invariants.the_watermark_is_at_the_first_item_that_is_not_durable(engine, model)
        invariants.commits_name_all_that_is_settled_beyond_the_watermark(engine, model)
        invariants.what_may_be_settled_fits_into_a_commit(engine, model)
        invariants.memory_is_held_for_what_is_not_durable(engine, model)
        invariants.outcomes_stand(engine, model)
        invariants.calls_are_counted(engine, model)
        invariants.items_are_counted(engine, model)
        invariants.usage_adds_up(engine, model)

    @invariant()
    def nothing_that_is_due_waits(self) -> None:
        if isinstance(getattr(self, "heard", None), list):
            # Time that passed without a tick is the shell's; what is due is judged at its deadline.
            next_deadline = self.engine.next_deadline()
            if next_deadline is None or next_deadline > self.now:
                invariants.nothing_that_is_due_waits_while_a_call_may_start(
                    self.engine, self.model, self.now
                )

    def teardown(self) -> None:
        """The API works again: every item gets its outcome, in order, and nothing is left over."""
        if not hasattr(self, "engine"):
            return
        self.disturb("resume all", 0)
        self.disturb("flush", 0)
        for _ in range(5_000):
            if self.model.calls:
                self.answer(next(iter(self.model.calls)), [1])
            elif self.undelivered:
                self.settle(self.undelivered.pop())
            elif (due := self.engine.next_deadline()) is not None:
                self.now = max(self.now, due)
                self.judge(self.handle(Tick()))
            else:
                break
        self.engine.check_invariants()
        for lane, items in self.model.lanes.items():
            for item in items:
                assert item.place == "settled", invariants.told(self.engine, item)
            assert self.engine.watermark(lane) == self.model.watermark(lane)
        assert self.engine.buffered_bytes == 0
        assert self.engine.next_deadline() is None


def _pick(from_these: list[str], which: int) -> str:
    return from_these[which % len(from_these)]


TestEngine = EngineMachine.TestCase
TestEngine.settings = effort(100, stateful_step_count=50)
