"""The format of a file, and the reader for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from streams.errors import UsageError
from streams.jobs.files.columns import Table
from streams.jobs.files.lines import json_lines, text_lines
from streams.jobs.files.parquet import parquet_rows
from streams.jobs.files.rows import BOM, Records, blocks_of

Format = Literal["jsonl", "csv", "tsv", "parquet", "text"]
DELIMITERS = {"csv": ",", "tsv": "\t"}
STDIN = 0
FORMATS: tuple[Format, ...] = get_args(Format)
_OF_SUFFIX: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".md": "text",
}


class Source:
    """An open input. `size`: its bytes, None if the end is not known beforehand. `name`: for a
    person.

    `faithful`: for a job that gives the rows back: columns may share names or have none, a byte
    order mark is skipped in any format, and what Parquet has without a JSON form is only missing.

    Raises UsageError for a file that cannot be read, a format that cannot be guessed, and `columns`
    for a format that has its own names.
    """

    def __init__(
        self,
        path: Path | None,
        format: Format | None,
        columns: list[str] | None = None,
        *,
        faithful: bool = False,
    ) -> None:
        if path is not None and path.is_dir():
            raise UsageError(f"{path}: is a directory, not a file")
        self.format = format or _guess(path)
        if columns is not None and self.format not in {"csv", "tsv"}:
            raise UsageError(f"--columns belongs to csv and tsv, not to {self.format}")
        if path is None and self.format == "parquet":
            raise UsageError("Parquet is read from its end: name a file, not -")
        self.path = path
        self.name = "standard input" if path is None else str(path)
        self._columns = columns
        self._faithful = faithful
        self._table: Table | None = None
        self.bom = False
        self._descriptor = _open(path)
        status = os.fstat(self._descriptor)
        self.size = status.st_size if path is not None and status.st_size else None

    def records(self, longest: int) -> Iterator[Records]:
        """All records, in order. `longest`: a line of more bytes is a reject."""
        if self.format == "parquet":
            assert self.path is not None
            return parquet_rows(self.path, faithful=self._faithful)
        blocks = self._marked(blocks_of(self._descriptor))
        if self.format == "jsonl":
            return json_lines(blocks, longest, bom=self._faithful)
        if self.format == "text":
            return text_lines(blocks, longest)
        delimiter = DELIMITERS[self.format]
        self._table = Table(blocks, longest, delimiter, self._columns, distinct=not self._faithful)
        return self._table.records()

    @property
    def columns(self) -> list[str] | None:
        """The columns of a CSV or TSV file; None: there are none, or the header is not read yet."""
        return None if self._table is None else self._table.columns

    @property
    def header(self) -> bytes:
        """The first row of a CSV or TSV file where it names the columns, with its line end."""
        return b"" if self._table is None else self._table.header

    def _marked(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks; sets `bom`, whether the file begins with a byte order mark."""
        start: bytes | None = b""
        for block in blocks:
            if start is not None:
                start += block
                if BOM.startswith(start) and start != BOM:
                    continue
                block, self.bom, start = start, start.startswith(BOM), None
            yield block
        if start:
            yield start

    def close(self) -> None:
        if self.path is not None:
            os.close(self._descriptor)


def columns_of(names: str) -> list[str]:
    """The names given with --columns. Raises UsageError unless each is there once."""
    columns = [name.strip() for name in names.split(",")]
    if "" in columns or len(set(columns)) < len(columns):
        raise UsageError(f"--columns must be distinct names, as a,b,c, not {names!r}")
    return columns


def format_of(path: Path) -> Format | None:
    """The format that a file's name tells; None: it tells none."""
    return _OF_SUFFIX.get(path.suffix.lower())


def _guess(path: Path | None) -> Format:
    if path is None:
        return "jsonl"
    found = format_of(path)
    if found is None:
        raise UsageError(
            f"the format of {path} cannot be told from its name: say --format {'|'.join(FORMATS)}"
        )
    return found


def same_file(one: Path | None, other: Path | None) -> bool:
    """Whether both name one file that exists."""
    try:
        return one is not None and other is not None and one.samefile(other)
    except OSError:
        return False


def _open(path: Path | None) -> int:
    if path is None:
        return STDIN
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from None
