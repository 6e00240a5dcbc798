"""Where rejected lines go: to a file of JSON lines, or the first few to the terminal."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from streams.errors import StreamsError, UsageError
from streams.jobs.files.rows import Reject

MAX_REPORTED = 5


class Rejects:
    """Counts the rejects. `path`: the file that takes them, replaced if it exists; None: `tell`
    gets line number and reason of the first five, never a text. `option`: the option that would
    keep all."""

    def __init__(
        self, path: Path | None, tell: Callable[[str], None], option: str = "--rejects FILE"
    ) -> None:
        self._tell = tell
        self._option = option
        self._path = path
        self._file: IO[bytes] | None = None
        self.count = 0
        if path is not None:
            try:
                self._file = path.open("wb")
            except OSError as error:
                raise UsageError(_unwritable(path, error)) from None

    def add(self, rejects: Sequence[Reject]) -> None:
        """Raises StreamsError where the file takes no more."""
        if self._file is not None:
            with self._told_apart():
                self._file.writelines(orjson.dumps(_entry(reject)) + b"\n" for reject in rejects)
        else:
            for reject in rejects[: max(0, MAX_REPORTED - self.count)]:
                self._tell(f"{_place(reject)}: {reject.reason}")
            if self.count < MAX_REPORTED < self.count + len(rejects):
                self._tell(f"more lines are rejected; {self._option} keeps them all")
        self.count += len(rejects)

    def close(self) -> None:
        """Raises StreamsError where the file takes no more."""
        if self._file is not None:
            with self._told_apart():
                self._file.close()

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            assert self._path is not None
            raise StreamsError(_unwritable(self._path, error)) from None


def _unwritable(path: Path, error: OSError) -> str:
    return f"--rejects {path}: cannot be written: {(error.strerror or str(error)).lower()}"


def _place(reject: Reject) -> str:
    if reject.last_line > reject.line:
        return f"lines {reject.line} to {reject.last_line}"
    return f"line {reject.line}"


def _entry(reject: Reject) -> dict[str, Any]:
    """`text`, or `base64` if it is not UTF-8; `last_line` for a record of several lines, and
    `bytes`, its true size, for one that is cut."""
    entry: dict[str, Any] = {"line": reject.line, "reason": reject.reason}
    if reject.last_line > reject.line:
        entry["last_line"] = reject.last_line
    if reject.size > len(reject.raw):
        entry["bytes"] = reject.size
    try:
        entry["text"] = reject.raw.decode("utf-8")
    except UnicodeDecodeError:
        entry["base64"] = base64.b64encode(reject.raw).decode()
    return entry
