"""Reads a file in a thread, so that a slow one holds up nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

PARTS_AHEAD = 4


async def read_ahead(parts: Iterator[T]) -> AsyncGenerator[T, None]:
    """The parts, drawn by a separate thread, a few ahead. Raises what drawing one raises.

    A daemon thread instead of the executor: Ctrl-C must not wait for input from a terminal. It must
    end without a word: writing to stderr while the interpreter ends aborts the process.
    """
    queue = _Queue[T]()
    threading.Thread(target=queue.read, args=(parts,), name="file-reader", daemon=True).start()
    try:
        while (part := await queue.parts.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            queue.room.release()
            yield part
    finally:
        queue.left = True
        queue.room.release()


class _Queue(Generic[T]):
    """From the thread to the loop. `left`: nobody waits for the parts any more."""

    def __init__(self) -> None:
        self.parts: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
        self.room = threading.Semaphore(PARTS_AHEAD)
        self.left = False
        self._loop = asyncio.get_running_loop()

    def read(self, parts: Iterator[T]) -> None:
        with suppress(_LeftError):
            try:
                for part in parts:
                    self._hand_over(part)
            except _LeftError:
                raise
            except BaseException as error:  # any kind: a panic in a Rust extension, too
                self._hand_over(error)
            else:
                self._hand_over(None)

    def _hand_over(self, part: T | BaseException | None) -> None:
        self.room.acquire()
        if self.left:
            raise _LeftError
        try:
            self._loop.call_soon_threadsafe(self.parts.put_nowait, part)
        except RuntimeError as error:  # the loop is closed
            raise _LeftError from error


class _LeftError(Exception):
    """Nobody waits for the parts any more."""
