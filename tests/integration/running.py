"""Workers that do what a trap needs, and what they committed and wrote at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.jobs.judge import outcome_of
from tests.integration.harness import WorkerProcess, committed, create_topic, eventually

TRAPS = "tests.integration.trap_apps:app"


@contextmanager
def worker(
    broker: Any,
    *sources: str,
    group: str = "",
    app: str | None = TRAPS,
    config: str = "",
    settings: str = "",
    **variables: str,
) -> Iterator[WorkerProcess]:
    """A worker whose tasks read `sources`; killed at the end if it has not stopped.

    `group`: by default named after the first source. `settings`: more lines of `[worker]`.
    `variables`: those of `trap_apps`, and any other of the environment.
    """
    process = WorkerProcess(
        broker.bootstrap,
        group or group_of(sources[0]),
        app=app,
        config=config,
        worker=settings,
        variables={"TEST_SOURCES": ",".join(sources), **variables},
    )
    try:
        yield process
    finally:
        process.close()


def group_of(source: str) -> str:
    return f"{source}-group"


async def done(
    broker: Any,
    process: WorkerProcess,
    source: str,
    ends: list[int],
    *,
    within_s: float = 90,
    group: str = "",
) -> None:
    """Wait until the offsets committed are these, one for each partition."""
    now: list[int] = []

    async def reached() -> bool:
        nonlocal now
        now = await committed(broker.bootstrap, group or group_of(source), source, len(ends))
        assert process.process.poll() is None, process.log
        return all(at >= end for at, end in zip(now, ends, strict=True))

    await eventually(reached, within_s, lambda: f"committed {now} of {ends}\n{process.log}")


async def logged(process: WorkerProcess, text: str, within_s: float = 60) -> None:
    """Wait until the worker has said so."""

    async def said() -> bool:
        return text in process.log

    await eventually(said, within_s, lambda: process.log)


def item(number: int, text: str = "some text", **more: Any) -> bytes:
    return orjson.dumps({"id": number, "text": text, **more})


class Watch:
    """Looks again and again at what is committed and what has an outcome.

    `samples`: how often it looked. `broken`: (partition, offset) that was committed without an
    outcome in a topic, with what was committed then. Committed offsets are read first: what is not
    in the topics after that was committed too early.
    """

    def __init__(self, broker: Any, source: str, partitions: int) -> None:
        self._bootstrap = broker.bootstrap
        self._sources = [TopicPartition(source, n) for n in range(partitions)]
        self._outcomes = [
            TopicPartition(f"{source}.{kind}", n)
            for kind in ("out", "dead")
            for n in range(partitions)
        ]
        keywords = {"bootstrap_servers": self._bootstrap, "enable_auto_commit": False}
        self._group = AIOKafkaConsumer(group_id=group_of(source), **keywords)
        self._reader = AIOKafkaConsumer(auto_offset_reset="earliest", **keywords)
        self._written: set[tuple[int, int]] = set()
        self.samples = 0
        self.broken: list[tuple[int, int, int]] = []
        self.committed: list[int] = []

    async def start(self) -> None:
        for topic in sorted({place.topic for place in self._outcomes}):
            await create_topic(self._bootstrap, topic, len(self._sources))
        await self._group.start()
        await self._reader.start()
        self._reader.assign(self._outcomes)
        await self._reader.seek_to_beginning()

    async def stop(self) -> None:
        await self._group.stop()
        await self._reader.stop()

    async def look(self) -> None:
        ends = [await self._group.committed(place) or 0 for place in self._sources]
        await self._read()
        for partition, end in enumerate(ends):
            for offset in range(end):
                if (partition, offset) not in self._written:
                    self.broken.append((partition, offset, end))
        self.committed = ends
        self.samples += 1

    async def _read(self) -> None:
        ends = await self._reader.end_offsets(self._outcomes)
        for place, end in ends.items():
            while await self._reader.position(place) < end:
                for records in (await self._reader.getmany(place, timeout_ms=500)).values():
                    for record in records:
                        if (outcome := outcome_of(record)) is not None:
                            self._written.add((outcome.source_partition, outcome.source_offset))


@asynccontextmanager
async def watching(broker: Any, source: str, partitions: int) -> AsyncIterator[Watch]:
    """A watch that looks for as long as the block takes, and once at its end. Makes the sink and
    the dead-letter topic."""
    watch = Watch(broker, source, partitions)
    await watch.start()

    async def for_ever() -> None:
        while True:
            await watch.look()
            await asyncio.sleep(0.02)

    task = asyncio.ensure_future(for_ever())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            await watch.look()
        finally:
            await watch.stop()
