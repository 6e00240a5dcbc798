"""The compacted topic `{worker id}.budget`: the log through which workers share their budgets.

It has one partition, whose order decides (`streams.policies.shared_budget`). Reading begins at its
beginning, before the first call, and goes on to the end of the worker. Where it cannot be written
or read no new money is claimed, and calls wait for it: a line says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.budget_records import BudgetRecord, decode_budget, encode_budget
from streams.errors import BrokerError
from streams.kafka.client import SILENCE_S, broker_answer, connect
from streams.kafka.produce.job_writer import JobWriter, job_producers
from streams.kafka.tail import reading_consumer
from streams.kafka.topics import TopicSpec
from streams.running.logs import RepeatLog
from streams.settings.values import budget_topic

logger = logging.getLogger(__name__)

SETTINGS: Final = (
    ("cleanup.policy", "compact"),
    ("min.compaction.lag.ms", "3600000"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "LogAppendTime"),
)
"""Whatever the source has. Who judges a claim must find the records before it; that takes seconds,
and the lag is an hour."""

READ_WITHIN_S: Final = 60.0
AGAIN_S: Final = 1.0
REPEAT_S: Final = 30.0
LAST_WITHIN_S: Final = 2.0


def budget_spec(worker_id: str, source: str) -> TopicSpec:
    """How the topic is created."""
    return TopicSpec(
        budget_topic(worker_id), source, compacts=True, settings=SETTINGS, partitions=1
    )


class BudgetTopic:
    """`on_record(record)`: each, in the order of the log, those of other workers too."""

    def __init__(
        self, topic: str, keywords: Mapping[str, Any], on_record: Callable[[BudgetRecord], None]
    ) -> None:
        self._where = TopicPartition(topic, 0)
        self._keywords = dict(keywords)
        self._on_record = on_record
        self._producers = job_producers(keywords, logger.warning)
        self._consumer: AIOKafkaConsumer = reading_consumer(keywords)
        self._writer: JobWriter | None = None
        self._log = RepeatLog(logger)

    async def start(self) -> None:
        """Read everything that is there. Raises BrokerError."""
        servers = self._keywords["bootstrap_servers"]
        await connect(self._producers, servers)
        await connect(self._consumer, servers)
        await broker_answer(self._read_all(), self._consumer, READ_WITHIN_S)

    async def stop(self) -> None:
        if self._writer is not None:
            await self._writer.stop()
        await self._producers.stop()
        await self._consumer.stop()

    async def _read_all(self) -> None:
        consumer, where = self._consumer, self._where
        consumer.assign([where])
        consumer.seek(where, (await consumer.beginning_offsets([where]))[where])
        end = (await consumer.end_offsets([where]))[where]
        while await consumer.position(where) < end:
            self._take(await consumer.getmany(timeout_ms=500))

    async def follow(self) -> None:
        """Read on, until it is cancelled."""
        while True:
            try:
                self._take(await self._consumer.getmany(timeout_ms=1000))
            except KafkaError as error:
                self._say(f"cannot be read: {error!r}")
                await asyncio.sleep(AGAIN_S)

    def _take(self, found: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for record in found.get(self._where, ()):
            taken = decode_budget(record.key, record.value)
            if taken is not None:
                self._on_record(taken)

    async def append(self, records: Sequence[BudgetRecord]) -> None:
        """Write these; returns when the broker has them. A record may be there twice then."""
        while True:
            try:
                await self._write(records)
            except BrokerError as error:
                self._say(str(error))
                await self._end_writer()
                await asyncio.sleep(AGAIN_S)
            else:
                self._log.over()
                return

    async def _write(self, records: Sequence[BudgetRecord]) -> None:
        if self._writer is None:
            self._writer = JobWriter(self._producers, self._explain, self._refuse)
        rows = [(*encode_budget(record), (), None) for record in records]
        self._writer.put(self._where, rows, [record.task for record in records])
        await self._writer.finish()

    async def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    def _explain(self, where: TopicPartition, reason: str | None) -> str:
        why = f"no acknowledgement for {SILENCE_S:g} s" if reason is None else reason
        return f"cannot be written: {why}"

    def _refuse(self, task: str, reason: str) -> None:
        raise BrokerError(f"cannot be written for task {task}: {reason}")

    def _say(self, what: str) -> None:
        self._log.say(f"{self._where.topic} {what}. Calls wait for money meanwhile", REPEAT_S)
