"""Where the rows go: a file, or standard output, in the format of the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from streams.errors import StreamsError, UsageError
from streams.jobs.files.formats import DELIMITERS, Source
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.journal_file import sync_file
from streams.jobs.map_file.row_layouts import CsvLayout, JsonLayout
from streams.jobs.map_file.row_queue import Row
from streams.standard_streams import data


class RowOutput(Protocol):
    """Takes rows in order. Every method raises StreamsError where no more can be written."""

    def add(self, row: Row, values: Sequence[bytes]) -> str | None:
        """None; or why these values have no place, and the row is written without them."""
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
    """The output, empty: what `out` held is gone. The header of the source is read already; `out`:
    None: standard output. Raises UsageError."""
    try:
        if source.format == "parquet":
            return _ParquetOutput(source, fields, out)
        return _LineOutput(source, fields, out)
    except OSError as error:
        raise UsageError(f"--out {_unwritable(out, error)}") from None


class _LineOutput:
    """CSV, TSV and JSON lines."""

    def __init__(self, source: Source, fields: Fields, out: Path | None) -> None:
        self._out = out
        self._file: IO[bytes] = data() if out is None else out.open("wb", buffering=1 << 20)
        self._csv: CsvLayout | None = None
        self._json = JsonLayout(fields.names)
        if source.format in DELIMITERS:
            columns = len(source.columns or [])
            delimiter = DELIMITERS[source.format]
            self._csv = CsvLayout(fields.names, delimiter, source.header, columns, bom=source.bom)
            self._file.write(self._csv.head)

    def add(self, row: Row, values: Sequence[bytes]) -> str | None:
        if self._csv is None:
            line = row.source + b"\n" if row.misfit else self._json.row(row.source, values)
        elif row.misfit:
            line = self._csv.uneven_row(row.source, values)
        else:
            line = self._csv.row(row.source, values)
        with _writing(self._out):
            self._file.write(line)
        return None

    def flush(self) -> None:
        with _writing(self._out):
            self._file.flush()

    def finish(self) -> None:
        self.flush()
        self.close()
        _sync(self._out)

    def close(self) -> None:
        if self._out is not None:
            with _writing(self._out):
                self._file.close()


class _ParquetOutput:
    def __init__(self, source: Source, fields: Fields, out: Path | None) -> None:
        from streams.jobs.map_file.arrow_layout import ArrowRows

        if source.path is None or out is None:
            raise UsageError("Parquet is finished at its end: name a file with --out")
        self._out = out
        self._empty = fields.empty
        self._rows: ArrowRows | None = ArrowRows(source.path, out, fields.each)

    def add(self, row: Row, values: Sequence[bytes]) -> str | None:
        assert self._rows is not None
        batch, place = row.source
        with _writing(self._out):
            try:
                self._rows.add(batch, place, values)
            except ValueError as error:
                self._rows.add(batch, place, self._empty)
                return f"no_place: {error}"
        return None

    def flush(self) -> None:
        """A Parquet file can be read when it is finished."""

    def finish(self) -> None:
        self.close()
        _sync(self._out)

    def close(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            with _writing(self._out):
                rows.close()


def _sync(out: Path | None) -> None:
    if out is not None:
        with _writing(out):
            sync_file(out)


@contextmanager
def _writing(out: Path | None) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader of our output has enough
        raise
    except OSError as error:
        raise StreamsError(_unwritable(out, error)) from None


def _unwritable(out: Path | None, error: OSError) -> str:
    name: Any = "standard output" if out is None else out
    return f"{name}: cannot be written: {(error.strerror or str(error)).lower()}"
