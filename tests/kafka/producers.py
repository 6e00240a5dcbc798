"""Producers over logs in memory: they accept, refuse, fail and lose acknowledgements by script."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.kafka.produce.producers import BATCH_BYTES, Producers
from streams.kafka.produce.sink import Sink


class Stored(NamedTuple):
    value: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes | None], ...]
    key: bytes | None = None


Rule = Callable[[str, int, list[Stored]], BaseException | None]


class Broker:
    """`logs`: what is written, by (topic, partition). Errors for the next batches: `unsent`:
    `send_batch` raises and takes nothing; `refused`: the acknowledgement fails and nothing is
    written; `unheard`: it fails though all is written. `rule`: judges every batch. `hold`:
    acknowledgements wait until `release`."""

    def __init__(self, partitions: int = 4) -> None:
        self.logs: dict[tuple[str, int], list[Stored]] = defaultdict(list)
        self.partitions = partitions
        self.unsent: list[BaseException] = []
        self.refused: list[BaseException] = []
        self.unheard: list[BaseException] = []
        self.rule: Rule = lambda topic, partition, records: None
        self.hold = False
        self.batches: list[int] = []
        self.metadata_updates = 0
        self._held: list[Callable[[], None]] = []
        self.most_unacknowledged: dict[tuple[str, int], int] = defaultdict(int)
        self._unacknowledged: dict[tuple[str, int], int] = defaultdict(int)

    def release(self) -> None:
        held, self._held, self.hold = self._held, [], False
        for answer in held:
            answer()

    def values(self, topic: str = "sink", partition: int = 0) -> list[bytes | None]:
        return [record.value for record in self.logs[topic, partition]]

    def take(self, where: tuple[str, int], records: list[Stored]) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unacknowledged[where] += 1
        self.most_unacknowledged[where] = max(
            self.most_unacknowledged[where], self._unacknowledged[where]
        )
        self.batches.append(len(records))

        def answer() -> None:
            self._unacknowledged[where] -= 1
            error = self.refused.pop(0) if self.refused else self.rule(*where, records)
            first = len(self.logs[where])
            if error is None:
                self.logs[where] += records
                error = self.unheard.pop(0) if self.unheard else None
            if done.done():
                return
            if error is None:
                done.set_result(SimpleNamespace(offset=first))
            elif isinstance(error, asyncio.CancelledError):
                done.cancel()
            else:
                done.set_exception(error)

        if self.hold:
            self._held.append(answer)
        else:
            asyncio.get_running_loop().call_soon(answer)
        return done


class Producer:
    """As much of `AIOKafkaProducer` as a queue uses; the batches are aiokafka's own."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.stopped = False
        self.client = SimpleNamespace(force_metadata_update=self._update)

    async def _update(self) -> None:
        self.broker.metadata_updates += 1

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self.broker.partitions))

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[Any]:
        if self.stopped:
            raise ProducerClosed
        if self.broker.unsent:
            raise self.broker.unsent.pop(0)
        return self.broker.take((topic, partition), stored(bytes(batch._build())))

    async def stop(self) -> None:
        self.stopped = True


def stored(raw: bytes) -> list[Stored]:
    read = MemoryRecords(raw)
    found = []
    while read.has_next():
        found += [
            Stored(record.value, record.timestamp, tuple(record.headers), record.key)
            for record in read.next_batch()
        ]
    return found


class OfflineProducers(Producers):
    """`made`: the newest last. `refusals`: errors of the next connections."""

    def __init__(self, broker: Broker) -> None:
        super().__init__({})
        self.broker = broker
        self.made: list[Producer] = []
        self.refusals: list[BaseException] = []

    async def _connect(self) -> Any:
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop(0)
        self.made.append(Producer(self.broker))
        return self.made[-1]


class OfflineSink(Sink):
    """A sink over such a broker."""

    producers: OfflineProducers

    def __init__(self, broker: Broker, **calls: Any) -> None:
        super().__init__(OfflineProducers(broker), **calls)
