"""aiokafka clients that a test opens for a moment."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

WITHIN_MS = 20_000


@contextlib.asynccontextmanager
async def producing(bootstrap: str, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    # aiokafka's default is the leader alone: what it acknowledged is lost with it.
    settings = {"acks": "all"} | settings
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def consuming(bootstrap: str, *topics: str, **settings: Any) -> AsyncIterator[Any]:
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False} | settings
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, **settings)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def take(consumer: Any, count: int) -> list[ConsumerRecord]:
    """The next `count` records in the order in which they came; fails when 20 s bring none."""
    records: list[ConsumerRecord] = []
    while len(records) < count:
        fetched = await consumer.getmany(timeout_ms=WITHIN_MS, max_records=count - len(records))
        assert fetched, f"{len(records)} of {count} records came"
        for part in fetched.values():
            records += part
    return records


async def values(bootstrap: str, topic: str, count: int, **settings: Any) -> list[bytes]:
    """The values of a topic's first `count` records."""
    async with consuming(bootstrap, topic, **settings) as consumer:
        return [record.value for record in await take(consumer, count)]


async def send(bootstrap: str, topic: str, payloads: Sequence[bytes], partition: int = 0) -> None:
    """Sends in order and waits for the acknowledgements."""
    async with producing(bootstrap) as producer:
        sent = [await producer.send(topic, value, partition=partition) for value in payloads]
        for acknowledged in sent:
            await acknowledged


def partition(topic: str, number: int = 0) -> TopicPartition:
    return TopicPartition(topic, number)
