"""The ledger of truth: what was offered, paid, written and committed of every item, held against
the promises the moment it happens (contract, section 2).

An item stands for one record of the source. A tenure is a partition in one process from an
assignment to the next revocation: who may write and commit, and whose fault a duplicate is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from streams.codec.committed import Committed
from tests.simulation.parameters import Parameters
from tests.simulation.records import ALONE_KINDS, DEAD_LETTERS, ODD_CODES, Kind

COUNTED = frozenset(
    {"timeout", "client_error", "server_error", "account", "throttled", "connection"}
)
ASKED = frozenset({"no_answer", "invalid_answer", "truncated"})
WRITTEN_LATE = "result_too_large"
"""The code of what the broker refused for its size: it becomes a dead letter when others have
passed it already."""


class Violation(AssertionError):  # noqa: N818  # what it is called everywhere here
    """A promise was broken; `item`: by which one, where it is one's."""

    def __init__(self, fact: str, item: Item | None = None) -> None:
        super().__init__(fact)
        self.item = item


class Tenure:
    """`lost`: the process was killed, or the group has put it out. `excused`: why its revocation
    could not finish what it had to; None: it could, or is still to come. `recorded_below`: what
    stands there in the call ledger it was promised."""

    __slots__ = ("excused", "lost", "member", "number", "partition", "recorded_below", "start")

    def __init__(self, member: str, partition: int, start: Committed, number: int) -> None:
        self.member = member
        self.partition = partition
        self.start = start
        self.number = number
        self.recorded_below = 0
        self.lost = False
        self.excused: str | None = None

    def __str__(self) -> str:
        told = " lost" if self.lost else f" ({self.excused})" if self.excused else ""
        return f"{self.member}/{self.number}{told}"


class Copy(NamedTuple):
    """One record of the sink or the dead letters; `code`: None for a result."""

    at_s: float
    tenure: Tenure
    topic: str
    partition: int
    code: str | None


class Recorded(NamedTuple):
    """An answer in the call ledger, and the process that has recorded it."""

    offset: int
    member: str


class Item:
    """`answered_to`: the lanes that got its final answer. `counted`, `unanswered`: calls of it that
    failed so that it may be at fault, or left it out. `witness`: of each process whose call of it
    failed, how many of its calls had been answered by the last time (a pipeline may still call for
    what is another's by then). `released_as`: "result", "dead letter": both where it had one with
    an owner who could not write it, and the other with the next. `durable`: a record of it is,
    though a reader of what is committed may not have got there yet. `recorded`: its answers in the
    call ledger."""

    __slots__ = (
        "answered_to", "calls", "copies", "counted", "durable", "key", "kind", "offered_at",
        "offset", "partition", "recorded", "refused_size", "released_as", "unanswered", "witness",
    )  # fmt: skip

    def __init__(self, partition: int, offset: int, kind: Kind, key: bytes | None) -> None:
        self.partition = partition
        self.offset = offset
        self.kind = kind
        self.key = key
        self.answered_to: list[Any] = []
        self.calls: list[str] = []
        self.copies: list[Copy] = []
        self.counted = 0
        self.recorded: list[Recorded] = []
        self.durable = False
        self.offered_at = 0.0
        self.witness: dict[Any, int] = {}
        self.unanswered = 0
        self.refused_size = False
        self.released_as: set[str] = set()

    def __str__(self) -> str:
        return f"item {self.partition}/{self.offset} ({self.kind.value})"


