"""Threads for blocking functions; a program that ends does not wait for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import Any


class Threads:
    """At most `limit` threads, started on demand and reused; `name`: of each.

    They are daemons: an interpreter that ends leaves them behind. It would wait for those of a
    `ThreadPoolExecutor`, and `asyncio.run` for those of the loop's own executor, however long they
    block.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._started = 0
        self._idle = Semaphore(0)
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Start the function, or queue it while all threads are busy. The future gets its result or
        error, and may be cancelled; the function runs on."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put(lambda: _run(function, loop, future))
        if not self._idle.acquire(blocking=False) and self._started < self._limit:
            self._started += 1
            name = f"{self._name}_{self._started}"
            Thread(target=self._serve, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Start no more functions from the queue, and end the threads; a busy thread ends when its
        function returns."""
        with contextlib.suppress(Empty):
            while True:
                self._queue.get_nowait()
        for _ in range(self._started):
            self._queue.put(None)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            del work  # it holds the items
            self._idle.release()


def _run(
    function: Callable[[], Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]
) -> None:
    value: Any = None
    failure: BaseException | None = None
    try:
        value = function()
    except BaseException as error:
        failure = error
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_settle, future, value, failure)
    del failure  # its traceback holds this frame


def _settle(future: asyncio.Future[Any], value: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(value)
    else:
        future.set_exception(failure)
