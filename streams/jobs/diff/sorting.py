"""Which records of a lane are compared, and which items the other side lacks.

`AtOnce` surveys while both topics are read, and must not meet an item twice on one side; `Chosen`
knows from a survey which record of an item counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from streams.jobs.diff.enriched import enriched
from streams.jobs.diff.item_places import NOWHERE, Numbers, Places, place
from streams.jobs.diff.join import OTHER_SIDE, Lane, Numbered, Side
from streams.jobs.diff.survey import Survey


class Sorted(NamedTuple):
    """`missing`: results of items that the other side lacks."""

    compared: list[Numbered]
    missing: list[Numbered]


class Sorting(Protocol):
    def sort(self, lane: Lane, records: Sequence[Any]) -> Sorted:
        """The next records of a lane."""
        ...


class AtOnce:
    """What is missing shows at the end. Raises NotAtOnceError, UnmatchedError, UsageError."""

    def __init__(self, surveys: Mapping[Side, Survey]) -> None:
        self._surveys = surveys

    def sort(self, lane: Lane, records: Sequence[Any]) -> Sorted:
        return Sorted(self._surveys[lane.side].add(lane.partition, records, once=True), [])


class Chosen:
    """`places`: of the record of each item that counts, on either side."""

    def __init__(
        self, numbers: Numbers, places: Mapping[Side, Places], task: str | None = None
    ) -> None:
        self._numbers = numbers
        self._places = places
        self._task = task

    def sort(self, lane: Lane, records: Sequence[Any]) -> Sorted:
        mine, theirs = self._places[lane.side], self._places[OTHER_SIDE[lane.side]]
        number_of, task, partition = self._numbers.of, self._task, lane.partition
        found = Sorted([], [])
        for record in records:
            result = enriched(record, task) if record.value is not None else None
            number = None if result is None else number_of(result)
            if result is None or number is None:
                continue
            if mine.get(number) != place(partition, record.offset):
                continue  # another record of the item counts
            is_missing = theirs.get(number) == NOWHERE
            (found.missing if is_missing else found.compared).append(Numbered(number, result))
        return found
