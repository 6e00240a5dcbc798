"""Brings the two results of each item together while both topics are read.

    records of A ─► waiting for B's result ─┐
                                            ├─► pairs
    records of B ─► waiting for A's result ─┘

Whoever reads takes the next records from the partition whose results wait for the fewest others, so
that few wait where both topics have the items in about the same order. Where they have not, what is
above `LIMIT_BYTES` waits on disk.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from streams.jobs.diff.enriched import Enriched, enriched
from streams.jobs.diff.item_places import NOWHERE, Numbers, Places, place

Side = Literal["a", "b"]

LIMIT_BYTES = 48_000_000
ENTRY_BYTES = 900
"""Of a waiting result beside its JSON, id and key, with its place in the dictionary."""


class Lane:
    """A partition of one side. `waiting`: its results that wait for the other side's."""

    __slots__ = ("done", "partition", "side", "waiting")

    def __init__(self, side: Side, partition: int) -> None:
        self.side: Side = side
        self.partition = partition
        self.waiting = 0
        self.done = 0


class Pair(NamedTuple):
    """`number`: the item's."""

    number: int
    a: Enriched
    b: Enriched


class Missing(NamedTuple):
    """A result whose item the other side lacks."""

    number: int
    result: Enriched


class Joined(NamedTuple):
    """`missing`: results of this side alone."""

    pairs: list[Pair]
    missing: list[Missing]


class Join:
    """`a`, `b`: the record of each item that counts, on either side."""

    def __init__(
        self, numbers: Numbers, a: Places, b: Places, task: str | None, limit: int = LIMIT_BYTES
    ) -> None:
        self._numbers = numbers
        self._task = task
        self._places: dict[Side, Places] = {"a": a, "b": b}
        self._waiting: dict[Side, dict[int, tuple[Lane, Enriched]]] = {"a": {}, "b": {}}
        self._overflow = Overflow()
        self._limit = limit
        self._bytes = 0

    def close(self) -> None:
        self._overflow.close()

    def add(self, lane: Lane, records: Sequence[Any]) -> Joined:
        """The next records of a lane."""
        side: Side = lane.side
        other: Side = "b" if side == "a" else "a"
        mine, theirs = self._places[side], self._places[other]
        number_of, task, partition = self._numbers.of, self._task, lane.partition
        pairs: list[Pair] = []
        missing: list[Missing] = []
        lane.done += len(records)
        for record in records:
            found = enriched(record, task) if record.value is not None else None
            number = None if found is None else number_of(found)
            if found is None or number is None:
                continue
            if mine.get(number) != place(partition, record.offset):
                continue  # another record of the item counts
            if theirs.get(number) == NOWHERE:
                missing.append(Missing(number, found))
            elif (before := self._take(other, number)) is None:
                self._put(lane, number, found)
            else:
                both = (found, before) if side == "a" else (before, found)
                pairs.append(Pair(number, *both))
        return Joined(pairs, missing)

    def _take(self, side: Side, number: int) -> Enriched | None:
        entry = self._waiting[side].pop(number, None)
        if entry is None:
            return self._overflow.take(side, number)
        lane, result = entry
        lane.waiting -= 1
        self._bytes -= _size(result)
        return result

    def _put(self, lane: Lane, number: int, result: Enriched) -> None:
        self._waiting[lane.side][number] = lane, result
        lane.waiting += 1
        self._bytes += _size(result)
        if self._bytes > self._limit:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        for side, waiting in self._waiting.items():
            self._overflow.put(side, waiting)
            for lane, _ in waiting.values():
                lane.waiting = 0
            waiting.clear()
        self._bytes = 0


class Overflow:
    """Waiting results in a database of this process alone, in a temporary file that SQLite makes
    when its own memory (a few megabytes) does not do; nothing of it stays."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None

    def put(self, side: Side, waiting: dict[int, tuple[Lane, Enriched]]) -> None:
        if self._database is None:
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.execute("PRAGMA journal_mode = OFF")
            for each in ("a", "b"):  # an item's number may have more than 64 bits
                self._database.execute(
                    f"CREATE TABLE {each} (number TEXT PRIMARY KEY, result BLOB)"
                )
        rows = (
            (str(number), pickle.dumps(tuple(result))) for number, (_, result) in waiting.items()
        )
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO {side} VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def take(self, side: Side, number: int) -> Enriched | None:
        if self._database is None:
            return None
        query = f"SELECT result FROM {side} WHERE number = ?"
        row = self._database.execute(query, (str(number),)).fetchone()
        return None if row is None else Enriched(*pickle.loads(row[0]))

    def close(self) -> None:
        if self._database is not None:
            self._database.close()


def _size(result: Enriched) -> int:
    return ENTRY_BYTES + len(result.result) + len(result.id) + len(result.key or b"")
