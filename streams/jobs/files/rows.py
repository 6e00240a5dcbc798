"""What the readers of every format return, and how to split a stream of bytes into lines.

Memory is constant, whatever the file holds: a block is 1 MiB, and a line above the reader's limit
is only counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

BOM = b"\xef\xbb\xbf"
BLOCK_BYTES = 1 << 20
REJECT_BYTES = 1000
"""How much of a line that is too long goes to the rejects."""


class Reject(NamedTuple):
    """A record that a job cannot use. `line`: from 1, where it starts. `reason`: one sentence
    without the record's text. `raw`: its bytes; cut where `size` is more. `last_line`: where it
    ends; 0: on its first line."""

    line: int
    reason: str
    raw: bytes
    size: int
    last_line: int = 0


Place = tuple[int, int]
"""The lines on which a record begins and ends."""


def rejected(place: Place, reason: str, raw: bytes) -> Reject:
    """A whole record that is not published."""
    return Reject(place[0], reason, raw, len(raw), place[1])


class Records(NamedTuple):
    """A stretch of input: `values`, JSON objects, with their `lines` and decoded `documents`, in
    order. `position`: bytes of the input read so far. `last_lines`: where each record ends; None:
    each on its first line. `sources`: the bytes of each record in the file, with its line end;
    None: they are its value. `batch`: the rows of a Parquet file as Arrow has them, rejects among
    them."""

    lines: list[int]
    values: list[bytes]
    documents: list[dict[str, Any]]
    rejects: list[Reject]
    position: int
    last_lines: list[int] | None = None
    sources: list[bytes] | None = None
    batch: Any = None


class Lines(NamedTuple):
    """Whole lines without LF; a CR before it stays. `first`: the number of the first line. `cut`:
    the true size of the first line if only its start is here; else 0. `position`: bytes read."""

    first: int
    lines: list[bytes]
    cut: int
    position: int


def blocks_of(descriptor: int) -> Iterator[bytes]:
    """Blocks of the file or pipe, as they come: a slow pipe gives small blocks at once.

    Reads below Python's buffers: a thread that waits in one of those cannot be left behind.
    """
    while block := os.read(descriptor, BLOCK_BYTES):
        yield block


def lines_of(blocks: Iterator[bytes], longest: int) -> Iterator[Lines]:
    """Lines ended by LF; the last may lack its end. `longest`: bytes kept of a line."""
    number, position = 1, 0
    pieces: list[bytes] = []
    size = 0
    for block in blocks:
        position += len(block)
        parts = block.split(b"\n")
        size += len(parts[0])
        if size <= longest:
            pieces.append(parts[0])
        else:
            pieces = [b"".join([*pieces, parts[0][:REJECT_BYTES]])[:REJECT_BYTES]]
        if len(parts) == 1:
            continue
        rest = parts.pop()
        parts[0] = b"".join(pieces)
        yield Lines(number, parts, size if size > longest else 0, position)
        number += len(parts)
        pieces, size = [rest], len(rest)
    if size:
        last = b"".join(pieces)
        if size > longest:
            yield Lines(number, [last[:REJECT_BYTES]], size, position)
        else:
            yield Lines(number, [last], 0, position)


class Piece(NamedTuple):
    """A line with its end, or a part of one that is too long. `ends`: the line ends here."""

    text: bytes
    ends: bool


def pieces_of(blocks: Iterator[bytes], longest: int) -> Iterator[tuple[list[Piece], int]]:
    """Lines ended by LF, CR or CRLF, as the csv module has them; the last may lack its end. A line
    above `longest` bytes comes in parts; a byte order mark is left out. With each list the bytes
    read so far."""
    position, rest, begun = 0, b"", False
    for block in blocks:
        position += len(block)
        rest += block
        if not begun and BOM.startswith(rest):
            continue
        if not begun:
            begun, rest = True, rest.removeprefix(BOM)
        lines = rest.splitlines(keepends=True)
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        pieces = [Piece(line, ends=True) for line in lines]
        if len(rest) > longest + len(b"\r\n"):
            end = len(rest) - rest.endswith(b"\r")  # an LF may follow
            pieces.append(Piece(rest[:end], ends=False))
            rest = rest[end:]
        if pieces:
            yield pieces, position
    rest = rest if begun else rest.removeprefix(BOM)
    if rest:
        yield [Piece(rest, ends=rest.endswith(b"\r"))], position


def too_long(size: int, limit: int) -> str:
    """The reason for a line that is too large for a record."""
    return f"too large: {size} bytes, and the limit is {limit}"
