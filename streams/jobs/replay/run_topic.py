"""The state of all runs of a worker id: the compacted topic `{worker id}.replays`.

A key is `{run}/{name}`; the last value of a key counts, and a null value deletes it. All keys are
in partition 0, so that the order of writing is the order of reading.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerError
from streams.kafka.client import SILENCE_S, broker_answer, connected
from streams.kafka.produce.job_writer import JobWriter
from streams.kafka.produce.producers import Producers
from streams.kafka.tail import reading_consumer
from streams.kafka.topics import TopicSpec

SETTINGS = (
    ("cleanup.policy", "compact"),
    ("max.message.bytes", "1048588"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
)
"""Of the state topic, whatever the source has."""

READ_WITHIN_S = 60.0


def replays_topic(worker_id: str) -> str:
    return f"{worker_id}.replays"


def replays_spec(worker_id: str, source: str) -> TopicSpec:
    """How the topic is created."""
    return TopicSpec(
        replays_topic(worker_id), source, compacts=True, settings=SETTINGS, partitions=1
    )


class RunTopic:
    """Reads and writes the topic. `producers`: started; None: it is only read."""

    def __init__(self, topic: str, consumer: AIOKafkaConsumer, producers: Producers | None) -> None:
        self._where = TopicPartition(topic, 0)
        self._consumer = consumer
        self._writer = None
        if producers is not None:
            self._writer = JobWriter(producers, self._explain, self._refuse)
        self._state: dict[str, bytes] = {}
        self._assigned = False
        self._reading, self._writing = asyncio.Lock(), asyncio.Lock()

    async def read(self) -> Mapping[str, bytes]:
        """Every key with its last value, as of now. Raises BrokerError."""
        async with self._reading:
            await broker_answer(self._read(), self._consumer, READ_WITHIN_S)
        return self._state

    async def _read(self) -> None:
        """Takes in what is new since the last time."""
        consumer, where = self._consumer, self._where
        if not self._assigned:
            consumer.assign([where])
            consumer.seek(where, (await consumer.beginning_offsets([where]))[where])
            self._assigned = True
        end = (await consumer.end_offsets([where]))[where]
        while await consumer.position(where) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    self._take(record)

    def _take(self, record: Any) -> None:
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._state.pop(key, None)
        else:
            self._state[key] = bytes(record.value)

    async def put(self, key: str, value: bytes | None) -> None:
        """Durable when it returns. Raises BrokerError."""
        assert self._writer is not None
        async with self._writing:
            self._writer.put(self._where, [(key.encode(), value, (), None)], [key])
            await self._writer.finish()

    async def stop(self) -> None:
        if self._writer is not None:
            await self._writer.stop()

    def _explain(self, where: TopicPartition, reason: str | None) -> str:
        why = f"no acknowledgement for {SILENCE_S:g} s" if reason is None else reason
        return f"the state of the run cannot be written to {where.topic}: {why}"

    def _refuse(self, key: str, reason: str) -> None:
        raise BrokerError(f"the state of the run cannot be written ({key}): {reason}")


class RunKeys:
    """The keys of one run: the state port of batch mode (`streams.batches.state_port`)."""

    def __init__(self, topic: RunTopic, run: str) -> None:
        self._topic = topic
        self._prefix = f"{run}/"

    async def load(self) -> dict[str, bytes]:
        """Every key of the run, without its name, as of now. Raises BrokerError."""
        return of_run(await self._topic.read(), self._prefix)

    async def put(self, key: str, value: bytes | None) -> None:
        """Durable when it returns; None deletes the key. Raises BrokerError."""
        await self._topic.put(self._prefix + key, value)


def of_run(state: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


@contextlib.asynccontextmanager
async def run_topic(
    arguments: Mapping[str, Any], topic: str, producers: Producers | None
) -> AsyncIterator[RunTopic]:
    """Connected while the block runs. Raises BrokerError."""
    consumer = reading_consumer(arguments)
    async with connected(consumer, arguments["bootstrap_servers"]):
        opened = RunTopic(topic, consumer, producers)
        try:
            yield opened
        finally:
            with contextlib.suppress(KafkaError):
                await opened.stop()
