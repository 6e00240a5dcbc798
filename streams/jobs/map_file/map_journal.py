"""The journal beside an output: every answer as soon as it comes, so that none is paid for twice.

    {"streams_map":1,"facts":{...}}                          what was asked of which input
    {"row":17,"text":"<hash>","answer":{"label":"good"}}     in the order in which they came
    {"row":4,"text":"<hash>","error":"refused: ..."}

Rules of this file:
1. An answer is written, in one call of the system, before anything is made of it: it survives the
   end of this process, of any kind. It is on the disk a second later: the power may take that much.
2. A row is its number, from 0, and the hash of its text: a changed input is found where it matters.
3. What cannot be read (a line that is torn, or that the disk has lost) ends the journal: it is cut
   off there, and the rows behind are asked again.
4. The answer of a row stands before that of any row that is `window` further on (`row_queue`). So
   reading goes along with the input, and has few answers in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from streams.codec.strict_json import compact
from streams.errors import UsageError

VERSION: Final = 1
_LINE: Final = re.compile(
    rb'\{"row":(\d+),"text":"([0-9a-f]{16})","(answer|error)":(.*)\}\n', re.DOTALL
)


class Paid(NamedTuple):
    """The outcome of a row: an `answer` as JSON, or an `error`."""

    row: int
    text_hash: bytes
    answer: bytes | None
    error: str | None


def hash_of(text: str) -> bytes:
    """Names a text in a journal: 16 hexadecimal digits."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest().encode()


def head_line(facts: dict[str, Any], window: int) -> bytes:
    """The first line. `facts`: what a run that goes on must have in common with this one."""
    head = {"streams_map": VERSION, "window": window, "facts": facts}
    return compact(head).encode() + b"\n"


def paid_line(paid: Paid) -> bytes:
    what = b'"answer":%b' % paid.answer if paid.answer is not None else _error(paid.error)
    return b'{"row":%d,"text":"%b",%b}\n' % (paid.row, paid.text_hash, what)


def _error(error: str | None) -> bytes:
    return b'"error":' + orjson.dumps(error)


def parsed(line: bytes) -> Paid | None:
    """None: it is no whole line of a journal."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    row, text_hash, kind, value = found.groups()
    try:
        said = orjson.loads(value)
    except ValueError:
        return None
    if kind == b"answer":
        return Paid(int(row), text_hash, value, None)
    return Paid(int(row), text_hash, None, str(said))


class Found(NamedTuple):
    """A journal that was read once. `version`, `facts`, `window`: of its first line. `start`,
    `end`: where its answers begin, and where those that can be read end. `answers`: how many there
    are."""

    version: Any
    facts: dict[str, Any]
    window: int
    start: int
    end: int
    answers: int


def survey(lines: Iterable[bytes], path: Path) -> Found | None:
    """Reads a whole journal; None: not even its first line was written. Raises UsageError for
    another file."""
    rest = iter(lines)
    first = next(rest, b"")
    if not first.endswith(b"\n"):
        return None
    try:
        head = orjson.loads(first)
        version, facts, window = head["streams_map"], head["facts"], int(head["window"])
    except (ValueError, LookupError, TypeError):
        raise UsageError(f"{path} is no journal of streams map: name another --out") from None
    end, answers = len(first), 0
    for line in rest:
        if parsed(line) is None:
            break
        end += len(line)
        answers += 1
    return Found(version, facts, window, len(first), end, answers)


class Earlier:
    """The answers of the runs before this one, read along with the input (rule 4)."""

    def __init__(self, file: IO[bytes], found: Found) -> None:
        file.seek(found.start)
        self._file = file
        self._lines = self._read(file, found.end - found.start)
        self._window = found.window
        self._waiting: dict[int, Paid] = {}
        self._highest = -1

    @staticmethod
    def _read(file: IO[bytes], size: int) -> Iterator[Paid]:
        while size > 0 and (line := file.readline()):
            size -= len(line)
            paid = parsed(line)
            assert paid is not None  # `survey` has read it
            yield paid

    @property
    def waiting(self) -> int:
        """How many answers are in memory."""
        return len(self._waiting)

    def close(self) -> None:
        self._file.close()

    def find(self, row: int) -> Paid | None:
        """The outcome of a row; to be asked for each in turn, once."""
        while row not in self._waiting and self._highest < row + self._window:
            paid = next(self._lines, None)
            if paid is None:
                break
            self._highest = max(self._highest, paid.row)
            if paid.row >= row:
                self._waiting[paid.row] = paid
        return self._waiting.pop(row, None)
