"""Puts rows back into their order: answers come as they are ready, rows leave as they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

WINDOW_ROWS: Final = 8_192
WINDOW_BYTES: Final = 64 * 1024 * 1024


class Row(NamedTuple):
    """One row of the input. `line`, `last_line`: where it stands, from 1. `source`: what stands
    there: bytes, in Parquet a batch and a place in it; None: it is no row of the format, and has
    no place in the output. `text`: to ask about. `problem`: why there is nothing to ask.
    `raw`: what a reject shows, the first of `raw_size` bytes. `size`: about the memory it takes.
    `misfit`: no new values fit behind it: it has too few or too many cells, or fields with their
    names."""

    line: int
    last_line: int
    source: Any
    text: str
    problem: str | None
    raw: bytes
    raw_size: int
    size: int
    misfit: bool = False


class Entry:
    """A row and, when it is `done`, its answer or the `error` that it has instead. `position`: how
    far the input is read with it."""

    __slots__ = ("answer", "done", "error", "index", "position", "row", "text_hash")

    def __init__(self, index: int, row: Row) -> None:
        self.index = index
        self.row = row
        self.position = 0.0
        self.text_hash = b""
        self.answer: bytes | None = None
        self.error: str | None = row.problem
        self.done = row.problem is not None

    @property
    def size(self) -> int:
        return self.row.size + len(self.answer or b"")


class RowQueue:
    """The rows that have not left. `index`: of the next row, from 0. At most WINDOW_ROWS, and
    WINDOW_BYTES of them, so that a slow answer does not fill the memory with those behind it."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.index = 0

    @property
    def is_full(self) -> bool:
        return len(self._entries) >= WINDOW_ROWS or self._bytes >= WINDOW_BYTES

    @property
    def is_empty(self) -> bool:
        return not self._entries

    def add(self, row: Row) -> Entry:
        entry = Entry(self.index, row)
        self.index += 1
        self._entries.append(entry)
        self._bytes += entry.size
        return entry

    def settle(self, entry: Entry, answer: bytes | None, error: str | None) -> None:
        """The row has this answer, or this error instead."""
        entry.answer, entry.error, entry.done = answer, error, True
        self._bytes += len(answer or b"")

    def take(self, leave: Callable[[Entry], None]) -> int:
        """Lets every row leave that is done and has none before it; returns how many."""
        count = 0
        while self._entries and self._entries[0].done:
            entry = self._entries.popleft()
            self._bytes -= entry.size
            leave(entry)
            count += 1
        return count
