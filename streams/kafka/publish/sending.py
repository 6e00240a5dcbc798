"""Sends records to a topic: in order per partition, one unacknowledged batch each, idempotent.

Keyless records go round the partitions one by one; keyed ones where Kafka's own partitioner
(murmur2) puts them. A batch's acknowledgement is waited for before the partition's next one leaves:
that keeps the order when a broker pauses.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from streams.errors import BrokerError
from streams.kafka.client import SILENCE_S
from streams.kafka.publish.places import Places

BATCH_BYTES = 256 * 1024
QUEUED_BYTES = 16 * 1024 * 1024
"""How much may wait for acknowledgement before reading stops."""


class Sending:
    """Publishes to one topic over a started producer. `sent`: records acknowledged so far."""

    def __init__(
        self, producer: Any, topic: str, partitions: int, *, on_sent: Callable[[int], None]
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._lines = [_Line(self, partition) for partition in range(partitions)]
        self._places = Places(partitions)
        self._next = 0
        self._queued_bytes = 0
        self._moved = asyncio.Event()
        self._error: BaseException | None = None
        self._on_sent = on_sent
        self.sent = 0

    async def put(self, values: list[bytes], keys: list[bytes] | None) -> None:
        """Queue records; returns when there is room for more. Raises what sending raised."""
        if keys is None:
            count = len(self._lines)
            for step in range(min(count, len(values))):
                line = self._lines[(self._next + step) % count]
                line.put([(None, value) for value in values[step::count]])
            self._next = (self._next + len(values)) % count
        else:
            shares: list[list[tuple[bytes | None, bytes]]] = [[] for _ in self._lines]
            for key, value in zip(keys, values, strict=True):
                shares[self._places.of(key)].append((key, value))
            for line, share in zip(self._lines, shares, strict=True):
                line.put(share)
        self._queued_bytes += sum(map(len, values)) + sum(map(len, keys or ()))
        for line in self._lines:
            line.start()
        await self._wait(lambda: self._queued_bytes <= QUEUED_BYTES)

    async def finish(self) -> None:
        """Return when everything is acknowledged. Raises what sending raised."""
        await self._wait(lambda: all(line.is_idle() for line in self._lines))

    def stop(self) -> None:
        for line in self._lines:
            line.stop()

    async def _wait(self, done: Callable[[], bool]) -> None:
        while self._error is None and not done():
            self._moved.clear()
            await self._moved.wait()
        if self._error is not None:
            raise self._error

    def acknowledged(self, records: int, size: int) -> None:
        self.sent += records
        self._queued_bytes -= size
        self._on_sent(records)
        self._moved.set()

    def failed(self, error: BaseException) -> None:
        self._error = self._error or error
        self._moved.set()

    async def send(self, batch: Any, partition: int) -> None:
        """One batch until its acknowledgement. Raises BrokerError."""
        from aiokafka.errors import KafkaError, KafkaTimeoutError, RequestTimedOutError

        try:
            async with asyncio.timeout(SILENCE_S):
                await (await self._producer.send_batch(batch, self._topic, partition=partition))
        except (TimeoutError, KafkaTimeoutError, RequestTimedOutError):
            raise BrokerError(
                f"the broker stopped answering: {self._topic}/{partition} acknowledged nothing for"
                f" {SILENCE_S:g} s; {self.sent} records are published, and some after them may be"
            ) from None
        except KafkaError as error:
            reason = f"{type(error).__name__} {error}".strip()
            raise BrokerError(
                f"{self._topic}/{partition} takes no more records: {reason};"
                f" {self.sent} are published"
            ) from error

    def batch(self) -> Any:
        return self._producer.create_batch()


class _Line:
    """The queue of one partition."""

    def __init__(self, sending: Sending, partition: int) -> None:
        self._sending = sending
        self._partition = partition
        self._queue: deque[tuple[bytes | None, bytes]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, records: list[tuple[bytes | None, bytes]]) -> None:
        self._queue.extend(records)

    def start(self) -> None:
        if self._queue and self._task is None:
            self._task = asyncio.create_task(self._send_all())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def is_idle(self) -> bool:
        return self._task is None

    async def _send_all(self) -> None:
        try:
            while self._queue:
                batch, taken, size = self._fill()
                await self._sending.send(batch, self._partition)
                for _ in itertools.repeat(None, taken):
                    self._queue.popleft()
                if not self._queue:
                    self._task = None
                self._sending.acknowledged(taken, size)
        except Exception as error:
            self._sending.failed(error)
        finally:
            self._task = None

    def _fill(self) -> tuple[Any, int, int]:
        batch = self._sending.batch()
        append = batch.append
        taken = size = 0
        for key, value in self._queue:
            if append(timestamp=None, key=key, value=value) is None:
                break
            taken += 1
            size += len(value) + len(key or b"")
        return batch, taken, size