class Ledger:
    """`now()`: the time. `on_change()`: called when something was committed. `tracing`: write down
    everything that happens to every item; costs a third of the speed."""

    def __init__(
        self,
        parameters: Parameters,
        now: Callable[[], float],
        on_change: Callable[[], None],
        *,
        tracing: bool = False,
    ) -> None:
        self._parameters = parameters
        self._now = now
        self._on_change = on_change
        self._tracing = tracing
        self._exactly_once = parameters.guarantee == "exactly_once"
        partitions = range(parameters.partitions)
        self.items: list[dict[int, Item]] = [{} for _ in partitions]
        self.committed: list[Committed | None] = [None] * parameters.partitions
        self.committed_by: list[Tenure | None] = [None] * parameters.partitions
        self.events: list[str] = []
        self.duplicates = 0
        self.calls = 0
        self.alone: Item | None = None  # the one that the API refuses as it may refuse everybody
        self._durable: list[list[Item]] = [[] for _ in partitions]  # in order, not yet committed
        self._passed = [0] * parameters.partitions  # of them, below the committed offset
        self._first: dict[tuple[Any, ...], int] = {}

    # -- what happens ----------------------------------------------------------------------------

    def note(self, what: str, item: Item | None = None) -> None:
        if not self._tracing:
            return
        line = f"{self._now():10.4f} {what}"
        if item is None:
            self.events.append(line)
        else:
            item.calls.append(line)

    def offered(self, item: Item) -> None:
        item.offered_at = self._now()
        self.items[item.partition][item.offset] = item
        self._durable[item.partition].append(item)

    def called(self, item: Item, lane: Any, tenure: Tenure, call: str) -> None:
        self.note(call, item)
        if any(known.offset < tenure.recorded_below for known in item.recorded):
            raise Violation(f"{item} was recorded when {tenure} began, and is paid again", item)
        if any(lane is known for known in item.answered_to):
            raise Violation(f"{item} was answered, and is asked for again ({call})", item)

    def emitted(self, tenure: Tenure, topic: str, partition: int, item: Item, code: Any) -> None:
        """A record of the item is durable."""
        self.note(f"written to {topic}/{partition} by {tenure}, code {code}", item)
        if item.offset < tenure.start.offset or covered(item.offset, tenure.start.beyond):
            raise Violation(f"{tenure} wrote {item}, committed before it began", item)
        self._check_outcome(item, topic, code)
        if item.copies:
            self._check_duplicate(item, tenure)
        elif code != WRITTEN_LATE or not item.refused_size:
            self._check_order(item, topic, partition)
        item.durable = True
        item.copies.append(Copy(self._now(), tenure, topic, partition, code))

    def commit(self, tenure: Tenure, said: Committed) -> None:
        """A commit of this tenure is made."""
        number, before = tenure.partition, self.committed[tenure.partition]
        self.note(f"{tenure} committed {number}: {said.offset} {list(said.beyond)}")
        if before is not None and said.offset < before.offset:
            raise Violation(f"{tenure} took the commit of {number} back to {said.offset}")
        items, passed = self._durable[number], self._passed[number]
        while passed < len(items) and items[passed].offset < said.offset:
            self._check_durable(items[passed], tenure, said)
            passed += 1
        self._passed[number] = passed
        for item in items[passed:] if said.beyond else ():
            if covered(item.offset, said.beyond):
                self._check_durable(item, tenure, said)
        self.committed[number], self.committed_by[number] = said, tenure
        self._on_change()

    def check_committed(self, items: Iterable[Item]) -> None:
        """A transaction with records of these is committed, and its offsets with it."""
        for item in items:
            said = self.committed[item.partition]
            if said is None or not (item.offset < said.offset or covered(item.offset, said.beyond)):
                raise Violation(f"{item} is written, and its offset did not move with it", item)

    # -- the promises ----------------------------------------------------------------------------

    def _check_durable(self, item: Item, tenure: Tenure, said: Committed) -> None:
        if not item.durable and not (item.kind is Kind.DROPPED and item.answered_to):
            raise Violation(f"{tenure} committed {said.offset}, {item} has no outcome (G3)", item)

    def _check_order(self, item: Item, topic: str, partition: int) -> None:
        order = self._parameters.order
        if order == "none" or (order == "key" and item.key is None):
            return
        if len(item.released_as) > 1 and not self._exactly_once:
            # Not kept in at_least_once: results and dead letters go to two topics, so what stood
            # behind the outcome that was lost may be written already.
            return
        lane: tuple[Any, ...] = (topic, partition, item.partition)
        if order == "key":
            lane = (*lane, item.key)
        before = self._first.get(lane, -1)
        if item.offset < before:
            raise Violation(f"{item} stands behind {item.partition}/{before} in {lane} (G2)", item)
        self._first[lane] = item.offset

    def _check_duplicate(self, item: Item, tenure: Tenure) -> None:
        """G1: only of what was delivered by somebody who was killed or put out of the group, or
        could not finish for the broker's sake."""
        if self._exactly_once:
            told = ", ".join(str(copy.tenure) for copy in item.copies)
            raise Violation(f"{item} is there again, by {tenure} after {told} (G1)", item)
        self.duplicates += 1
        for copy in item.copies:
            if copy.tenure is tenure:
                raise Violation(f"{tenure} wrote {item} twice (G1)", item)
        if not any(known.lost or known.excused for known in (tenure, *_tenures(item.copies))):
            told = ", ".join(str(copy.tenure) for copy in item.copies)
            raise Violation(f"{tenure} wrote {item} again after {told} (G1)", item)

    def _check_outcome(self, item: Item, topic: str, code: str | None) -> None:
        kind, told = item.kind, f"{item}: {code or 'a result'} in {topic}"
        if (topic == "dead") is not (code is not None):
            raise Violation(f"{told} does not belong there", item)
        expected = ODD_CODES.get(kind)
        if kind in ALONE_KINDS and not item.counted:
            raise Violation(f"{told}, though nobody was answered in between", item)
        if kind in ALONE_KINDS and code in COUNTED:
            return  # its last call may have met something else
        if code == expected or (code is None and kind in (Kind.PLAIN, Kind.HUGE, Kind.DROPPED)):
            if kind is Kind.DROPPED:
                raise Violation(f"{told}, though it is dropped", item)
            return
        if code in COUNTED and item.counted >= self._parameters.max_attempts:
            return
        if code in ASKED and item.unanswered >= (1 if code == "truncated" else 3):
            return
        if code == WRITTEN_LATE and (kind is Kind.HUGE or item.refused_size):
            return
        raise Violation(
            f"{told} after {item.counted} counted attempts, {item.unanswered} bad answers", item
        )

    def finished(self) -> bool:
        """Whether everything that was offered is committed."""
        return all(
            not items or (said is not None and said.offset > items[-1].offset)
            for items, said in zip(self._durable, self.committed, strict=True)
        )

    def alone_is_committed(self) -> bool:
        """Whether the item that the API refuses alone is."""
        said = None if self.alone is None else self.committed[self.alone.partition]
        return self.alone is not None and said is not None and said.offset > self.alone.offset

    def behind(self) -> list[str]:
        """What is not committed, partition by partition."""
        told = []
        for number, (items, said) in enumerate(zip(self._durable, self.committed, strict=True)):
            if items and (said is None or said.offset <= items[-1].offset):
                told.append(f"{number}: committed {said}, ends with {items[-1].offset}")
        return told

    def first_behind(self) -> Item | None:
        """The first item that is not committed."""
        for items, passed in zip(self._durable, self._passed, strict=True):
            if passed < len(items):
                return items[passed]
        return None

    def not_passed(self, ends: Sequence[int]) -> str | None:
        """What stands behind the last item and is none is committed, too: it will be gone one day,
        and the next owner would take it for lost items. None: all of it is."""
        for number, (items, said, end) in enumerate(
            zip(self._durable, self.committed, ends, strict=True)
        ):
            if items and (said is None or said.offset != end):
                return f"{number}: committed {said} of a log that ends at {end}"
        return None

    def check_nothing_lost(self) -> None:
        for items in self.items:
            for item in items.values():
                if not item.copies and not (item.kind is Kind.DROPPED and item.answered_to):
                    raise Violation(f"{item} is lost (G1)", item)


def covered(offset: int, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether one of the ranges, their ends included, holds this offset."""
    return any(first <= offset <= last for first, last in ranges)


def _tenures(copies: Sequence[Copy]) -> Iterable[Tenure]:
    return (copy.tenure for copy in copies)


assert DEAD_LETTERS >= COUNTED | ASKED
