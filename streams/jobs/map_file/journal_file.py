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
    survey,
)

SYNC_EVERY_S: Final = 1.0


def journal_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.journal")


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
        self._reading: IO[bytes] | None = None
        self._unsynced = False
        self._error: OSError | None = None

    def go_on(self) -> Earlier:
        """Cuts off what cannot be read; returns the answers. Raises UsageError."""
        assert self.found is not None
        if self.found.version != VERSION:
            raise UsageError(f"{self.path} is of another version of streams: --force starts anew")
        self._file.truncate(self.found.end)
        self._reading = self.path.open("rb")
        return Earlier(self._reading, self.found)

    def begin(self, facts: dict[str, Any], window: int) -> None:
        """Starts anew: what it had is gone."""
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
                self._unsynced = False
                try:
                    await asyncio.to_thread(os.fsync, self._file.fileno())
                except OSError as error:
                    self._error = error

    def close(self) -> None:
        """It stays, for a run that goes on."""
        if self._reading is not None:
            self._reading.close()
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
