"""Draws the items of an iterable as there is room for them, for the doors that have an input.

Items of an iterable are drawn in this loop, those of an async iterable in a task of their own,
which `close` ends. What was drawn in one turn of the loop is handed on as one list.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any


class Drawing:
    """The input of one run, in the running loop.

    `arrive(items)`: takes a list that is not empty. `room()`: how many it may have now. `fail`:
    gets what drawing or arriving raises; nothing is drawn after it. `on_end`: called once an async
    iterable has ended. `ended`: nothing more will arrive. `waited_s`: seconds spent in the source
    so far. Raises TypeError for an input that cannot be iterated.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        arrive: Callable[[list[Any]], None],
        room: Callable[[], int],
        fail: Callable[[BaseException], None],
        on_end: Callable[[], None],
    ) -> None:
        self._input: Iterator[Any] | None = None
        self._async_input: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._async_input = aiter(items)
        else:
            self._input = iter(items)
        self._loop = asyncio.get_running_loop()
        self._arrive = arrive
        self._room = room
        self._fail = fail
        self._on_end = on_end
        self._drawn: list[Any] = []
        self._hand_over_handle: asyncio.Handle | None = None
        self._has_room = asyncio.Event()
        self._feed: asyncio.Task[None] | None = None
        self._failed = self._closing = False
        self._waiting_since: float | None = None
        self._waited_s = 0.0
        self.ended = False

    @property
    def waited_s(self) -> float:
        since = self._waiting_since
        return self._waited_s + (0.0 if since is None else self._loop.time() - since)

    def draw(self) -> None:
        """Draws what there is room for; an async iterable is drawn from its first call on."""
        if self._async_input is None:
            self._draw()
            return
        if self._feed is None:
            self._feed = asyncio.create_task(self._draw_async(self._async_input))
        if self._room() > 0:
            self._has_room.set()

    def _draw(self) -> None:
        assert self._input is not None
        while not self.ended and not self._failed and (room := self._room()) > 0:
            started = self._loop.time()
            try:
                items = list(islice(self._input, room))
                self._waited_s += self._loop.time() - started
                self.ended = len(items) < room
                if items:
                    self._arrive(items)
            except Exception as error:
                self._fail_with(error)

    async def _draw_async(self, items: AsyncIterator[Any]) -> None:
        try:
            self._waiting_since = self._loop.time()
            async for item in items:
                self._waited()
                self._drawn.append(item)
                if self._hand_over_handle is None:
                    self._hand_over_handle = self._loop.call_soon(self._hand_over)
                while self._room() <= len(self._drawn):
                    self._has_room.clear()
                    await self._has_room.wait()
                self._waiting_since = self._loop.time()
        except asyncio.CancelledError as error:
            if self._closing:
                raise
            failure = RuntimeError("the input cancelled the task that draws it")
            failure.__cause__ = error
            self._fail_with(failure)
        except BaseException as error:
            self._fail_with(error)
        self._waited()
        self._hand_over()
        self.ended = True
        self._on_end()

    def _waited(self) -> None:
        self._waited_s, self._waiting_since = self.waited_s, None

    def _hand_over(self) -> None:
        if self._hand_over_handle is not None:
            self._hand_over_handle.cancel()
            self._hand_over_handle = None
        drawn, self._drawn = self._drawn, []
        try:
            if drawn and not self._failed:
                self._arrive(drawn)
        except Exception as error:  # raised by the caller's `tokens`
            self._fail_with(error)
        if drawn and self._room() > 0:  # what arrived may be in calls already
            self._has_room.set()

    def _fail_with(self, error: BaseException) -> None:
        self._failed = True
        self._fail(error)

    async def close(self) -> None:
        """Ends the task, and closes an async iterable that was begun. Raises what that raises."""
        try:
            if self._feed is not None:
                await self._end(self._feed)
        finally:
            if self._hand_over_handle is not None:
                self._hand_over_handle.cancel()

    async def _end(self, feed: asyncio.Task[None]) -> None:
        self._closing = True
        feed.cancel()
        await asyncio.wait([feed])
        close = getattr(self._async_input, "aclose", None)
        if close is not None:
            await close()
