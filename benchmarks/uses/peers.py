"""Coalescers behind one interface: ours, and what people use. Each is a class of its own here:

    async with Ours(function, max_items=10) as coalescer:
        result = await coalescer.submit(item)

`submit` gives the library's own awaitable, so that a caller's cancellation reaches it as it does in
a program. What a library has no word for is left out, and `lacks` names it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, ClassVar, Self

import streams

SILENT = "benchmarks.silent"
"""The logger of a library that prints a traceback for each call that fails."""

Function = Callable[[Sequence[Any]], Awaitable[Any]]


class Peer:
    """`name`: of the library. `lacks`: keywords that it has no word for, and "close"."""

    name: ClassVar[str]
    lacks: ClassVar[frozenset[str]] = frozenset()

    async def submit(self, item: Any) -> Any:
        raise NotImplementedError

    async def submit_many(self, items: Sequence[Any]) -> Sequence[Any]:
        return await asyncio.gather(*(self.submit(item) for item in items), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()

    async def close(self) -> None:
        raise NotImplementedError


class Ours(Peer):
    name = "streams.Coalescer"

    def __init__(self, function: Function, *, max_items: int, max_wait_ms: float = 1, **more: Any):
        self.coalescer: streams.Coalescer[Any, Any] = streams.Coalescer(
            function, max_items=max_items, max_wait_ms=max_wait_ms, **more
        )
        self.submit = self.coalescer.submit  # type: ignore[method-assign]
        self.submit_many = self.coalescer.submit_many  # type: ignore[assignment]

    async def close(self) -> None:
        await self.coalescer.close()


class AsyncBatcherPeer(Peer):
    name = "async-batcher"
    lacks = frozenset({"key", "unique"})

    def __init__(
        self,
        function: Function,
        *,
        max_items: int,
        max_wait_ms: float = 1,
        max_in_flight: int = 5,
        max_pending: int = -1,
    ):
        from async_batcher.batcher import AsyncBatcher

        class Batcher(AsyncBatcher):  # type: ignore[type-arg]
            logger = logging.getLogger(SILENT)

            async def process_batch(self, batch: Any) -> Any:
                return await function(batch)

        self._batcher = Batcher(
            max_batch_size=max_items,
            max_queue_time=max_wait_ms / 1000,
            concurrency=max_in_flight,
            max_queue_size=max_pending,
        )
        self.submit = self._batcher.process  # type: ignore[method-assign]

    async def close(self) -> None:
        await self._batcher.stop()


class DataLoaderPeer(Peer):
    """It has no window and no limit of calls: what was asked for in one turn of the loop leaves in
    the next one. `unique` is its cache, which keeps answers for ever."""

    name = "aiodataloader"
    lacks = frozenset({"key", "max_pending", "max_in_flight", "close"})

    def __init__(
        self,
        function: Function,
        *,
        max_items: int,
        max_wait_ms: float = 1,
        max_in_flight: int = 5,
        unique: Callable[[Any], Hashable] | None = None,
    ):
        from aiodataloader import DataLoader

        async def load(items: Any) -> Any:
            return await function(items)

        self._loader: Any = (
            DataLoader(
                load, max_batch_size=max_items, cache=unique is not None, get_cache_key=unique
            )
            if unique is not None
            else DataLoader(load, max_batch_size=max_items, cache=False)
        )

    async def submit(self, item: Any) -> Any:
        return await self._loader.load(item)

    async def close(self) -> None:
        pass


PEERS: tuple[type[Peer], ...] = (Ours, AsyncBatcherPeer, DataLoaderPeer)
