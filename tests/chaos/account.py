"""What became of every item of a run, judged from what the outside can see.

    offered    it stands in the source topic at a position
    paid       the calls that held it, as the simulator (or the function) noted them
    emitted    its copies in the sink and the dead letters, each with the worker that wrote it
    committed  what the group had committed whenever the watch looked

Promises judged: nothing lost, nothing out of order (first copies), no commit past an item without
an outcome, no commit that goes back, no healthy item among the dead letters, and of copies:
`exactly_once` none; `at_least_once` one more for each time that a worker which wrote the item was
lost (killed, frozen beyond its session, cut off from the broker) before the item was committed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

from streams.jobs.judge import Outcome, judge

Place = tuple[int, int]
"""Source partition, offset."""


class Copy(NamedTuple):
    """One record of the sink or the dead letters. `code`: of a dead letter, else empty. `writer`:
    the task's name, by which the runs tell workers apart."""

    topic: str
    partition: int
    offset: int
    place: Place
    writer: str
    code: str
    seen_s: float

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.topic, self.partition, *self.place)


class Loss(NamedTuple):
    """A worker lost what it had delivered but not committed. `committed`: by partition, read when
    it could commit no more (or before that). `until_s`: what it wrote until then may be copied; a
    dead worker writes nothing more, one that comes back goes on until it learns of its loss."""

    at_s: float
    worker: str
    why: str
    committed: dict[int, int]
    until_s: float = inf


class Call(NamedTuple):
    """A call that held the item. `fault`: what the script did to it, if anything. `by`: the worker,
    where it is known (a function)."""

    at_s: float
    status: int
    fault: str | None
    by: str = ""


