"""The end of a replay: does every position of the range have exactly one outcome? Pure.

    source, once more ─► expected ─┐
    sink, dead letters ─► outcome ─┴─► lost · duplicated · out of order
    state ─► dropped ──────────────┘

Only the topics count, and the drops, which leave nothing in a topic and are noted in the run's
state. `streams.jobs.judge` is the same for a whole topic in memory; this takes a byte a position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from streams.core.limits import Order
from streams.core.ranges import Ranges
from streams.jobs.judge import Outcome
from streams.jobs.replay.outcome_marks import Marks
from streams.kafka.extents import Extent

Place = tuple[int, int]
"""Partition and offset of the source."""


class Completeness:
    """`extents`: the range. `order`: the task's. Outcomes of positions outside the range do not
    count.

    `items`: of the range. `outcomes`: in the topics, without those that stand twice; `dead` of them
    are dead letters. `duplicated`: further outcomes of a position that has one. `out_of_order`:
    outcomes whose first copy came after a later one of its source partition, in the same partition
    of the same topic (contract G2).
    """

    def __init__(self, extents: dict[int, Extent], order: Order) -> None:
        self._extents = extents
        self._order = order
        self._marks: defaultdict[int, Marks] = defaultdict(Marks)
        self._last: dict[Hashable, int] = {}
        self.outcomes = 0
        self.dead = 0
        self.drops = 0
        self.duplicated = 0
        self.out_of_order = 0
        self.items = 0

    def outcome(self, outcome: Outcome, *, dead: bool = False) -> None:
        """A record of the run. Those of a partition of a topic come in the order of offsets."""
        source, offset = outcome.source_partition, outcome.source_offset
        extent = self._extents.get(source)
        if extent is None or not extent.first <= offset < extent.end:
            return
        if self._marks[source].add(offset):
            self.duplicated += 1
            return
        self.outcomes += 1
        self.dead += dead
        order, key = self._order, outcome.key
        if order == "none" or (order == "key" and key is None):
            return
        place = outcome.topic, outcome.partition, source, key if order == "key" else None
        if offset < self._last.get(place, -1):
            self.out_of_order += 1
        else:
            self._last[place] = offset

    def dropped(self, partition: int, ranges: Ranges) -> None:
        """Positions whose outcome is a drop."""
        marks = self._marks[partition]
        for first, last in ranges:
            for offset in range(first, last + 1):
                if marks.add(offset):
                    self.duplicated += 1
                else:
                    self.drops += 1

    def expected(self, partition: int, offsets: Iterable[int]) -> None:
        """Positions of the range that have an item."""
        marks = self._marks[partition]
        for offset in offsets:
            marks.expect(offset)
            self.items += 1

    def has(self, partition: int, offset: int) -> bool:
        """Whether the position has an outcome."""
        return self._marks[partition].has(offset)

    def lost(self, limit: int | None = None) -> list[Place]:
        """Positions without an outcome, at most `limit`; None: all."""
        return list(islice(self._lost(), limit))

    def repeated(self, limit: int | None = None) -> list[Place]:
        """Positions with more than one outcome, at most `limit`; None: all."""
        found = (
            (partition, offset)
            for partition, marks in sorted(self._marks.items())
            for offset, _ in marks.repeated()
        )
        return list(islice(found, limit))

    @property
    def verdict(self) -> Verdict:
        return Verdict(sum(1 for _ in self._lost()), self.duplicated, self.out_of_order)

    def _lost(self) -> Iterator[Place]:
        for partition, marks in sorted(self._marks.items()):
            for offset in marks.lost():
                yield partition, offset


class Verdict(NamedTuple):
    """`out_of_order` does not make a run incomplete, but it is told."""

    lost: int
    duplicated: int
    out_of_order: int

    @property
    def is_complete(self) -> bool:
        return not self.lost and not self.duplicated
