"""A sink of its own on a real broker, and what it did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from streams.kafka.produce.parcels import Parcel, Record
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.sink import Sink


class Lane:
    """As much of a lane as a sink looks at."""

    def __init__(self) -> None:
        self.open = True


class CountingProducers(Producers):
    """`count`: how many were needed so far."""

    count = 0

    async def _connect(self) -> Any:
        self.count += 1
        return await super()._connect()


class _Sender:
    """Notes what became of what it put."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    def delivered(self, lane: Lane, slots: Sequence[Any]) -> None:
        self._writing.delivered.setdefault(lane, []).extend(slots)

    def too_large(self, lane: Lane, slot: Any, topic: str, record: Record) -> None:
        self._writing.too_large.append(slot)


class Writing:
    """`delivered`: slots that are durable, by lane, in the order they were said to be. `too_large`:
    slots handed back. `defects`: must stay empty."""

    def __init__(self, bootstrap: str, **keywords: Any) -> None:
        self.delivered: dict[Lane, list[Any]] = {}
        self.too_large: list[Any] = []
        self.defects: list[BaseException] = []
        self.producers = CountingProducers({"bootstrap_servers": bootstrap, **keywords})
        self.sink = Sink(self.producers, on_defect=self.defects.append)

    def put(
        self, topic: str, partition: int, lane: Lane, records: Sequence[Record], first: int = 0
    ) -> None:
        """Queue records; their slots are numbered from `first` on."""
        slots = range(first, first + len(records))
        self.sink.put(topic, partition, Parcel(_Sender(self), lane, slots, records))

    async def flushed(self, within_s: float = 60) -> None:
        """Everything is acknowledged; AssertionError where it takes longer."""
        try:
            async with asyncio.timeout(within_s):
                while self.sink.pending():  # noqa: ASYNC110  nothing tells us
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{self.sink.pending()} records are not written") from None
        assert self.defects == []


@asynccontextmanager
async def writing(bootstrap: str, **keywords: Any) -> AsyncIterator[Writing]:
    """`keywords`: of the producer."""
    made = Writing(bootstrap, **keywords)
    await made.sink.start()
    try:
        yield made
    finally:
        await made.sink.stop()


def numbered(count: int, *, first: int = 0, timestamp_ms: int | None = None) -> list[Record]:
    """Records whose values are their numbers."""
    return [(None, b"%d" % n, (), timestamp_ms) for n in range(first, first + count)]
