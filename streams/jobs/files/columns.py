"""The formats of rows and columns, CSV and TSV. Values are strings.

A row may have several lines, since a value in quotes may. What stands inside quotes never becomes
a row: one that is too large, or whose quote is never closed, is one reject with all its lines.
`_Feed` gives the csv module a row's lines while they fit; `_Quotes` finds the end of one that does
not.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import orjson

from streams.errors import UsageError
from streams.jobs.files.rows import REJECT_BYTES, Piece, Records, Reject, pieces_of, too_long

ROWS_AT_ONCE = 1000

NEVER_CLOSED = "a quote is opened and never closed"


class _Row(NamedTuple):
    """A row's `cells`, or the `reason` why it has none. `first`, `last`: the numbers of its lines.
    `lines`: their bytes; where `size` is not 0, only the first of so many bytes."""

    first: int
    last: int
    cells: list[str]
    reason: str
    lines: list[bytes]
    size: int


class _TooLargeError(Exception):
    """The row is larger than any record of the topic."""


class _Feed:
    """Gives lines to the csv module. `row`: those of the current row, with their ends, and `first`,
    `last`: their numbers. `position`: bytes of the input read so far."""

    def __init__(self, blocks: Iterator[bytes], longest: int) -> None:
        self._stretches = pieces_of(blocks, longest)
        self._longest = longest
        self._waiting: deque[Piece] = deque()
        self.row: list[bytes] = []
        self.first = self.last = 0
        self.position = self._size = 0
        self._ended = True

    def begin(self) -> None:
        """What comes next belongs to a new row."""
        self.row, self._size, self.first = [], 0, self.last + 1

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        """The next line of the row. A row is never smaller than its record, so that one above the
        limit is surely too large: raises _TooLargeError."""
        line = self.piece()
        self.row.append(line)
        if self._size > self._longest and self._size - len(line_end(line)) > self._longest:
            raise _TooLargeError
        return line.decode("utf-8", "surrogateescape")

    def piece(self) -> bytes:
        """The next line, or a part of a line that is too long for a row. Raises StopIteration."""
        while not self._waiting:
            pieces, self.position = next(self._stretches)
            self._waiting.extend(pieces)
        if self._ended:
            self.last += 1
        text, self._ended = self._waiting.popleft()
        self._size += len(text)
        return text

    def rest(self, quotes: _Quotes) -> int:
        """Pass over the rest of the row; returns the size of the whole."""
        for text in self.row:
            quotes.read(text)
        end = line_end(self.row[-1])
        while not self._ended or quotes.open:
            try:
                text = self.piece()
            except StopIteration:
                end = b""
                break
            quotes.read(text)
            end = line_end(text)
        return self._size - len(end)

    def is_dry(self) -> bool:
        """Whether the next line must still be read."""
        return not self._waiting


class _State(Enum):
    START = auto()  # of a value
    VALUE = auto()  # without quotes
    QUOTED = auto()
    QUOTE = auto()  # a quote inside quotes: they end here, or it is the first of two
    BROKEN = auto()  # text follows the quotes: the row ends with the line


class _Quotes:
    """Reads a row only to know where it ends, by the rules of the csv module. `open`: the row goes
    on after the line, which ends inside quotes."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter.encode()
        self._state = _State.START

    @property
    def open(self) -> bool:
        return self._state is _State.QUOTED

    def read(self, text: bytes) -> None:
        """The next part of the row: line ends stand only inside quotes, or at its end."""
        at = 0
        while at < len(text) and self._state is not _State.BROKEN:
            here = text[at : at + 1]
            if self._state is _State.START:
                quoted = here == b'"'
                self._state, at = (_State.QUOTED, at + 1) if quoted else (_State.VALUE, at)
            elif self._state is _State.QUOTE:
                self._state, at = self._after_quote(here), at + 1
            else:
                in_value = self._state is _State.VALUE
                found = text.find(self._delimiter if in_value else b'"', at)
                if found < 0:
                    return
                self._state, at = (_State.START if in_value else _State.QUOTE), found + 1

    def _after_quote(self, here: bytes) -> _State:
        if here == b'"':
            return _State.QUOTED
        return _State.START if here == self._delimiter else _State.BROKEN


