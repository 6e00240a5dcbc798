"""Where the rows go: a file, or standard output, in the format of the input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from streams.errors import StreamsError, UsageError
from streams.jobs.files.formats import DELIMITERS, Source
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.journal_file import sync_file
from streams.jobs.map_file.row_layouts import CsvLayout, JsonLayout
from streams.jobs.map_file.row_queue import Row
from streams.standard_streams import data

if TYPE_CHECKING:
    from streams.jobs.map_file.arrow_layout import ArrowRows


class RowOutput(Protocol):
    """Takes rows in order; every method raises StreamsError where no more can be written."""

    def add(self, row: Row, values: Sequence[bytes]) -> str | None:
        """Why these values have no place in the row, which is written without them then; None: they
        have."""
        ...

    def flush(self) -> None:
        """What was added can be read by others, where the format allows it."""
        ...

    def finish(self) -> None:
        """Everything is written, and on the disk."""
        ...

    def close(self) -> None:
        """No more rows; also in the middle."""
        ...


def output_for(source: Source, fields: Fields, out: Path | None) -> RowOutput:
    """The output, empty. The header of the source is read already. Raises UsageError."""
    try:
        if source.format == "parquet":
            assert source.path is not None and out is not None
            return _ParquetOutput(source.path, out, fields)
        return _LineOutput(source, fields, out)
    except OSError as error:
        raise UsageError(f"--out {_unwritable(out, error)}") from None


class _LineOutput:
    """CSV, TSV and JSON lines. `out`: None: standard output."""

    def __init__(self, source: Source, fields: Fields, out: Path | None) -> None:
        self._out = out
        self._file: IO[bytes] = data() if out is None else out.open("wb", buffering=1 << 20)
        self._csv: CsvLayout | None = None
        self._json = JsonLayout(fields.names)
        if source.format in DELIMITERS:
            columns = len(source.columns or [])
            delimiter = DELIMITERS[source.format]
            self._csv = CsvLayout(fields.names, delimiter, source.header, columns, bom=source.bom)
            self._write(self._csv.head)

    def add(self, row: Row, values: Sequence[bytes]) -> str | None:
        if self._csv is None:
            self._write(self._json.row(row.source, values))
        elif row.uneven:
            self._write(self._csv.uneven_row(row.source, values))
        else:
            self._write(self._csv.row(row.source, values))
        return None

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StreamsError(_unwritable(self._out, error)) from None

    def flush(self) -> None:
        try:
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StreamsError(_unwritable(self._out, error)) from None

    def finish(self) -> None:
        self.flush()
        if self._out is not None:
            try:
                self._file.close()
                sync_file(self._out)
            except OSError as error:
                raise StreamsError(_unwritable(self._out, error)) from None

    def close(self) -> None:
        if self._out is not None:
            try:
                self._file.close()
            except OSError as error:
                raise StreamsError(_unwritable(self._out, error)) from None


class _ParquetOutput:
    def __init__(self, source: Path, out: Path, fields: Fields) -> None:
        from streams.jobs.map_file.arrow_layout import ArrowRows

        self._out = out
        self._fields = fields
        self._rows: ArrowRows | None = ArrowRows(source, out, fields.each)

    def add(self, row: Row, values: Sequence[bytes]) -> str | None:
        assert self._rows is not None
        batch, place = row.source
        try:
            self._rows.add(batch, place, values)
        except OSError as error:
            raise StreamsError(_unwritable(self._out, error)) from None
        except ValueError as error:
            self._rows.add(batch, place, self._fields.empty)
            return f"no_place: {error}"
        return None

    def flush(self) -> None:
        """A Parquet file can be read when it is finished."""

    def finish(self) -> None:
        self.close()
        try:
            sync_file(self._out)
        except OSError as error:
            raise StreamsError(_unwritable(self._out, error)) from None

    def close(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            try:
                rows.close()
            except OSError as error:
                raise StreamsError(_unwritable(self._out, error)) from None


def _unwritable(out: Path | None, error: OSError) -> str:
    name: Any = "standard output" if out is None else out
    return f"{name}: cannot be written: {(error.strerror or str(error)).lower()}"
