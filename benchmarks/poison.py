"""What bad items cost: calls beyond one per microbatch, for each bad item.

    python -m benchmarks.poison [--items N] [--batch N] [--share P] [--seed N] [--json]
    python -m benchmarks.poison --kafka [--broker HOST:PORT] [--items N] ...

Without `--kafka` the engine alone, in its own time: an API that fails every call which holds a bad
item, or leaves that item out. Each kind of failure by itself; 1 % bad items by chance, N = 20, five
calls in flight. Before anything is counted it is checked that every other item has its own result,
that each bad one is a dead letter with the right code, and that all of it leaves in order.

`mean`: extra calls over bad items. `most`: the most that one microbatch took, over its bad items.

With `--kafka`: 2,000 items through the worker, the Anthropic SDK and the simulator, for four kinds
of failure; the calls are those of the worker's exit line.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from math import ceil, log2
from random import Random, SystemRandom
from typing import Any, NamedTuple

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.ground import arguments, broker
from streams.core import (
    Action,
    Arrived,
    Call,
    Delivered,
    Engine,
    Failed,
    Flush,
    Limits,
    Opened,
    Release,
    Replied,
    Slot,
    StartCall,
    Tick,
)
from streams.errors import CallError, Fault, ItemError
from streams.model import Unanswered

ITEMS, BATCH, SHARE = 100_000, 20, 0.01
CALLS_IN_FLIGHT = 5
KINDS: dict[str, Fault | Unanswered] = {
    "refused": Fault.REFUSED,
    "rejected (400, 422)": Fault.REJECTED,
    "too large (413)": Fault.TOO_LARGE,
    "no readable reply": Fault.BAD_REPLY,
    "cut before its record": Unanswered.CUT,
    "never answered": Unanswered.MISSING,
    "always a wrong answer": Unanswered.INVALID,
    "always times out": Fault.TIMEOUT,
}
FAULTS = {
    "refused": "refusal",
    "rejected (400, 422)": "bad_request",
    "never answered": "missing",
    "always a wrong answer": "outside_enum",
}
"""How the simulator plays some of them."""

MEAN_OF_20 = {Fault.REFUSED: 9, Fault.REJECTED: 9}
"""What they may cost on average where a microbatch holds 20."""


def promised(why: Fault | Unanswered, batch: int) -> tuple[float, float]:
    """Calls more for one bad item: on average, and at most."""
    if why in (Unanswered.MISSING, Unanswered.INVALID):
        return 2, 2
    most = 2 * ceil(log2(batch)) + 1 if batch > 1 else 2
    return MEAN_OF_20[why] if batch == 20 and why in MEAN_OF_20 else most, most


class Cost(NamedTuple):
    """Of one kind of bad item: how many there were, and what they cost."""

    bad: int
    extra: int
    most: float

    @property
    def mean(self) -> float:
        return self.extra / self.bad


class PoisonedRun:
    """`items` items with `bad` ones through an engine, the API answering as it is asked."""

    def __init__(
        self, items: int, batch: int, bad: set[int], why: Fault | Unanswered, random: Random
    ) -> None:
        self._bad = bad
        self._why = why
        self._random = random
        limits = Limits(max_items=batch, max_wait_s=0.0, max_in_flight=CALLS_IN_FLIGHT)
        self._engine = Engine(limits, random=random.random)
        self._slots = [Slot(0, n, n) for n in range(items)]
        self._calls: deque[Call] = deque()
        self._first_call: dict[int, str] = {}  # of each item
        self._extra: dict[str, int] = {}  # calls more, by the microbatch that began it
        self._released: list[int] = []
        self._now = 0.0

    def play(self) -> Cost:
        self._do(Opened(0))
        self._do(Arrived(self._slots))
        self._do(Flush())
        while True:
            while self._calls:
                self._answer(self._calls.popleft())
            due = self._engine.next_deadline()
            if due is None:
                break
            self._now = due
            self._do(Tick())
        self._check()
        hit: dict[str, int] = {}
        for number in self._bad:
            first = self._first_call[number]
            hit[first] = hit.get(first, 0) + 1
        most = max(self._extra[first] / count for first, count in hit.items())
        return Cost(len(self._bad), sum(self._extra.values()), most)

    def _answer(self, batch: Call) -> None:
        bad = [number in self._bad for number in batch.items]
        if isinstance(self._why, Fault):
            if any(bad):
                self._do(Failed(batch.id, CallError(self._why, "bad")))
            else:
                self._do(Replied(batch.id, [-number for number in batch.items]))
            return
        cut = self._why is Unanswered.CUT
        answers: list[Any] = []
        for number, is_bad in zip(batch.items, bad, strict=True):
            lost = is_bad or (cut and answers[-1:] == [Unanswered.CUT])
            answers.append(self._why if lost else -number)
        self._do(Replied(batch.id, answers))

    def _do(self, event: Any) -> None:
        todo: deque[Action] = deque(self._engine.handle(event, self._now))
        while todo:
            action = todo.popleft()
            if isinstance(action, StartCall):
                self._count(action.call)
                self._calls.append(action.call)
            elif isinstance(action, Release):
                self._released += [slot.seq for slot in action.slots]
                todo.extend(self._engine.handle(Delivered(0, action.slots), self._now))

    def _count(self, batch: Call) -> None:
        if batch.cause == "new":
            self._extra[batch.id] = 0
            for number in batch.items:
                self._first_call[number] = batch.id
        else:
            self._extra[self._first_call[batch.items[0]]] += 1

    def _check(self) -> None:
        assert self._released == [slot.seq for slot in self._slots], "out of order, or lost"
        for slot in self._slots:
            if slot.seq in self._bad:
                assert isinstance(slot.outcome, ItemError), f"{slot.seq} came to {slot.outcome}"
                assert slot.outcome.code == self._why.value, slot.outcome
            else:
                assert slot.outcome == -slot.seq, f"{slot.seq} came to {slot.outcome}"


def chosen(items: int, share: float, random: Random) -> set[int]:
    """Which items are bad: that share of them, at least one."""
    return set(random.sample(range(items), max(1, round(items * share))))


def engine(items: int, batch: int, share: float, seed: int) -> Report:
    """Every kind through the engine alone."""
    bars: list[Bar] = []
    rows: list[Any] = [("a bad item that is", "bad items", "extra calls", "mean", "most")]
    figures: dict[str, Any] = {"seed": seed, "items": items, "batch": batch, "share": share}
    for name, why in KINDS.items():
        mean, most = promised(why, batch)
        random = Random(seed)
        run = PoisonedRun(items, batch, chosen(items, share, random), why, random)
        cost = run.play()
        bars.append(Bar(f"{name}, mean", cost.mean, "at most", mean, "calls"))
        bars.append(Bar(f"{name}, most", cost.most, "at most", most, "calls"))
        rows.append(
            (name, f"{cost.bad:,}", f"{cost.extra:,}", f"{cost.mean:.2f}", f"{cost.most:g}")
        )
        figures[name] = {**cost._asdict(), "mean": cost.mean}
    return Report("the engine alone", bars, figures, rows)


async def kafka(server: str, items: int, batch: int, share: float, seed: int) -> Report:
    """Some kinds through a worker."""
    from tests.integration.poisoned import poisoned

    bars: list[Bar] = []
    rows: list[Any] = [("a bad item that is", "bad items", "extra calls", "mean", "lost")]
    figures: dict[str, Any] = {"seed": seed, "items": items, "batch": batch}
    for name, fault in FAULTS.items():
        mean, _ = promised(KINDS[name], batch)
        say(f"{name} ...")
        bad = chosen(items, share, Random(seed))
        found = await poisoned(server, fault, items=items, bad=bad, max_items=batch)
        assert found.verdict == (0, 0, 0), f"lost, duplicated, out of order: {found.verdict}"
        assert found.dead == bad, "other dead letters than the bad items"
        extra = found.retries + found.splits
        bars.append(
            Bar(f"{name}, through a worker, mean", extra / len(bad), "at most", mean, "calls")
        )
        rows.append((name, str(len(bad)), str(extra), f"{extra / len(bad):.2f}", "0"))
        figures[name] = {"bad": len(bad), "extra": extra, "calls": found.calls}
    return Report("through a worker", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--items", type=int, default=None, help="default: 100,000; on Kafka 2,000")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--share", type=float, default=SHARE, help="of bad items (0.01)")
    parser.add_argument("--seed", type=int, default=None, help="default: a new one")
    parser.add_argument("--kafka", action="store_true", help="through a worker as well")
    given = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if given.seed is None else given.seed
    say(f"seed: {seed}")
    reports = [engine(given.items or ITEMS, given.batch, given.share, seed)]
    if not given.kafka:
        return conclude(reports, "no broker", json_alone=given.json)
    with broker(given.broker) as (server, name):
        reports.append(
            asyncio.run(kafka(server, given.items or 2_000, given.batch, given.share, seed))
        )
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
