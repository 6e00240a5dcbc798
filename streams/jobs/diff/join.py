"""Brings the two results of each item together while both topics are read.

    results of A ─► waiting for B's result ─┐
                                            ├─► pairs
    results of B ─► waiting for A's result ─┘

Whoever reads takes the next records from the partition whose results wait for the fewest others, so
that few wait where both topics have the items in about the same order. Where they have not, what is
above `LIMIT_BYTES` waits on disk.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Sequence
from typing import Literal, NamedTuple

from streams.jobs.diff.enriched import Enriched

Side = Literal["a", "b"]
SIDES: tuple[Side, ...] = ("a", "b")
OTHER_SIDE: dict[Side, Side] = {"a": "b", "b": "a"}

LIMIT_BYTES = 48_000_000
ENTRY_BYTES = 900
"""Of a waiting result beside its JSON, id and key, with its place in the dictionary."""


class NotAtOnceError(Exception):
    """Both topics must be surveyed first: an item has several results, or too many wait."""


class Lane:
    """A partition of one side. `waiting`: its results that wait for the other side's. `done`:
    records that were read."""

    __slots__ = ("done", "partition", "side", "waiting")

    def __init__(self, side: Side, partition: int) -> None:
        self.side: Side = side
        self.partition = partition
        self.waiting = 0
        self.done = 0


class Numbered(NamedTuple):
    """A result, and the number of its item."""

    number: int
    result: Enriched


class Pair(NamedTuple):
    """Both results of the item with this number."""

    number: int
    a: Enriched
    b: Enriched


class Join:
    """`to_disk`: whether results may wait there; if not, NotAtOnceError is raised above `limit`
    bytes."""

    def __init__(self, *, to_disk: bool, limit: int = LIMIT_BYTES) -> None:
        self._to_disk = to_disk
        self._waiting: dict[Side, dict[int, tuple[Lane, Enriched]]] = {"a": {}, "b": {}}
        self._overflow = Overflow()
        self._limit = limit
        self._bytes = 0

    def close(self) -> None:
        self._overflow.close()

    def add(self, lane: Lane, results: Sequence[Numbered]) -> list[Pair]:
        """The next results of a lane, one for each item; returns those that are complete."""
        other = OTHER_SIDE[lane.side]
        pairs: list[Pair] = []
        for number, result in results:
            before = self._take(other, number)
            if before is None:
                self._put(lane, number, result)
            elif lane.side == "a":
                pairs.append(Pair(number, result, before))
            else:
                pairs.append(Pair(number, before, result))
        return pairs

    def rest(self, side: Side) -> list[Numbered]:
        """What waits in vain when all is read; not what is on disk."""
        return [Numbered(number, result) for number, (_, result) in self._waiting[side].items()]

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
            if not self._to_disk:
                raise NotAtOnceError
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
            for each in SIDES:  # an item's number may have more than 64 bits
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
