"""The state of a run as a file: one line of JSON for each record, the last of a key counts.

    {"key":"chunk-0","value":{...}}
    {"key":"live-0-3","value":null}          deleted

1. A `put` returns when its line is on the disk (fsync); those that wait at the same time share one.
2. A last line that is torn by a kill was never answered for: it is left out.
3. Loading writes the file anew without what is superseded, beside it, and puts that in its place.
4. One process at a time: the file is locked while it is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO, Any

import orjson

from streams.errors import StreamsError


class StateFile:
    """`path`: need not exist yet. `load` raises ValueError for a file that is no such state, and
    StreamsError where another process has it open."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._file: IO[bytes] | None = None
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None

    async def load(self) -> dict[str, bytes]:
        return await asyncio.to_thread(self._load)

    def _load(self) -> dict[str, bytes]:
        lock = self._path.open("a+b", buffering=0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_ino != self._path.stat().st_ino:
                raise BlockingIOError  # it was put into place a moment ago, and is locked
            records = _read(self._path)
            self._file = self._compacted(records)
        except BlockingIOError:
            raise StreamsError(f"another process has {self._path} open") from None
        finally:
            lock.close()
        return records

    def _compacted(self, records: dict[str, bytes]) -> IO[bytes]:
        """The file with these records alone, in its place and open for more."""
        beside = self._path.with_name(f"{self._path.name}.new")
        file = beside.open("w+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(b"".join(_line(key, value) for key, value in records.items()))
            os.fsync(file.fileno())
            beside.replace(self._path)
            _sync_folder(self._path.parent)
        except BaseException:
            file.close()
            raise
        return file

    async def put(self, key: str, value: bytes | None) -> None:
        assert self._file is not None, "load comes first"
        loop = asyncio.get_running_loop()
        written = loop.create_future()
        self._lines.append(_line(key, value))
        self._waiting.append(written)
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        await asyncio.shield(written)

    async def _write(self) -> None:
        while self._lines:
            text, waiting = b"".join(self._lines), self._waiting
            self._lines, self._waiting = [], []
            try:
                await asyncio.to_thread(self._append, text)
            except OSError as error:
                for each in waiting:
                    _fail(each, error)
            else:
                for each in waiting:
                    if not each.done():
                        each.set_result(None)
        self._writing = None

    def _append(self, text: bytes) -> None:
        assert self._file is not None
        self._file.write(text)
        os.fsync(self._file.fileno())

    async def aclose(self) -> None:
        """What is put is written; the file is free for another process."""
        if self._writing is not None:
            await self._writing
        if self._file is not None:
            self._file.close()
            self._file = None


def _fail(waiting: asyncio.Future[None], error: OSError) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        with contextlib.suppress(OSError):
            waiting.exception()  # its waiter may be gone


def _line(key: str, value: bytes | None) -> bytes:
    return b'{"key":%b,"value":%b}\n' % (orjson.dumps(key), b"null" if value is None else value)


def _read(path: Path) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    lines = path.read_bytes().split(b"\n")
    torn = lines.pop()  # of a kill in the middle of a write; b"" as a rule
    for number, line in enumerate(lines, 1):
        try:
            key = _key(line)
        except (ValueError, TypeError, LookupError):
            where = f"line {number} of {path}"
            raise ValueError(f"{where} is no record of a run: is it another file?") from None
        value = line[line.index(b',"value":') + len(b',"value":') : -1]
        if value == b"null":
            records.pop(key, None)
        else:
            records[key] = value
    if torn and not records and not torn.startswith(b'{"key":'):
        raise ValueError(f"{path} is no state of a run: is it another file?")
    return records


def _key(line: bytes) -> str:
    record: Any = orjson.loads(line)
    key, _ = record["key"], record["value"]
    if not isinstance(key, str) or not line.startswith(b'{"key":'):
        raise ValueError("another form")
    return key


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
