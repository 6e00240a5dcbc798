"""Transactional producers over logs in memory: they fence each other, and fail as a script says."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.codec.committed import Committed
from streams.kafka.produce.transactions import Transactions
from tests.kafka.producers import stored

SOURCE = TopicPartition("source", 0)
STEPS = ("begin", "send", "acknowledge", "offsets", "commit", "unheard")
"""Where a transaction can fail. "unheard": it is committed, and nobody hears of it."""


class Broker:
    """`logs`: what committed transactions have written, by (topic, partition). `committed`: of the
    source's only partition. `fail`: (step, error) of the transactions to come, one each; None:
    nothing fails. `transactions`: how many records each that was committed had."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int], list[bytes | None]] = defaultdict(list)
        self.committed: Committed | None = None
        self.fail: list[tuple[str, Exception] | None] = []
        self.rule: Any = lambda topic, values: None
        self.epoch = 0
        self.transactions: list[int] = []
        self.gate: asyncio.Event | None = None

    def values(self, topic: str = "sink", partition: int = 0) -> list[bytes | None]:
        return self.logs[topic, partition]


class Producer:
    """One epoch; the newest fences all before."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        broker.epoch += 1
        self._epoch = broker.epoch
        self._written: list[tuple[tuple[str, int], list[bytes | None]]] = []
        self._offset: Committed | None = None
        self._failing: tuple[str, Exception] | None = None
        self.begun = False
        self.broken = False

    def _step(self, name: str) -> None:
        assert not self.broken, "aiokafka asserts that a broken producer begins nothing"
        if self._broker.epoch != self._epoch:
            self.broken = True
            raise ProducerFenced
        if self._failing is not None and self._failing[0] == name:
            self.broken = True
            raise self._failing[1]

    async def begin_transaction(self) -> None:
        assert not self.begun
        self._failing = self._broker.fail.pop(0) if self._broker.fail else None
        self._step("begin")
        self.begun = True
        self._written, self._offset = [], None

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(4096, 0)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[Any]:
        self._step("send")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        values = [record.value for record in stored(bytes(batch._build()))]
        self._written.append(((topic, partition), values))
        try:
            self._step("acknowledge")
        except Exception as error:
            done.set_exception(error)
            return done
        if error := self._broker.rule(topic, values):
            self.broken = True
            done.set_exception(error)
        else:
            done.set_result(None)
        return done

    async def send_offsets_to_transaction(self, offsets: Any, group: str) -> None:
        await asyncio.sleep(0)
        self._step("offsets")
        ((partition, said),) = offsets.items()
        assert partition == SOURCE
        self._offset = Committed.read(said.offset, said.metadata)

    async def commit_transaction(self) -> None:
        if self._broker.gate is not None:
            await self._broker.gate.wait()
        self._step("commit")
        for where, values in self._written:
            self._broker.logs[where] += values
        assert self._offset is not None
        self._broker.committed = self._offset
        self._broker.transactions.append(sum(len(values) for _, values in self._written))
        self.begun = False
        self._step("unheard")


class OfflineTransactions(Transactions):
    """Transactions over such a broker. `retired`: producers that were given up."""

    def __init__(self, broker: Broker, **keywords: Any) -> None:
        super().__init__({}, **keywords)
        self.broker = broker
        self.connected: list[Producer] = []
        self.retired: Sequence[Any] = []

    async def connect(self, partition: TopicPartition) -> Any:
        await asyncio.sleep(0)
        self.connected.append(Producer(self.broker))
        return self.connected[-1]

    def retire(self, producer: Any) -> None:
        self.retired = [*self.retired, producer]


FAILED = KafkaError("as asked")
