"""Threads for blocking functions; a program that ends does not wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from functools import partial
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

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns or raises, in a copy of the caller's context. Cancelled, it
        waits until the function has returned; cancelled again, it leaves the thread behind."""
        context = contextvars.copy_context()
        running = self.run(partial(context.run, _call_and_catch, function, arguments))
        try:
            value, error = await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # it would hold this frame, and this frame holds it

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


def _call_and_catch(
    function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, BaseException | None]:
    """The error as a value: a future does not take a StopIteration, and a GeneratorExit out of one
    closes all that waits for it."""
    try:
        return function(*arguments), None
    except StopIteration as error:
        return None, RuntimeError(f"the function raised {type(error).__name__}")
    except BaseException as error:
        return None, error


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
