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
    Failed,
    Flush,
    Halt,
    Limits,
    Opened,
    Paused,
    Release,
    Replied,
    Resume,
    Resumed,
    Slot,
    StartCall,
    Tick,
)
from streams.errors import CallError, Fault, ItemError
from streams.model import DROP, Unanswered, Usage
from streams.policies.retry import Backoff

from . import invariants
from .effort import effort
from .model import ANSWERS_OF_THE_API, Model

LANES = st.sampled_from("abc")
SLOT_FIELDS = st.fixed_dictionaries(
    {
        "gap": st.integers(0, 2),
        "weight": st.integers(0, 9),
        "size": st.integers(0, 9),
        "memory": st.integers(0, 5),
        "batch_key": st.sampled_from([None, None, None, "k"]),
        "order_key": st.sampled_from([None, "x", "y"]),
        "deadline_in_s": st.sampled_from([None, None, None, 0.01]),
        "outcome": st.sampled_from(
            [PENDING, PENDING, PENDING, PENDING, None, ItemError("no_text")]
        ),
    }
)
ANSWERS = st.sampled_from(
    [
        1,
        1,
        1,
        1,
        None,
        DROP,
        ItemError("sad"),
        Unanswered.MISSING,
        Unanswered.INVALID,
        Unanswered.CUT,
    ]
)
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
    backoff=st.just(Backoff(0.5, 4.0)),
)


