"""Reads a file in a thread, so that a slow one holds up nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import TypeVar

T = TypeVar("T")

PARTS_AHEAD = 4


async def read_ahead(parts: Iterator[T]) -> AsyncGenerator[T, None]:
    """The parts, drawn by a separate thread, a few ahead. Raises what drawing one raises.

    A daemon thread instead of the executor: Ctrl-C must not wait for input from a terminal.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[T | BaseException | None] = asyncio.Queue(PARTS_AHEAD)

    def hand_over(what: T | BaseException | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(what), loop).result()

    def read() -> None:
        try:
            try:
                for part in parts:
                    hand_over(part)
            except BaseException as error:  # any kind: a panic in a Rust extension, too
                hand_over(error)
            else:
                hand_over(None)
        except (RuntimeError, asyncio.CancelledError):
            return  # the loop is closed, and nobody waits for the result

    threading.Thread(target=read, name="file-reader", daemon=True).start()
    while (part := await queue.get()) is not None:
        if isinstance(part, BaseException):
            raise part
        yield part
