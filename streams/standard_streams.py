"""The three standard streams, also where they are closed, full, or not for everybody.

    data() ─────────────────────────► what was standard output
    print(), subprocesses, C code ──► the same, or standard error after `reserve_output`

1. `repair` comes first in every command: with a standard stream closed, the next file or socket
   would get its number, and a stray line would go there.
2. What cannot be written to standard error is lost, and changes no exit code.
3. What cannot be written to standard output is an `OutputError`, once; later lines are dropped, so
   that nothing complains at the end of the process.
4. Without `repair`, in a program that calls a command, its streams stay as they are.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, BinaryIO

from streams.errors import OutputError

_INPUT, _OUTPUT, _ERRORS = 0, 1, 2

_repaired = False
_reserved: BinaryIO | None = None
_output_was_closed = False


class _Raw(io.FileIO):
    """`lossy`: what cannot be written is dropped without a word."""

    def __init__(self, number: int, *, lossy: bool) -> None:
        super().__init__(number, "wb", closefd=False)
        self.lossy = lossy
        self._broken = False

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._broken:
            return size
        try:
            written = super().write(data)
            return size if written is None and self.lossy else written  # None: it would block
        except OSError as error:
            if self.lossy:
                return size
            self._broken = True
            if isinstance(error, BrokenPipeError):
                raise
            reason = error.strerror
        raise OutputError(f"standard output cannot be written: {reason}")


def repair() -> None:
    """Give the process three open standard streams. Where one was closed, using it fails, except
    for standard error."""
    global _repaired, _output_was_closed
    _repaired = True
    _open(_INPUT, os.O_WRONLY)
    _output_was_closed = _open(_OUTPUT, os.O_RDONLY)
    _open(_ERRORS, os.O_WRONLY)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(_INPUT, closefd=False)))
    sys.stdout = _text(sys.stdout, _OUTPUT, lossy=False)
    sys.stderr = _text(sys.stderr, _ERRORS, lossy=True)


def reserve_output() -> None:
    """From now on standard output takes `data()` alone: whatever else this process, its libraries
    and its children print goes to standard error."""
    global _reserved
    if _repaired and _reserved is None:
        sys.stdout.flush()
        _reserved = io.BufferedWriter(_Raw(os.dup(_OUTPUT), lossy=False))
        forgive_output()
        os.dup2(_ERRORS, _OUTPUT)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def forgive_output() -> None:
    """From now on a print of a user's function never fails, wherever standard output goes."""
    if not _repaired:
        return
    sys.stdout.flush()
    if _output_was_closed:  # nor a write of its children
        _connect(_OUTPUT, os.O_WRONLY)
    sys.stdout = _text(sys.stdout, _OUTPUT, lossy=True)


def data() -> BinaryIO:
    """Where a command's data go. Its writes raise OutputError, or BrokenPipeError where the reader
    has enough."""
    return sys.stdout.buffer if _reserved is None else _reserved


def tell(line: str) -> None:
    """One line for a person, on stderr."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def put(line: bytes) -> None:
    """Write to `data`, at once."""
    data().write(line)
    data().flush()


def _open(number: int, flags: int) -> bool:
    """Whether it was closed, and leads nowhere now."""
    try:
        os.fstat(number)
    except OSError:
        _connect(number, flags)
        return True
    return False


def _connect(number: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def _text(stream: Any, number: int, *, lossy: bool) -> io.TextIOWrapper:
    """A stream like this one, over `_Raw`; None: it was closed."""
    raw = io.BufferedWriter(_Raw(number, lossy=lossy))
    if stream is None:
        return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace")
    return io.TextIOWrapper(
        raw,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
