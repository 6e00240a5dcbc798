"""The naive model of the engine: plain dicts and lists, no cleverness, no code of the engine.

It keeps what an outsider knows (what arrived, what was called, what was answered, what was said to
be durable) and works out from it, slowly, what has to be true. It does not predict when a repeat
starts; it judges every call that starts and every outcome that appears.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from streams.core import Limits
from streams.core.call import Slot
from streams.errors import Fault, ItemError
from streams.model import Unanswered

REQUEST_FAULTS = {Fault.REJECTED, Fault.REFUSED, Fault.TOO_LARGE, Fault.FUNCTION, Fault.TRUNCATED}
COUNTED = {Fault.TIMEOUT, Fault.CLIENT}
EVERYBODYS = {Fault.ACCOUNT, Fault.SERVER, Fault.CONNECTION, Fault.THROTTLED}
ANSWERS_OF_THE_API = REQUEST_FAULTS | {Fault.BAD_REPLY}


@dataclass
class Item:
    """What is known of one item of one incarnation of a lane."""

    slot: Slot
    lane: str
    seq: int
    place: str = "waiting"  # waiting | in flight | to repeat | answered | released | settled
    outcome: Any = None
    calls: int = 0
    counted: int = 0  # failures that are attempts whatever others meet
    everybodys: int = 0  # failures that may be attempts
    unusable: int = 0  # replies without a usable answer for it
    results_before: int = 0  # calls that had given results when its counted attempts began

    @property
    def left(self) -> bool:
        return self.place in ("released", "settled")

    @property
    def answered(self) -> bool:
        return self.left or self.place == "answered"

    @property
    def is_nobodys(self) -> bool:
        """Of an item in a call: its lane was closed, or it was withdrawn."""
        return self.place in ("dropped", "settled")


@dataclass
class Call:
    items: list[Item]
    cause: str
    number: int


@dataclass
class Model:
    limits: Limits
    lanes: dict[str, list[Item]] = field(default_factory=dict)  # every item since it opened
    next_seq: dict[str, int] = field(default_factory=dict)
    done: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    halted: set[str] = field(default_factory=set)
    halted_all: bool = False
    flushing: bool = False
    calls: dict[str, Call] = field(default_factory=dict)
    by_slot: dict[int, Item] = field(default_factory=dict)
    paused_until: float | None = None
    probe: str | None = None
    ramp: int = 10**9
    causes: dict[str, int] = field(default_factory=dict)
    usage: list[int] = field(default_factory=lambda: [0, 0, 0])
    used_by: list[Slot] = field(default_factory=list)
    tripped_at: int | None = None  # calls begun when the breaker tripped; None: it has not
    row: int = 0  # dead letters since the last result
    decided: list[bool] = field(default_factory=list)  # what calls gave: a result or a dead letter
    results: int = 0  # calls that gave a result
    most_in_flight: int = 0  # what the limits have ever allowed
    lead_s: float = 0.0  # what the engine says; `tests/core/test_flush_by.py` judges it

    def __post_init__(self) -> None:
        self.most_in_flight = self.limits.max_in_flight

    # -- what happens ------------------------------------------------------------------------

    def open(self, lane: str, next_seq: int, done: list[tuple[int, int]]) -> None:
        self.lanes[lane] = []
        self.next_seq[lane] = next_seq
        self.done[lane] = done
        if self.halted_all:
            self.halted.add(lane)

    def close(self, lane: str) -> None:
        for item in self.lanes.pop(lane):
            item.place = "dropped"
        del self.next_seq[lane]
        self.halted.discard(lane)

    def halt(self, lanes: set[str] | None) -> None:
        self.halted_all = self.halted_all or lanes is None
        self.halted |= set(self.lanes) if lanes is None else lanes & set(self.lanes)

    def resume(self, lanes: set[str] | None) -> None:
        self.halted -= set(self.lanes) if lanes is None else lanes
        if lanes is None:
            self.halted_all = self.flushing = False

    def change(self, change: dict[str, Any]) -> None:
        before, self.limits = self.limits, replace(self.limits, **change)
        if self.ramp >= min(before.max_in_flight, self.limits.max_in_flight):
            self.ramp = 10**9  # it has come to its end, then or now
        self.most_in_flight = max(self.most_in_flight, self.limits.max_in_flight)

    def withdraw(self, items: list[Item]) -> None:
        """Nothing is owed to those without an outcome: that is as good as settled."""
        for item in items:
            if not item.answered:
                item.place = "settled"

    def arrive(self, lane: str, slots: list[Slot], has_outcome: list[bool]) -> None:
        for slot, decided in zip(slots, has_outcome, strict=True):
            item = Item(slot, lane, slot.seq)
            if decided:
                item.place, item.outcome = "answered", slot.outcome
            elif self._too_large(slot):
                item.place, item.outcome = "answered", slot.outcome
                assert slot.outcome.code == "too_large"
            self.lanes[lane].append(item)
            self.next_seq[lane] = slot.seq + 1
            self.by_slot[id(slot)] = item
            self.used_by.append(slot)

    def start(self, batch: Any, now: float) -> None:
        """Judges a call that starts."""
        items = [self.by_slot[id(slot)] for slot in batch.slots]
        expected = "waiting" if batch.cause == "new" else "to repeat"
        for item in items:
            assert item.place == expected, f"{batch} takes what is {item.place}"
            assert batch.cause != "new" or item.lane not in self.halted, "its lane is halted"
            item.place = "in flight"
            item.calls += 1
            if batch.cause in ("new", "ask"):
                item.results_before = self.results
        limits = self.limits
        assert 1 <= len(items) <= limits.max_items
        assert sum(slot.tokens for slot in batch.slots) <= (limits.max_tokens or 10**9)
        assert sum(slot.size for slot in batch.slots) <= (limits.max_bytes or 10**9)
        assert len({slot.call_key for slot in batch.slots}) == 1
        assert len(self.calls) < limits.max_in_flight, "more calls than the limit"
        if self.paused_until is not None:
            assert now >= self.paused_until, "a call started in a pause"
            assert self.probe is None, "two probes at once"
            single = self.tripped_at is None or batch.cause != "new" or len(items) == 1
            assert single, "the breaker is tried with more than one new item"
            self.probe = batch.id
        else:
            assert len(self.calls) < self.ramp, "more calls than the ramp allows"
        self.causes[batch.cause] = self.causes.get(batch.cause, 0) + 1
        self.calls[batch.id] = Call(items, batch.cause, sum(self.causes.values()))

    def end(self, batch_id: str) -> Call:
        if self.probe == batch_id:
            self.probe = None
        return self.calls.pop(batch_id)

    def reply(self, call: Call, answers: list[Any]) -> None:
        for item, answer in zip(call.items, answers, strict=True):
            if item.place != "in flight":
                continue
            if isinstance(answer, Unanswered):
                item.unusable += answer is not Unanswered.CUT
                self._after_failure(item, self._codes_of(answer, call, item))
            else:
                item.place, item.outcome = "answered", answer
        self._judge(call, sum(not isinstance(answer, Unanswered) for answer in answers), set())

    def fail(self, call: Call, fault: Fault) -> None:
        for item in call.items:
            if item.place == "in flight":
                item.counted += fault in COUNTED
                item.everybodys += fault in EVERYBODYS
                item.unusable += fault is Fault.BAD_REPLY
                self._after_failure(item, self._codes_of(fault, call, item))
        counted = {fault.value for fault in COUNTED | EVERYBODYS}
        self._judge(call, 0, counted if self.results > call.items[0].results_before else set())

    def _judge(self, call: Call, results: int, own: set[str]) -> None:
        """The breaker, naively. `own`: codes that say nothing, for other calls gave results."""
        self.results += results > 0
        limits = self.limits.breaker
        if self.tripped_at is not None and results and call.number > self.tripped_at:
            self.tripped_at = None
        if limits is None or self.tripped_at is not None:
            return
        dead = [
            item
            for item in call.items
            if item.place == "answered" and isinstance(item.outcome, ItemError)
            and item.outcome.code not in own | {"sad"}
        ]  # fmt: skip
        self.row = 0 if results else self.row + len(dead)
        self.decided += [True] * results + [False] * len(dead)
        full = len(self.decided) >= limits.window
        mostly = full and self.decided.count(False) > limits.share * len(self.decided)
        if self.row >= limits.run or mostly:
            self.tripped_at, self.row = sum(self.causes.values()), 0
        if self.tripped_at is not None or full:
            self.decided = []

    def resumed(self) -> None:
        self.paused_until, self.probe = None, None
        self.ramp = min(2, self.limits.max_in_flight)

    # -- the rules, naively ------------------------------------------------------------------

    def _too_large(self, slot: Slot) -> bool:
        limits = self.limits
        return slot.tokens > (limits.max_tokens or 10**9) or slot.size > (limits.max_bytes or 10**9)

    def _codes_of(self, why: Fault | Unanswered, call: Call, item: Item) -> tuple[str, bool, bool]:
        """The dead-letter code that may follow; whether it may; whether it must."""
        alone = len(call.items) == 1
        final_together = alone or not self.limits.split
        if why in REQUEST_FAULTS or why is Unanswered.CUT:
            return why.value, final_together, final_together
        if why in COUNTED | EVERYBODYS:
            attempts = item.counted + item.everybodys
            may = final_together and attempts >= self.limits.max_attempts
            # The others may turn out to be an outage, and count for nothing.
            surely = why in COUNTED and item.counted >= self.limits.max_attempts
            return why.value, may, final_together and surely
        if why in (Fault.BAD_REPLY, Unanswered.MISSING, Unanswered.INVALID):
            asks = self.limits.max_asks
            # Halving down to it may have come before it was asked alone.
            return why.value, item.unusable > asks, item.unusable > asks + 1 + len(bin(256))
        return "", False, False

    @staticmethod
    def _after_failure(item: Item, verdict: tuple[str, bool, bool]) -> None:
        code, may, must = verdict
        outcome = item.slot.outcome
        if isinstance(outcome, ItemError):
            assert may, f"{outcome.code} too early for {item}"
            assert outcome.code == code, f"{outcome.code} instead of {code} for {item}"
            item.place, item.outcome = "answered", outcome
        else:
            assert not must, f"{code} is due for {item}"
            item.place = "to repeat"

    # -- what has to be true -----------------------------------------------------------------

    def may_leave(self) -> dict[str, list[Item]]:
        """By lane, the answered items whose turn it is, in arrival order."""
        turns: dict[str, list[Item]] = {}
        for lane, items in self.lanes.items():
            blocked: set[Any] = set()
            for item in items:
                group = {
                    "partition": lane,
                    "key": item.slot.order_key or ("alone", item.seq),
                    "none": ("alone", item.seq),
                }[self.limits.order]
                if item.place == "answered" and group not in blocked:
                    turns.setdefault(lane, []).append(item)
                if not item.answered:
                    blocked.add(group)
        return turns

    def watermark(self, lane: str, also: Collection[Item] = ()) -> int:
        items = [item for item in self.lanes[lane] if item.place != "settled"]
        unsettled = [item.seq for item in items if item not in also]
        mark = min(unsettled, default=self.next_seq[lane])
        while not unsettled and any(first <= mark <= last for first, last in self.done[lane]):
            mark += 1
        return mark

    # -- what a commit names -----------------------------------------------------------------

    @property
    def gated(self) -> bool:
        return self.limits.max_beyond_bytes is not None and self.limits.order != "partition"

    def settled_beyond(self, lane: str, also: Collection[Item] = ()) -> list[tuple[int, int]]:
        """The ranges beyond the watermark that are settled if these items settle, too."""
        mark = self.watermark(lane, also)
        numbers = {n for first, last in self.done[lane] for n in range(first, last + 1)}
        before = None
        for item in self.lanes[lane] if self.limits.order != "partition" else ():
            settled = item.place == "settled" or item in also
            if settled and before is not None:
                numbers |= set(range(before, item.seq + 1))
            elif settled:
                numbers.add(item.seq)
            before = item.seq if settled else None
        ranges: list[tuple[int, int]] = []
        for number in sorted(numbers):
            if number >= mark and ranges and ranges[-1][1] == number - 1:
                ranges[-1] = (ranges[-1][0], number)
            elif number >= mark:
                ranges.append((number, number))
        return ranges

    def worst_bytes(self, lane: str) -> int:
        """The most that a commit has to name if the sink answers for some released items first."""
        mark = self.watermark(lane)
        may = [i for i in self.lanes[lane] if i.place == "released" and i.seq != mark]
        choices: list[Collection[Item]] = [may[n::step] for step in (2, 3, 5) for n in range(step)]
        if len(may) <= 4:
            choices = [some for count in range(5) for some in combinations(may, count)]
        return max(
            written(self.watermark(lane, some), self.settled_beyond(lane, some)) for some in choices
        )

    def has_room(self, item: Item) -> bool:
        """Whether one item more surely fits, where none is on its way to the sink."""
        mark, limit = self.watermark(item.lane), self.limits.max_beyond_bytes or 0
        more = 1 + len(_number(item.seq - mark))
        return written(mark, self.settled_beyond(item.lane)) + more <= limit - limit // 10

    def held(self, lane: str) -> int:
        return sum(item.slot.memory for item in self.lanes[lane] if item.place != "settled")

    def waiting(self) -> list[Item]:
        """What may be taken into a new call."""
        return [
            item
            for lane, items in self.lanes.items()
            if lane not in self.halted
            for item in items
            if item.place == "waiting"
        ]

    def may_call(self, now: float) -> bool:
        if self.paused_until is not None:
            free = self.probe is None and now >= self.paused_until
            return free and len(self.calls) < self.limits.max_in_flight
        return len(self.calls) < min(self.limits.max_in_flight, self.ramp)

    def due_at(self) -> float:
        """When a window closes by time; -inf: one is full, or everything is flushed."""
        due_at = float("inf")
        groups: dict[Any, list[Slot]] = {}
        for item in self.waiting():
            slot = item.slot
            groups.setdefault(slot.call_key, []).append(slot)
            due_at = min(due_at, slot.arrived_at + self.limits.max_wait_s)
            if slot.flush_by is not None:
                due_at = min(due_at, max(slot.flush_by, slot.arrived_at) - self.lead_s)
        for slots in groups.values():
            full = (
                self.flushing
                or len(slots) >= self.limits.max_items
                or sum(slot.tokens for slot in slots) >= (self.limits.max_tokens or 10**9)
                or sum(slot.size for slot in slots) >= (self.limits.max_bytes or 10**9)
            )
            if full:
                return -float("inf")
        return due_at


def written(start: int, ranges: list[tuple[int, int]]) -> int:
    """Bytes of the ranges: how far from what is before, and how long less one."""
    size = 0
    for first, last in ranges:
        size += len(_number(first - start)) + len(_number(last - first))
        start = last + 1
    return size


def _number(number: int) -> list[int]:
    """Seven bits a byte."""
    return [number & 0x7F, *_number(number >> 7)] if number > 0x7F else [number]
