"""The rows of a file with the text to ask about, in the file's order.

A row that can have no answer is one all the same. Its `problem` says why: it has no text, or too
many cells. Only what is no row of its format (JSON that is no object, a quote that is never closed)
has no place in the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from streams.codec.pointers import MissingError, Pointer, Text
from streams.errors import UsageError
from streams.jobs.files.formats import DELIMITERS, Source
from streams.jobs.files.rows import Records, Reject
from streams.jobs.files.text_field import advice
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.row_layouts import cells_of
from streams.jobs.map_file.row_queue import Row

LONGEST_BYTES: Final = 16 * 1024 * 1024
"""Limit of a row; one that is longer goes to the rejects alone."""


class Stretch(NamedTuple):
    """Rows in order. `position`: bytes of the file read so far."""

    rows: list[Row]
    position: int


class Reading:
    """The rows of one source.

    `text`: where a row's text is. `trimmed`: what is sent of it; None: all. Raises UsageError,
    before the first row, where the columns cannot be right: nothing has been asked then.
    """

    def __init__(
        self,
        source: Source,
        text: str,
        fields: Fields,
        trimmed: Callable[[str], str] | None = None,
    ) -> None:
        self._source = source
        self._text = Text(text)
        self._pointer = Pointer(text) if text.startswith("/") else None
        self.fields = fields
        self._trimmed = trimmed
        self._delimiter = DELIMITERS.get(source.format)

    def stretches(self) -> Iterator[Stretch]:
        begun = False
        for records in self._source.records(LONGEST_BYTES):
            if not begun and (records.documents or self._source.columns is not None):
                self._check(records)
                begun = True
            yield Stretch(self._rows(records), records.position)

    def _check(self, records: Records) -> None:
        columns = self._source.columns
        if records.batch is not None:
            columns = records.batch.schema.names
        name = f"{self._source.name}: "
        first = records.documents[0] if records.documents else {}
        if clash := self.fields.clash(columns if columns is not None else list(first)):
            raise UsageError(name + clash)
        if columns is not None:
            self._check_columns(name, columns, first)
        elif self._source.path is not None and not any(map(self._has_text, records.documents)):
            raise UsageError(f"{name}no record has a text at {self._text.source}; {advice(first)}")

    def _check_columns(self, name: str, columns: Sequence[str], first: dict[str, Any]) -> None:
        """Every column is in every row: a text that is not in the first is in none."""
        document = {**dict.fromkeys(columns, ""), **first}
        if not self._has_text(document):
            raise UsageError(
                f"{name}there is no column for the text, {self._text.source}; {advice(document)}"
            )
        once = {key: document[key] for key in columns if columns.count(key) == 1}
        if not self._has_text(once):
            raise UsageError(
                f"{name}two columns have the name of the text, {self._text.source}: rename one"
            )

    def _has_text(self, document: dict[str, Any]) -> bool:
        try:
            self._text.find(document)
        except MissingError:
            return False
        except ValueError:
            pass
        return True

    def _rows(self, records: Records) -> list[Row]:
        last_lines = records.last_lines or records.lines
        sources: Sequence[Any] = records.sources or records.values
        if records.batch is not None:
            sources = [(records.batch, place) for place in range(records.batch.num_rows)]
        rows = [
            self._row(line, last, source, value, document)
            for line, last, source, value, document in zip(
                records.lines, last_lines, sources, records.values, records.documents, strict=True
            )
        ]
        if records.rejects:
            rows += [self._rejected(reject) for reject in records.rejects]
            rows.sort(key=lambda row: row.line)
        return rows

    def _row(
        self, line: int, last_line: int, source: Any, value: bytes, document: dict[str, Any]
    ) -> Row:
        text, problem, misfit = "", None, False
        try:
            text = self._text.find(document)
        except MissingError as error:
            problem = f"no_text: the row has nothing at {error.pointer}"
        except ValueError as error:
            problem = f"no_text: {error}"
        else:
            if not text or text.isspace():
                problem = "no_text: its text is empty"
            elif self._pointer is not None and self._pointer.find(document) is None:
                problem = "no_text: its text is null"
        if self._delimiter is None and (clash := self.fields.clash(document)):
            problem, misfit = f"name_clash: {clash}", True
        if self._trimmed is not None:
            text = self._trimmed(text)
        raw = source if isinstance(source, bytes) else value
        size = 2 * len(raw) + len(text)
        return Row(line, last_line, source, text, problem, raw, len(raw), size, misfit)

    def _rejected(self, reject: Reject) -> Row:
        """It stands in the output if it has cells: too few, too many, or not UTF-8."""
        source, cells, misfit = None, None, False
        if self._delimiter is not None and reject.size == len(reject.raw):
            cells = cells_of(reject.raw, self._delimiter)
        if cells is not None:
            source = reject.raw
            misfit = len(cells) != len(self._source.columns or [])
        problem = f"invalid_row: {reject.reason}"
        raw, last_line = reject.raw, reject.last_line or reject.line
        return Row(
            reject.line, last_line, source, "", problem, raw, reject.size, 2 * len(raw), misfit
        )
