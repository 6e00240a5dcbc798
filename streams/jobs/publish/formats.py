"""The format of a file, and the reader for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from streams.errors import UsageError
from streams.jobs.publish.columns import Table
from streams.jobs.publish.lines import json_lines, text_lines
from streams.jobs.publish.parquet import parquet_rows
from streams.jobs.publish.rows import Records, blocks_of

Format = Literal["jsonl", "csv", "tsv", "parquet", "text"]
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
    """An open input. `size`: its bytes, None if the end is not known beforehand.

    Raises UsageError for a file that cannot be read, a format that cannot be guessed, and `columns`
    for a format that has its own names.
    """

    def __init__(
        self, path: Path | None, format: Format | None, columns: list[str] | None = None
    ) -> None:
        if path is not None and path.is_dir():
            raise UsageError(f"{path}: is a directory, not a file")
        self.format = format or _guess(path)
        if columns is not None and self.format not in {"csv", "tsv"}:
            raise UsageError(f"--columns belongs to csv and tsv, not to {self.format}")
        if path is None and self.format == "parquet":
            raise UsageError("Parquet is read from its end: name a file, not -")
        self._path = path
        self._columns = columns
        self._descriptor = _open(path)
        status = os.fstat(self._descriptor)
        self.size = status.st_size if path is not None and status.st_size else None

    def records(self, longest: int) -> Iterator[Records]:
        """All records, in order. `longest`: a line of more bytes is a reject."""
        if self.format == "parquet":
            assert self._path is not None
            return parquet_rows(self._path)
        blocks = blocks_of(self._descriptor)
        if self.format == "jsonl":
            return json_lines(blocks, longest)
        if self.format == "text":
            return text_lines(blocks, longest)
        delimiter = "," if self.format == "csv" else "\t"
        return Table(blocks, longest, delimiter, self._columns).records()

    def close(self) -> None:
        if self._path is not None:
            os.close(self._descriptor)


def columns_of(names: str) -> list[str]:
    """The names given with --columns. Raises UsageError unless each is there once."""
    columns = [name.strip() for name in names.split(",")]
    if "" in columns or len(set(columns)) < len(columns):
        raise UsageError(f"--columns must be distinct names, as a,b,c, not {names!r}")
    return columns


def _guess(path: Path | None) -> Format:
    if path is None:
        return "jsonl"
    found = _OF_SUFFIX.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            f"the format of {path} cannot be told from its name: say --format {'|'.join(FORMATS)}"
        )
    return found


def _open(path: Path | None) -> int:
    if path is None:
        return STDIN
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from None
