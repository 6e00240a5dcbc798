"""The journal as a file: who may write it, when it is on the disk, when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final

from streams.errors import StreamsError, UsageError
from streams.jobs.map_file.map_journal import (
    VERSION,
    Earlier,
    Found,
    Paid,
    head_line,
    paid_line,
    parsed,
    survey,
)

SYNC_EVERY_S: Final = 1.0


def journal_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.journal")


def state_of(out: Path) -> Path:
    """Which Message Batches there are (`batch_asking`)."""
    return out.with_name(f"{out.name}.batches")


class JournalFile:
    """A journal that this process alone writes. `found`: what it had before; None: it is new.

    Raises UsageError where another process writes it, or it is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as error:
            raise UsageError(_unwritable(path, error)) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with path.open("rb") as lines:
                self.found: Found | None = survey(lines, path)
        except BlockingIOError:
            self._file.close()
            raise UsageError(f"another streams map writes {path} at this moment") from None
        except BaseException:
            self._file.close()
            raise
        self._readings: list[Earlier] = []
        self._unsynced = False
        self._error: OSError | None = None

    def go_on(self) -> Earlier:
        """Cuts off what cannot be read; returns the answers. Raises UsageError."""
        assert self.found is not None
        if self.found.version != VERSION:
            raise UsageError(f"{self.path} is of another version of streams: --force starts anew")
        self._file.truncate(self.found.end)
        return self._opened(self.found)

    def earlier(self, end: int) -> Earlier | None:
        """The answers that it had, up to this place in bytes; None: there are none."""
        if self.found is None or end <= self.found.start:
            return None
        return self._opened(self.found._replace(end=min(end, self.found.end)))

    def last_row(self, start: int) -> int:
        """The highest row with an answer behind this place in bytes; -1: there is none."""
        row = -1
        if self.found is not None:
            with self.path.open("rb") as file:
                file.seek(max(start, self.found.start))
                for line in file:
                    paid = parsed(line)
                    row = row if paid is None else max(row, paid.row)
        return row

    @property
    def size(self) -> int:
        """How long it is, in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def _opened(self, found: Found) -> Earlier:
        self._readings.append(Earlier(self.path.open("rb"), found))
        return self._readings[-1]

    def begin(self, facts: dict[str, Any], window: int) -> None:
        """Starts anew: what it had is gone."""
        self.found = None
        self._file.truncate(0)
        self._write(head_line(facts, window))

    def add(self, paid: Iterable[Paid]) -> None:
        """When this returns, the answers survive the end of this process. Raises StreamsError."""
        self._write(b"".join(map(paid_line, paid)))

    def _write(self, data: bytes) -> None:
        try:
            if self._error is not None:
                raise self._error
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise StreamsError(_unwritable(self.path, error)) from None
        self._unsynced = True

    async def keep_synced(self) -> None:
        """Brings what is new to the disk, once a second, until it is cancelled."""
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            if self._unsynced:
                with contextlib.suppress(StreamsError):  # `add` raises it
                    await self.sync()

    async def sync(self) -> None:
        """What was added is on the disk. Raises StreamsError, as `add` does from then on."""
        self._unsynced = False
        try:
            await asyncio.to_thread(os.fsync, self._file.fileno())
        except OSError as error:
            self._error = error
            raise StreamsError(_unwritable(self.path, error)) from None

    def close(self) -> None:
        """It stays, for a run that goes on."""
        for reading in self._readings:
            reading.close()
        with contextlib.suppress(OSError, ValueError):
            os.fsync(self._file.fileno())
        self._file.close()

    def remove(self) -> None:
        """The output is complete, and on the disk."""
        self.path.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Brings a file, and its name, to the disk. Raises OSError."""
    for each, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(each, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written: {(error.strerror or str(error)).lower()}"
