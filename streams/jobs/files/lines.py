"""The formats of one record a line: JSON lines, and plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from streams.codec.strict_json import read_object
from streams.jobs.files.rows import BOM, Lines, Records, Reject, lines_of, too_long


def json_lines(blocks: Iterator[bytes], longest: int, *, bom: bool = False) -> Iterator[Records]:
    """One JSON object a line, byte for byte; blank lines are skipped. `bom`: whether a byte order
    mark before the first is, too; JSON does not allow it."""
    lines = lines_of(blocks, longest)
    lines = _without_bom(lines) if bom else lines
    return _each(lines, longest, lambda line: (line, read_object(line)))


def text_lines(blocks: Iterator[bytes], longest: int) -> Iterator[Records]:
    """Each line becomes `{"text": line}`; blank lines are skipped, so is a byte order mark."""
    return _each(_without_bom(lines_of(blocks, longest)), longest, _from_text)


def _from_text(line: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        document = {"text": line.decode("utf-8")}
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    return orjson.dumps(document), document


def _each(
    stretches: Iterator[Lines],
    longest: int,
    read: Callable[[bytes], tuple[bytes, dict[str, Any]]],
) -> Iterator[Records]:
    for first, lines, cut, position in stretches:
        numbers: list[int] = []
        values: list[bytes] = []
        documents: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        for number, line in enumerate(lines, first):
            if cut and number == first:
                rejects.append(Reject(number, too_long(cut, longest), line, cut))
                continue
            if not line or line.isspace():
                continue
            if line.endswith(b"\r"):
                line = line[:-1]
            try:
                value, document = read(line)
            except ValueError as error:
                rejects.append(Reject(number, str(error), line, len(line)))
                continue
            numbers.append(number)
            values.append(value)
            documents.append(document)
        yield Records(numbers, values, documents, rejects, position)


def _without_bom(stretches: Iterator[Lines]) -> Iterator[Lines]:
    for stretch in stretches:
        if stretch.first == 1:
            stretch.lines[0] = stretch.lines[0].removeprefix(BOM)
        yield stretch
