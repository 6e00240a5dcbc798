"""Items written to a topic, now or steadily over time."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaProducer

from benchmarks.ground import BATCH_BYTES, write_items

STEP_S = 0.25


class Feed:
    """Writes numbered items to all partitions, as many to each; a context manager."""

    def __init__(self, server: str, topic: str, partitions: int) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=server, max_batch_size=BATCH_BYTES)
        self._topic = topic
        self._partitions = partitions
        self._next = 0

    async def __aenter__(self) -> Feed:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def write(self, count: int) -> None:
        """The next so many items."""
        numbers = range(self._next, self._next + count)
        self._next = numbers.stop
        for partition in range(self._partitions):
            mine = numbers[partition :: self._partitions]
            if mine:
                await write_items(self._producer, self._topic, partition, mine)

    async def steadily(self, per_s: int, seconds: float) -> None:
        """At that rate, evenly but for steps of a quarter of a second."""
        began, written = time.monotonic(), 0
        for step in range(1, int(seconds / STEP_S) + 1):
            await asyncio.sleep(max(0.0, began + step * STEP_S - time.monotonic()))
            due = int(step * STEP_S * per_s)
            await self.write(due - written)
            written = due
