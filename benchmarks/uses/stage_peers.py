"""Stages behind one interface: ours, and what people use. `results(items)`: through so many equal
stages, in order, in batches of `max_items`, with `max_in_flight` calls at once in each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar

import streams

Function = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class StagePeer:
    name: ClassVar[str]

    def __init__(
        self, stages: int, function: Function, *, max_items: int = 1, max_in_flight: int = 1
    ):
        self._stages = stages
        self._function = function
        self._max_items = max_items
        self._max_in_flight = max_in_flight

    def results(self, items: Iterable[Any]) -> AsyncIterator[Any]:
        raise NotImplementedError


class OurStages(StagePeer):
    name = "streams.Pipeline"

    def results(self, items: Iterable[Any]) -> AsyncIterator[Any]:
        stage = streams.stage(
            self._function, max_items=self._max_items, max_in_flight=self._max_in_flight
        )
        return streams.Pipeline([stage] * self._stages).stream(items)


class AiostreamStages(StagePeer):
    name = "aiostream"

    async def results(self, items: Iterable[Any]) -> AsyncIterator[Any]:
        from aiostream import pipe, stream

        async def call(batch: Any) -> Any:
            return await self._function(batch)

        flow: Any = stream.iterate(items)
        for _ in range(self._stages):
            flow = flow | pipe.chunks(self._max_items)
            flow = flow | pipe.map(call, ordered=True, task_limit=self._max_in_flight)
            flow = flow | pipe.map(stream.iterate) | pipe.concat()
        async with flow.stream() as streamer:
            async for each in streamer:
                yield each


class StreamableStages(StagePeer):
    name = "streamable"

    async def results(self, items: Iterable[Any]) -> AsyncIterator[Any]:
        from streamable import stream

        async def call(batch: Any) -> Any:
            return await self._function(batch)

        flow: Any = stream(items)
        for _ in range(self._stages):
            flow = flow.group(self._max_items)
            flow = flow.map(call, concurrency=self._max_in_flight).flatten()
        async for each in flow:
            yield each


STAGE_PEERS: tuple[type[StagePeer], ...] = (OurStages, AiostreamStages, StreamableStages)
