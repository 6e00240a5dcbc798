"""How a row gets its answer: its own bytes as they are, and the new values behind them. Pure.

    csv, tsv    1,"so, so"        ─►  1,"so, so",neutral
    jsonl       {"n": 1.10 }      ─►  {"n": 1.10,"label":"neutral" }
    text        a line            ─►  {"text":"a line","label":"neutral"}

No cell and no number is written anew, so none can change.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import orjson

from streams.codec.splice import append_members
from streams.jobs.files.columns import line_end
from streams.jobs.files.rows import BOM


class JsonLayout:
    """An object a line."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [json.dumps(name, ensure_ascii=False).encode() + b":" for name in names]

    def row(self, source: bytes, values: Sequence[bytes]) -> bytes:
        """`source`: a JSON object that has none of the names. `values`: JSON."""
        pairs = zip(self._names, values, strict=True)
        return append_members(source, b",".join([name + value for name, value in pairs])) + b"\n"


class CsvLayout:
    """A row of cells. A null is an empty cell, a string stands as it is, anything else as JSON.

    `header`: the row with the names, with its line end; empty: the file has none, and gets none.
    `columns`: how many there are. `bom`: whether the file begins with a byte order mark.
    """

    def __init__(
        self, names: Sequence[str], delimiter: str, header: bytes, columns: int, *, bom: bool
    ) -> None:
        self._delimiter = delimiter
        self._columns = columns
        self._end = line_end(header) or b"\n"
        start = BOM if bom else b""
        self.head = start + (self._joined(header, self._cells(names)) if header else b"")

    def row(self, source: bytes, values: Sequence[bytes]) -> bytes:
        return self._joined(source, self._cells([_cell(value) for value in values]))

    def uneven_row(self, source: bytes, values: Sequence[bytes]) -> bytes:
        """A row with too few or too many cells: the new ones stand under their names, and what is
        too many comes after them."""
        cells = cells_of(source, self._delimiter) or []
        first = (cells + [""] * self._columns)[: self._columns]
        rest = cells[self._columns :]
        new = [_cell(value) for value in values]
        return self._cells([*first, *new, *rest])[1:] + (line_end(source) or self._end)

    def _joined(self, source: bytes, cells: bytes) -> bytes:
        end = line_end(source)
        return source[: len(source) - len(end)] + cells + (end or self._end)

    def _cells(self, cells: Sequence[str]) -> bytes:
        """These cells, each behind a delimiter."""
        text = io.StringIO()
        # The csv module quotes a cell for the characters of the line end that it writes.
        csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerow(["", *cells])
        return text.getvalue().removesuffix("\r\n").encode("utf-8", "surrogateescape")


def cells_of(source: bytes, delimiter: str) -> list[str] | None:
    """The cells of one row; None: it is none. Bytes that are not UTF-8 are lone surrogates."""
    text = source.decode("utf-8", "surrogateescape")
    lines = io.StringIO(text, newline="")  # splitlines knows more line ends
    try:
        (cells,) = csv.reader(lines, delimiter=delimiter, strict=True)
    except (csv.Error, ValueError):
        return None
    return cells


def _cell(value: bytes) -> str:
    if value == b"null":
        return ""
    return str(orjson.loads(value)) if value.startswith(b'"') else value.decode()
