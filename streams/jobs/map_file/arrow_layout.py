"""The rows of a Parquet file with new columns: the old ones as Arrow has them, in their own types.

Imported where there is a Parquet file, since it needs pyarrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as parquet

from streams.codec.strict_json import read
from streams.jobs.files.parquet import opened
from streams.jobs.map_file.answer_fields import Field, Kind

GROUP_ROWS: Final = 16_384
GROUP_BYTES: Final = 64 * 1024 * 1024
"""A row group is closed at the first of both; both are decided by the rows alone, so that every run
writes the same file."""

TYPES: Final[dict[Kind, Any]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "json": pa.string(),
    "vector": pa.list_(pa.float32()),
}


class ArrowRows:
    """Writes a Parquet file. Each row comes as its batch and its place in it."""

    def __init__(self, source: Path, target: Path, fields: Sequence[Field]) -> None:
        self._fields = fields
        schema = opened(source).schema_arrow
        for field in fields:
            schema = schema.append(pa.field(field.name, TYPES[field.kind]))
        self._schema = schema
        self._writer = parquet.ParquetWriter(target, schema)
        self._slices: list[Any] = []
        self._run: tuple[Any, int, int] | None = None  # a batch, and its rows from here to there
        self._values: list[list[Any]] = [[] for _ in fields]
        self._count = self._bytes = 0

    def add(self, batch: Any, place: int, values: Sequence[bytes]) -> None:
        """`values`: JSON, each of its column's kind, or null. Raises ValueError for one that its
        column cannot hold; the row is not added then."""
        new = [arrow_value(field, value) for field, value in zip(self._fields, values, strict=True)]
        if self._run is not None and self._run[0] is batch and self._run[2] == place:
            self._run = (batch, self._run[1], place + 1)
        else:
            self._end_run()
            self._run = (batch, place, place + 1)
        for column, value in zip(self._values, new, strict=True):
            column.append(value)
        self._bytes += batch.nbytes // max(batch.num_rows, 1) + sum(map(len, values))
        self._count += 1
        if self._count >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Writes what is left, and the file's end: without it the file cannot be read."""
        self._write_group()
        self._writer.close()

    def _end_run(self) -> None:
        if self._run is not None:
            batch, first, end = self._run
            self._slices.append(batch.slice(first, end - first))
            self._run = None

    def _write_group(self) -> None:
        self._end_run()
        if not self._count:
            return
        old = pa.Table.from_batches(self._slices).combine_chunks()
        columns = list(old.columns)
        for values, field in zip(self._values, self._fields, strict=True):
            columns.append(pa.chunked_array([pa.array(values, TYPES[field.kind])]))
        self._writer.write_table(
            pa.Table.from_arrays(columns, schema=self._schema), row_group_size=self._count
        )
        self._slices, self._values = [], [[] for _ in self._fields]
        self._count = self._bytes = 0


def arrow_value(field: Field, value: bytes) -> Any:
    """A JSON value for its column. Raises ValueError."""
    if value == b"null":
        return None
    if field.kind == "json":
        return value.decode()
    found = read(value)
    if field.kind == "integer":
        whole = int(found)  # 3.0 is an integer in JSON Schema
        if not -(2**63) <= whole < 2**63:
            raise ValueError(f'its new column "{field.name}" holds integers of 64 bits')
        return whole
    return float(found) if field.kind == "number" else found