class EngineMachine(RuleBasedStateMachine):
    @initialize(limits=LIMITS, random=st.randoms(use_true_random=False))
    def begin(self, limits: Limits, random: Any) -> None:
        self.engine = Engine(limits, batch_prefix="p", random=random.random, tracing=True)
        self.model = Model(limits)
        self.now = 0.0
        self.undelivered: list[Release] = []
        self.cancelled: set[str] = set()
        self.released: dict[str, list[Slot]] = {}

    def handle(self, event: Event) -> list[Action]:
        actions = self.engine.handle(event, self.now)
        self.heard = actions
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
                    self.model.resumed()
                    answered_by_api = False
                case Paused(_, until, _):
                    self.model.paused_until = until
                case CancelCall(batch_id):
                    items = self.model.calls[batch_id].items
                    assert all(item.place == "dropped" for item in items)
                    self.cancelled.add(batch_id)
                case StartCall(batch):
                    if answered_by_api:
                        self.model.ramp *= 2
                        answered_by_api = False
                    self.model.start(batch, self.now)
        if answered_by_api:
            self.model.ramp *= 2
        assert not turns, f"not released: {turns}"

    def judge_release(self, lane: str, slots: list[Slot], turn: list[Any]) -> None:
        released = [self.model.by_slot[id(slot)] for slot in slots]
        if self.model.limits.order == "partition":
            assert released == turn
        assert sorted(item.seq for item in released) == [item.seq for item in turn]
        for key in {item.slot.order_key for item in released} - {None}:
            of_key = [item.seq for item in released if item.slot.order_key == key]
            assert self.model.limits.order == "none" or of_key == sorted(of_key)
        for item in released:
            assert item.place == "answered", f"released twice: {item}"
            item.place = "released"

    # -- lanes and items ---------------------------------------------------------------------

    @rule(lane=LANES, next_seq=st.integers(0, 3))
    def open_lane(self, lane: str, next_seq: int) -> None:
        if lane not in self.model.lanes:
            self.model.open(lane, next_seq)
            self.judge(self.handle(Opened(lane, next_seq)))

    @precondition(lambda self: self.model.lanes)
    @rule(data=st.data())
    def close_lane(self, data: Any) -> None:
        lane = data.draw(st.sampled_from(sorted(self.model.lanes)))
        self.model.close(lane)
        self.judge(self.handle(Closed(lane)))
        for batch_id, call in self.model.calls.items():
            dead = all(item.place == "dropped" for item in call.items)
            assert not dead or batch_id in self.cancelled, "nobody's call goes on"

    @precondition(lambda self: self.model.lanes)
    @rule(data=st.data(), fields=st.lists(SLOT_FIELDS, min_size=1, max_size=8))
    def arrive(self, data: Any, fields: list[dict[str, Any]]) -> None:
        lane = data.draw(st.sampled_from(sorted(self.model.lanes)))
        seq = self.model.next_seq[lane]
        slots = []
        for values in fields:
            fresh = dict(values)
            seq += fresh.pop("gap")
            wait_s = fresh.pop("deadline_in_s")
            deadline_at = None if wait_s is None else self.now + wait_s
            slots.append(
                Slot(lane, seq, None, arrived_at=self.now, deadline_at=deadline_at, **fresh)
            )
            seq += 1
        decided = [slot.outcome is not PENDING for slot in slots]
        actions = self.handle(Arrived(slots))
        self.model.arrive(lane, slots, decided)
        self.judge(actions)

    # -- calls -------------------------------------------------------------------------------

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data(), usage=st.none() | st.builds(Usage, *[st.integers(0, 99)] * 3))
    def reply(self, data: Any, usage: Usage | None) -> None:
        batch_id = data.draw(st.sampled_from(sorted(self.model.calls)))
        size = len(self.model.calls[batch_id].items)
        answers = data.draw(st.just([1] * size) | st.lists(ANSWERS, min_size=size, max_size=size))
        self.answer(batch_id, answers, usage)

    def answer(self, batch_id: str, answers: list[Any], usage: Usage | None = None) -> None:
        actions = self.handle(Replied(batch_id, answers, usage))
        if usage is not None:
            self.model.usage = [a + b for a, b in zip(self.model.usage, usage, strict=True)]
        self.model.reply(self.model.end(batch_id), answers)
        self.judge(actions, answered_by_api=True)

    @precondition(lambda self: self.model.calls)
    @rule(
        data=st.data(),
        fault=st.sampled_from(list(Fault)),
        retry_after_s=st.sampled_from([None, 0.0, 0.2, 3.0]),
    )
    def fail(self, data: Any, fault: Fault, retry_after_s: float | None) -> None:
        batch_id = data.draw(st.sampled_from(sorted(self.model.calls)))
        error = CallError(fault, "no", retry_after_s=retry_after_s)
        actions = self.handle(Failed(batch_id, error))
        self.model.fail(self.model.end(batch_id), fault)
        self.judge(actions, answered_by_api=fault in ANSWERS_OF_THE_API)

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data())
    def end_cancelled(self, data: Any) -> None:
        """Asked for or not: a worker that stops cancels calls whose items still have an owner."""
        batch_id = data.draw(st.sampled_from(sorted(self.model.calls)))
        actions = self.handle(Cancelled(batch_id))
        self.model.fail(self.model.end(batch_id), Fault.RETRY)
        self.judge(actions)

    @rule(batch=st.integers(1, 30))
    def hear_late_of_a_call(self, batch: int) -> None:
        """A call that has been heard of is not heard of again."""
        batch_id = f"p-{batch}"
        if batch_id not in self.model.calls:
            self.judge(self.handle(Failed(batch_id, CallError(Fault.TIMEOUT))))
            self.judge(self.handle(Replied(batch_id, [])))

    # -- deliveries --------------------------------------------------------------------------

    @precondition(lambda self: self.undelivered)
    @rule(data=st.data())
    def deliver(self, data: Any) -> None:
        """Releases become durable in any order, whole or in part, also after their lane closed."""
        which = data.draw(st.integers(0, len(self.undelivered) - 1))
        release = self.undelivered.pop(which)
        cut = data.draw(st.integers(1, len(release.slots)))
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

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0]))
    def tick_late(self, seconds: float) -> None:
        """A shell that was busy; or a tick that nobody asked for."""
        self.now += seconds
        self.judge(self.handle(Tick()))

    @rule(lanes=st.none() | st.sets(LANES))
    def halt(self, lanes: set[str] | None) -> None:
        self.model.halted_all = self.model.halted_all or lanes is None
        self.model.halted |= set(self.model.lanes) & (
            set(self.model.lanes) if lanes is None else lanes
        )
        self.judge(self.handle(Halt(lanes)))

    @rule(lanes=st.none() | st.sets(LANES))
    def resume(self, lanes: set[str] | None) -> None:
        self.model.halted -= set("abc") if lanes is None else lanes
        if lanes is None:
            self.model.halted_all = self.model.flushing = False
        self.judge(self.handle(Resume(lanes)))

    @rule()
    def flush(self) -> None:
        self.model.flushing = True
        self.judge(self.handle(Flush()))

    # -- after every step --------------------------------------------------------------------

    @invariant()
    def the_engine_is_consistent(self) -> None:
        self.engine.check_invariants()

    @invariant()
    def the_engine_agrees_with_the_model(self) -> None:
        engine, model = self.engine, self.model
        invariants.everything_whose_turn_it_is_has_left(engine, model)
        invariants.the_watermark_is_at_the_first_item_that_is_not_durable(engine, model)
        invariants.memory_is_held_for_what_is_not_durable(engine, model)
        invariants.outcomes_stand(engine, model)
        invariants.calls_are_counted(engine, model)
        invariants.items_are_counted(engine, model)
        invariants.usage_adds_up(engine, model)
        invariants.at_rest_means_that_nothing_is_under_way(engine, model)

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
        self.resume(None)
        self.flush()
        for _ in range(5_000):
            if self.model.calls:
                batch_id, call = next(iter(self.model.calls.items()))
                self.answer(batch_id, [1] * len(call.items))
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
            assert self.engine.watermark(lane) == self.model.next_seq[lane]
        assert self.engine.held_total == 0
        assert self.engine.at_rest()
        assert self.engine.next_deadline() is None


TestEngine = EngineMachine.TestCase
TestEngine.settings = effort(100, stateful_step_count=40)
