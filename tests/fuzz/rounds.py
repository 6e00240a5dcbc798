"""One round: a task's items against an API that breaks, until every item has its outcome.

Real: both SDKs and their providers, `TaskCaller`, the operation, the engine, the encoder. What has
to hold, whatever is answered: nothing is raised that is not in the error tree, every item has
exactly one outcome, in order, and it can be written; what is written as a result is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from random import Random
from typing import Any

from streams.codec.exact_schema import exact
from streams.codec.results import Encoder
from streams.codec.strict_json import compact, read
from streams.core import (
    Action,
    Arrived,
    Call,
    Delivered,
    Engine,
    Failed,
    Limits,
    Opened,
    Release,
    Replied,
    Slot,
    StartCall,
    Tick,
)
from streams.errors import CallError
from streams.model import Item, added
from streams.operations import Classify, Embed, Extract, Generate, Operation
from streams.providers import TaskCaller
from tests.fuzz.api import DIMENSION, BrokenApi
from tests.fuzz.wired import Wired, driven

SCHEMA = {
    "type": "object",
    "properties": {
        "tags": {"type": "array", "uniqueItems": True, "items": {}},
        "tone": {"enum": ["Warm", "cold", "café", None, 1]},
        "serial": {"type": "integer"},
        "price": {"type": "number", "minimum": 0, "multipleOf": 0.01},
    },
}
OPERATIONS: dict[str, Operation] = {
    "classify": Classify(["yes", "no"]),
    "extract": Extract(SCHEMA),
    "generate": Generate("Write."),
    "embed": Embed(DIMENSION),
}
MOST_CALLS = 3_000
MOST_SECONDS = 7 * 86_400.0

_VALID = exact()(SCHEMA)


class Subject:
    """The operations with their providers, made once. `outcomes`: what items came to, "result" or
    a dead letter's code; `faults`: what calls came to. `right`: the answers
    that were right beyond doubt, and were taken as they are."""

    def __init__(self) -> None:
        self.wired = {name: Wired(name) for name in OPERATIONS}
        self.callers = {
            name: TaskCaller(operation, self.wired[name], timeout_s=5.0)
            for name, operation in OPERATIONS.items()
        }
        self.encoder = Encoder(task="t", model="m", fingerprint="f")
        self.outcomes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.items = 0
        self.right = 0

    def round(self, seed: str, replies: int) -> int:
        """Plays about so many spoilt replies; returns how many there were in all. AssertionError
        where something did not hold; its message has the seed and the last response."""
        random = Random(seed)
        name = random.choice([*OPERATIONS])
        wired = self.wired[name]
        wired.random, wired.defect = random, None
        wired.api = BrokenApi(random, name, patience=replies)
        try:
            _Round(self, name, random).play()
        except Exception as error:
            what = f"round {seed!r} ({name}) failed: {error!r}\nthe last response: {wired.last}"
            raise AssertionError(what) from error
        return wired.api.replies


class _Round:
    def __init__(self, subject: Subject, name: str, random: Random) -> None:
        self._tested = subject
        self._name = name
        self._random = random
        self._wired = subject.wired[name]
        self._caller = subject.callers[name]
        limits = Limits(
            max_items=random.choice([1, 2, 5, 20]),
            max_wait_s=0.0,
            max_in_flight=random.choice([1, 3]),
            max_attempts=random.choice([1, 2, 6]),
        )
        self._engine = Engine(limits, random=random.random)
        self._count = random.choice([1, 3, 20, 40])
        self._calls: list[Call] = []
        self._released: list[int] = []
        self._billed_nano_usd: int | None = 0  # None: a reply did not say what it used
        self._now = 0.0

    def play(self) -> None:
        self._act(self._engine.handle(Opened(0), self._now))
        slots = [Slot(0, n, _item(n), tokens=n % 3) for n in range(self._count)]
        self._act(self._engine.handle(Arrived(slots), self._now))
        for _ in range(MOST_CALLS):
            if self._calls:
                self._call(self._calls.pop(self._random.randrange(len(self._calls))))
                continue
            due = self._engine.next_deadline()
            if due is None:
                break
            self._now = due
            self._act(self._engine.handle(Tick(), due))
        self._engine.check_invariants()
        assert self._released == list(range(self._count)), f"outcomes of {self._released}"
        assert self._engine.watermark(0) == self._count
        costs = [slot.cost_nano_usd for slot in slots]
        assert reduce(added, costs, 0) == self._billed_nano_usd
        assert self._now < MOST_SECONDS
        self._tested.items += self._count

    def _call(self, batch: Call) -> None:
        self._wired.count = batch.size
        try:
            reply = driven(self._caller(batch.items))
        except CallError as error:
            self._find_none_right(error)
            self._tested.faults[error.fault.value] += 1
            event: Replied | Failed = Failed(batch.id, error)
        else:
            self._tested.faults["answered"] += 1
            self._find_right_ones(reply.answers)
            event = Replied(batch.id, reply.answers, reply.usage)
        usage = event.error.usage if isinstance(event, Failed) else event.usage
        if usage is not None:
            self._billed_nano_usd = added(self._billed_nano_usd, usage.cost_nano_usd)
        if self._wired.defect is not None:
            raise self._wired.defect
        self._act(self._engine.handle(event, self._now))

    def _find_right_ones(self, answers: Sequence[Any]) -> None:
        for place, right in self._wired.right().items():
            answer = answers[place]
            assert isinstance(answer, dict), f"{str(right)[:80]} is refused: {answer}"
            result = answer["embedding_f32"] if self._name == "embed" else compact(answer)
            assert result == right, f"{str(right)[:80]} became {str(result)[:80]}"
            self._tested.right += 1

    def _find_none_right(self, error: CallError) -> None:
        assert not self._wired.right(), f"right answers are refused: {error.fault.value}"

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, StartCall):
                self._calls.append(action.call)
            elif isinstance(action, Release):
                self._write(action.slots)
                self._released += [slot.seq for slot in action.slots]
                self._act(self._engine.handle(Delivered(0, action.slots), self._now))

    def _write(self, slots: list[Slot]) -> None:
        encoded = self._tested.encoder.encode(slots, 0)
        for place, (slot, record) in enumerate(zip(slots, encoded.records, strict=True)):
            error = encoded.dead.get(place)
            if error is None:
                assert record is not None
                value = read(record[1] or b"")
                assert value["id"] == slot.item.id
                assert self._is_result(value["result"]), f"{value['result']} is no result"
            else:
                assert error.code != "invalid_result", f"{slot.outcome!r} cannot be written"
                assert record is None
                assert self._tested.encoder.dead_letter(slot, error, 0)[1] == slot.item.raw
            self._tested.outcomes["result" if error is None else error.code] += 1

    def _is_result(self, result: Any) -> bool:
        if self._name == "classify":
            return result in ({"label": "yes"}, {"label": "no"})
        if self._name == "generate":
            return set(result) == {"text"} and isinstance(result["text"], str)
        if self._name == "embed":
            return result["dim"] == len(result["embedding"]) == DIMENSION
        return bool(_VALID.is_valid(result))


def _item(number: int) -> Item:
    raw = b'{"text":"text %d"}' % number
    return Item({}, f"text {number}", number, None, (), "in", 0, number, 0, raw)