class Table:
    """The rows of a CSV or TSV file. `columns`: their names; None: the first row has them, and
    `header`, once it is read, its bytes. `distinct`: whether each must have a name of its own."""

    def __init__(
        self,
        blocks: Iterator[bytes],
        longest: int,
        delimiter: str,
        columns: list[str] | None,
        *,
        distinct: bool = True,
    ) -> None:
        self._feed = _Feed(blocks, longest)
        self._delimiter = delimiter
        self.columns = columns
        self.header = b""
        self._distinct = distinct
        self._longest = longest

    def records(self) -> Iterator[Records]:
        """Rows as objects. Raises UsageError for a first row that does not name the columns."""
        stretch = _stretch()
        for row in self._rows():
            if self.columns is None and (row.cells or row.reason):
                self.columns = _header(row, distinct=self._distinct)
                self.header = b"".join(row.lines)
            elif row.reason:
                stretch.rejects.append(_reject(row, row.reason))
            elif row.cells:
                _add(row, self.columns or [], stretch)
            if self._feed.is_dry() or len(stretch.values) >= ROWS_AT_ONCE:
                yield stretch._replace(position=self._feed.position)
                stretch = _stretch()
        yield stretch._replace(position=self._feed.position)

    def _rows(self) -> Iterator[_Row]:
        csv.field_size_limit(self._longest + len("\r\n"))  # our own limit comes first
        feed, reader = self._feed, self._reader()
        while True:
            feed.begin()
            cells, reason, size = [], "", 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason, reader = _reason(error), self._reader()
            except _TooLargeError:
                quotes = _Quotes(self._delimiter)
                size, reader = feed.rest(quotes), self._reader()
                reason = NEVER_CLOSED if quotes.open else too_long(size, self._longest)
            yield _Row(feed.first, feed.last, cells, reason, feed.row, size)

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed, delimiter=self._delimiter, strict=True)


def _stretch() -> Records:
    return Records([], [], [], [], 0, [], [])


def _add(row: _Row, columns: list[str], stretch: Records) -> None:
    if len(row.cells) != len(columns):
        reason = f"{len(row.cells)} values for {len(columns)} columns"
        stretch.rejects.append(_reject(row, reason))
        return
    document = dict(zip(columns, row.cells, strict=True))
    try:
        value = orjson.dumps(document)
    except TypeError:  # bytes that are not UTF-8 became lone surrogates
        stretch.rejects.append(_reject(row, "not UTF-8"))
        return
    stretch.lines.append(row.first)
    stretch.values.append(value)
    stretch.documents.append(document)
    if stretch.last_lines is not None and stretch.sources is not None:
        stretch.last_lines.append(row.last)
        stretch.sources.append(row.lines[0] if len(row.lines) == 1 else b"".join(row.lines))


def _reject(row: _Row, reason: str) -> Reject:
    raw = b"".join(row.lines)
    raw = raw[:REJECT_BYTES] if row.size else raw.removesuffix(line_end(raw))
    return Reject(row.first, reason, raw, row.size or len(raw), row.last)


def line_end(line: bytes) -> bytes:
    """LF, CR, CRLF, or nothing."""
    if line.endswith(b"\r\n"):
        return b"\r\n"
    return line[-1:] if line.endswith((b"\n", b"\r")) else b""


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return NEVER_CLOSED
    if "expected after" in text:
        return "text follows a closing quote; a quote inside a value is written twice"
    return f"not CSV: {text}"


def _header(row: _Row, *, distinct: bool) -> list[str]:
    """The names of the columns; `distinct`: each exactly once."""
    names = [name.strip() for name in row.cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    problem = row.reason
    if not problem and distinct and "" in names:
        problem = "a column has no name"
    elif not problem and distinct and twice:
        problem = f'"{twice[0]}" names two columns'
    if problem:
        raise UsageError(f"line {row.first}: {problem}; name the columns with --columns a,b,...")
    try:
        orjson.dumps(names)
    except TypeError:
        raise UsageError(f"line {row.first}: the names of the columns are not UTF-8") from None
    return names