class Account:
    """Filled while a run goes on; times are seconds since its start. `one_node`: what is read of
    the group's offsets is what was committed; of several nodes a new coordinator may answer with
    something older for a moment. `allowed_codes`: of dead letters that a healthy item may become.
    """

    def __init__(self, guarantee: str, *, one_node: bool = True) -> None:
        self.guarantee = guarantee
        self.one_node = one_node
        self.allowed_codes: set[str] = set()
        self.offered: dict[Place, str] = {}
        self.poison: set[Place] = set()
        self.copies: dict[Place, list[Copy]] = defaultdict(list)
        self.in_order: list[Copy] = []
        self.paid: dict[Place, list[Call]] = defaultdict(list)
        self.losses: list[Loss] = []
        self.commits: list[tuple[float, dict[int, int]]] = []
        self.events: list[tuple[float, str]] = []
        self.broken: list[tuple[Place | None, str]] = []

    def offer(self, place: Place, text: str) -> None:
        self.offered[place] = text

    def emitted(self, copy: Copy) -> None:
        self.copies[copy.place].append(copy)
        self.in_order.append(copy)

    def committed(self, at_s: float, offsets: dict[int, int]) -> None:
        """A look at the group's offsets; only what changed is kept."""
        before = self.commits[-1][1] if self.commits else {}
        for partition, offset in offsets.items():
            if offset < (was := before.get(partition, 0)) and self.one_node:
                self.breaks((partition, offset), f"committed went back from {was} to {offset}")
        if offsets != before:
            self.commits.append((at_s, dict(offsets)))

    def lost(self, at_s: float, worker: str, why: str, committed: dict[int, int]) -> None:
        self.losses.append(Loss(at_s, worker, why, dict(committed)))

    def back(self, why: str, until_s: float, worker: str | None = None) -> None:
        """The workers (None: all) that were lost for this reason know of it by then."""
        for n, loss in enumerate(self.losses):
            if loss.why == why and loss.until_s == inf and worker in (None, loss.worker):
                self.losses[n] = loss._replace(until_s=until_s)

    def breaks(self, place: Place | None, what: str) -> None:
        """A promise that was seen broken while the run went on."""
        self.broken.append((place, what))

    # -- the end -------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        verdict = judge(self.offered, (copy.outcome for copy in self.in_order))
        return {
            "items": len(self.offered),
            "lost": verdict.lost,
            "out_of_order": verdict.out_of_order,
            "duplicated": verdict.duplicated,
            "duplicates_allowed": self.allowed(),
            "dead_letters": sum(bool(copies[0].code) for copies in self.copies.values()),
            "calls_of_items": sum(map(len, self.paid.values())),
            "paid_again": sum(
                max(0, sum(call.status == 200 and not call.fault for call in calls) - 1)
                for calls in self.paid.values()
            ),
            "losses": len(self.losses),
        }

    def allowed(self) -> int:
        """How many copies too many the losses of this run excuse at most."""
        return sum(self._excuses(place) for place in self.copies)

    def violations(self) -> list[tuple[Place | None, str]]:
        return [
            *self.broken,
            *self._lost(),
            *self._out_of_order(),
            *self._copied(),
            *self._wrong_dead_letters(),
        ]

    def _lost(self) -> Iterator[tuple[Place, str]]:
        for place in self.offered:
            if place not in self.copies:
                yield place, "lost: no outcome in a topic"
        for place in self.copies:
            if place not in self.offered:
                yield place, "an outcome of an item that nobody offered"

    def _out_of_order(self) -> Iterator[tuple[Place, str]]:
        last: dict[tuple[str, int, int], int] = {}
        seen: set[Place] = set()
        for copy in self.in_order:
            if copy.place in seen:
                continue
            seen.add(copy.place)
            where = copy.topic, copy.partition, copy.place[0]
            if copy.place[1] < last.get(where, -1):
                yield copy.place, f"out of order: after {last[where]} in {where[0]}/{where[1]}"
            else:
                last[where] = copy.place[1]

    def _copied(self) -> Iterator[tuple[Place, str]]:
        for place, copies in self.copies.items():
            excuses = self._excuses(place)
            if len(copies) - 1 > excuses:
                yield place, f"{len(copies)} copies, {excuses} more than one are excused"

    def _excuses(self, place: Place) -> int:
        if self.guarantee == "exactly_once":
            return 0
        partition, offset = place
        return sum(
            loss.committed.get(partition, 0) <= offset
            and any(
                copy.writer == loss.worker and copy.seen_s <= loss.until_s
                for copy in self.copies[place]
            )
            for loss in self.losses
        )

    def _wrong_dead_letters(self) -> Iterator[tuple[Place, str]]:
        for place, copies in self.copies.items():
            code = copies[0].code
            if bool(code) == (place in self.poison) or code in self.allowed_codes:
                continue
            if not code:
                yield place, "a poison item has a result"
            elif self._faults(place, code) < (1 if code == CUT_ALONE else FAULTS_FOR_A_DEAD_LETTER):
                yield place, f"a healthy item is a dead letter: {code}"

    def _faults(self, place: Place, code: str) -> int:
        """What the API did to the item that may have led to this code."""
        faults = [call.fault for call in self.paid[place] if call.fault is not None]
        return faults.count("max_tokens") if code == CUT_ALONE else len(faults)

    # -- for a person --------------------------------------------------------------------------

    def history(self, place: Place) -> str:
        """Everything that is known of one item, in order of time."""
        partition, offset = place
        lines: list[tuple[float, str]] = [
            *self.events,
            *(
                (call.at_s, f"paid: status {call.status}, fault {call.fault}")
                for call in self.paid.get(place, ())
            ),
        ]
        for copy in self.copies.get(place, ()):
            what = f"dead letter {copy.code}" if copy.code else "result"
            where = f"{copy.topic}/{copy.partition} at {copy.offset}"
            lines.append((copy.seen_s, f"emitted: {what} by {copy.writer} in {where} (seen)"))
        for loss in self.losses:
            was = loss.committed.get(partition, 0)
            lines.append((loss.at_s, f"{loss.worker} lost ({loss.why}), committed {was}"))
        before = 0
        for at_s, offsets in self.commits:
            now = offsets.get(partition, 0)
            if before <= offset < now or now < before:
                lines.append((at_s, f"committed: {before} -> {now} (seen)"))
            before = now
        text = self.offered.get(place, "(never offered)")
        head = f"item {partition}/{offset} {text!r}"
        return "\n".join([head, *(f"  {at_s:8.3f} s  {what}" for at_s, what in sorted(lines))])


CUT_ALONE = "truncated"
"""The code of an item whose answer was cut at max_tokens when it was asked for alone: final."""

FAULTS_FOR_A_DEAD_LETTER = 3
"""An answer that is missing or invalid is asked for again at most twice."""
