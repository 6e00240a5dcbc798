"""A compacted topic of one partition, through which the workers of a group tell each other things.

Its order is the same for all who read it. Where it cannot be written or read a line says so, and
what follows from that; writing and reading are tried again until they succeed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerError
from streams.kafka.client import SILENCE_S, broker_answer, connect
from streams.kafka.produce.job_writer import JobWriter, job_producers
from streams.kafka.tail import reading_consumer
from streams.running.logs import RepeatLog

logger = logging.getLogger(__name__)

READ_WITHIN_S: Final = 60.0
AGAIN_S: Final = 1.0
REPEAT_S: Final = 30.0
LAST_WITHIN_S: Final = 2.0
"""For what is written at the end."""

R = TypeVar("R")


class RecordCodec(NamedTuple, Generic[R]):
    """`encode`: key and value. `decode`: None: it is none of ours."""

    encode: Callable[[R], tuple[bytes, bytes]]
    decode: Callable[[bytes | None, bytes | None], R | None]


class GroupTopic(Generic[R]):
    """`on_record(record)`: each, in the order of the log, those of other workers too. `keywords`:
    of Kafka's clients. `meanwhile`: what is so while it cannot be used, for the log."""

    def __init__(
        self,
        topic: str,
        keywords: Mapping[str, Any],
        codec: RecordCodec[R],
        on_record: Callable[[R], None],
        *,
        meanwhile: str,
    ) -> None:
        self._where = TopicPartition(topic, 0)
        self._keywords = dict(keywords)
        self._codec = codec
        self._on_record = on_record
        self._meanwhile = meanwhile
        self._producers = job_producers(keywords, logger.warning)
        self._consumer: AIOKafkaConsumer = reading_consumer(keywords)
        self._writer: JobWriter | None = None
        self._log = RepeatLog(logger)

    async def start(self, *, history: bool = True) -> None:
        """Read everything that is there; without `history` only what comes from now on. Raises
        BrokerError."""
        servers = self._keywords["bootstrap_servers"]
        await connect(self._producers, servers)
        await connect(self._consumer, servers)
        await broker_answer(self._begin(history), self._consumer, READ_WITHIN_S)

    async def stop(self) -> None:
        if self._writer is not None:
            await self._writer.stop()
        await self._producers.stop()
        await self._consumer.stop()

    async def _begin(self, history: bool) -> None:
        consumer, where = self._consumer, self._where
        consumer.assign([where])
        first = (await consumer.beginning_offsets([where]))[where]
        end = (await consumer.end_offsets([where]))[where]
        consumer.seek(where, first if history else end)
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
            taken = self._codec.decode(record.key, record.value)
            if taken is not None:
                self._on_record(taken)

    async def append(self, records: Sequence[R]) -> None:
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

    async def _write(self, records: Sequence[R]) -> None:
        if self._writer is None:
            self._writer = JobWriter(self._producers, self._explain, self._refuse)
        rows = [(*self._codec.encode(record), (), None) for record in records]
        self._writer.put(self._where, rows, [row[0].decode("utf-8", "replace") for row in rows])
        await self._writer.finish()

    async def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    def _explain(self, where: TopicPartition, reason: str | None) -> str:
        why = f"no acknowledgement for {SILENCE_S:g} s" if reason is None else reason
        return f"cannot be written: {why}"

    def _refuse(self, key: str, reason: str) -> None:
        raise BrokerError(f"cannot be written for {key}: {reason}")

    def _say(self, what: str) -> None:
        self._log.say(f"{self._where.topic} {what}. {self._meanwhile}", REPEAT_S)
