"""The formats with columns: CSV, TSV and Parquet. Values of CSV and TSV are strings.

A quote that is never closed swallows lines until the parser gives up. Then only the line where it
opened is rejected, and the lines after it are read again, so that one bad line costs one record.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from streams.errors import UsageError
from streams.jobs.publish.lines import BOM
from streams.jobs.publish.rows import Lines, Records, Reject, lines_of, too_long

ROWS_AT_ONCE = 1000
Line = tuple[int, bytes]


class _Row(NamedTuple):
    """A record's `cells`, or the `reason` why it has none; `raw`: its lines as they were."""

    line: int
    cells: list[str]
    reason: str
    raw: bytes


class _Feed:
    """Gives lines to the csv module and records which of them belong to the current record."""

    def __init__(self, stretches: Iterator[Lines], longest: int) -> None:
        self._stretches = stretches
        self._longest = longest
        self._waiting: deque[Line] = deque()
        self.record_lines: list[Line] = []
        self.too_long: list[Reject] = []
        self.position = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        while not self._waiting:
            first, lines, cut, self.position = next(self._stretches)
            if first == 1:
                lines[0] = lines[0].removeprefix(BOM)
            self._waiting.extend(enumerate(lines, first))
            if cut:
                number, line = self._waiting.popleft()
                self.too_long.append(Reject(number, too_long(cut, self._longest), line, cut))
        record_lines = self._waiting.popleft()
        self.record_lines.append(record_lines)
        return record_lines[1].decode("utf-8", "surrogateescape") + "\n"

    def again(self) -> None:
        """Put back all lines of the record except the first."""
        self._waiting.extendleft(reversed(self.record_lines[1:]))

    def is_dry(self) -> bool:
        """Whether the next line must still be read."""
        return not self._waiting


class Table:
    """The rows of a CSV or TSV file. `columns`: their names; None: the first row has them."""

    def __init__(
        self, blocks: Iterator[bytes], longest: int, delimiter: str, columns: list[str] | None
    ) -> None:
        self._feed = _Feed(lines_of(blocks, longest), longest)
        self._delimiter = delimiter
        self._columns = columns
        self._longest = longest

    def records(self) -> Iterator[Records]:
        """Rows as objects. Raises UsageError for a header that names no columns."""
        stretch = Records([], [], [], [], 0)
        for row in self._rows():
            if row.reason:
                stretch.rejects.append(Reject(row.line, row.reason, row.raw, len(row.raw)))
            elif row.cells and self._columns is None:
                self._columns = _header(row.cells, row.line)
            elif row.cells:
                self._add(row, self._columns or [], stretch)
            stretch.rejects.extend(self._feed.too_long)
            self._feed.too_long.clear()
            if self._feed.is_dry() or len(stretch.values) >= ROWS_AT_ONCE:
                yield stretch._replace(position=self._feed.position)
                stretch = Records([], [], [], [], 0)
        stretch.rejects.extend(self._feed.too_long)
        yield stretch._replace(position=self._feed.position)

    def _rows(self) -> Iterator[_Row]:
        csv.field_size_limit(self._longest)
        reader = self._reader()
        while True:
            record_lines = self._feed.record_lines = []
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if not record_lines:
                    return
                line, raw = record_lines[0]
                self._feed.again()
                reader = self._reader()
                yield _Row(line, [], _reason(error), raw)
                continue
            yield _Row(record_lines[0][0], cells, "", b"\n".join(line for _, line in record_lines))

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._feed, delimiter=self._delimiter, strict=True)

    def _add(self, row: _Row, columns: list[str], stretch: Records) -> None:
        reason = ""
        document = dict(zip(columns, row.cells, strict=False))
        value = b""
        if len(row.cells) != len(columns):
            reason = f"{len(row.cells)} values for {len(columns)} columns"
        else:
            try:
                value = orjson.dumps(document)
            except TypeError:  # bytes that are not UTF-8 became lone surrogates
                reason = "not UTF-8"
        if reason:
            stretch.rejects.append(Reject(row.line, reason, row.raw, len(row.raw)))
            return
        stretch.lines.append(row.line)
        stretch.values.append(value)
        stretch.documents.append(document)


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return "a quote is opened and never closed"
    if "expected after" in text:
        return "text follows a closing quote; a quote inside a value is written twice"
    return f"not CSV: {text}"


def _header(row: list[str], line: int) -> list[str]:
    """The names of the columns, each exactly once."""
    names = [name.strip() for name in row]
    twice = sorted({name for name in names if names.count(name) > 1})
    if "" in names or twice:
        what = "a column has no name" if "" in names else f'"{twice[0]}" names two columns'
        raise UsageError(f"line {line}: {what}; name the columns with --columns a,b,...")
    try:
        orjson.dumps(names)
    except TypeError:
        raise UsageError(f"line {line}: the names of the columns are not UTF-8") from None
    return names


def parquet_rows(path: Path) -> Iterator[Records]:
    """The rows of a Parquet file as objects; a row's number stands for its line.

    Decimals become strings, missing values and NaN null; bytes have no place in JSON: rejects.
    Raises UsageError without the extra `parquet`, or for another kind of file.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow: pip install 'streams-microbatch[parquet]'"
        ) from None
    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a Parquet file: {' '.join(str(error).split())}") from None
    size, total = path.stat().st_size, max(file.metadata.num_rows, 1)
    number = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        stretch = Records([], [], [], [], 0)
        for row in batch.to_pylist():
            number += 1
            try:
                value = orjson.dumps(row, default=_as_text)
            except TypeError as error:
                reason = f"cannot be written as JSON: {error.__cause__ or error}"
                stretch.rejects.append(Reject(number, reason, b"", 0))
                continue
            stretch.lines.append(number)
            stretch.values.append(value)
            stretch.documents.append(row)
        yield stretch._replace(position=size * number // total)


def _as_text(value: Any) -> str:
    from decimal import Decimal

    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a column holds {type(value).__name__}")
