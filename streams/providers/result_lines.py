"""The result lines of a Message Batch on their way into a file: each `custom_id` once.

A stream that is cut is read again from its beginning, since the API cannot resume it; what is
written already is left out then.
"""

from __future__ import annotations

from typing import IO, Any, Final

import orjson

_NEW_LINE: Final = b"\n"


class ResultLines:
    """Writes to `file`. `count`: how many requests have their line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._seen: set[str] = set()
        self._rest: list[bytes] = []

    @property
    def count(self) -> int:
        return len(self._seen)

    def begin(self) -> None:
        """The stream begins, or begins once more: a line that was cut is forgotten."""
        self._rest = []

    def add(self, piece: bytes) -> None:
        """The next piece, which ends anywhere."""
        head, new_line, tail = piece.rpartition(_NEW_LINE)
        if not new_line:
            self._rest.append(piece)
            return
        lines = b"".join([*self._rest, head]).split(_NEW_LINE)
        self._rest = [tail]
        self._write(lines)

    def end(self) -> None:
        """The stream is over in order: what has no line end is a line, too."""
        self._write([b"".join(self._rest)])
        self._rest = []

    def _write(self, lines: list[bytes]) -> None:
        new = []
        for line in lines:
            custom_id = _custom_id(line)
            if custom_id is not None and custom_id not in self._seen:
                self._seen.add(custom_id)
                new.append(line.rstrip(b"\r") + _NEW_LINE)
        self._file.write(b"".join(new))


def _custom_id(line: bytes) -> str | None:
    """None: an empty line, or none of a result."""
    try:
        found: Any = orjson.loads(line)
    except ValueError:
        return None
    custom_id = found.get("custom_id") if isinstance(found, dict) else None
    return custom_id if isinstance(custom_id, str) else None
