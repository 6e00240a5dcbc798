"""What an operator does to topics while a worker runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.kafka.topics import grow


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def delete_topic(bootstrap: str, name: str) -> None:
    async with _admin(bootstrap) as admin:
        answer = await admin.delete_topics([name])
        assert all(code == 0 for _, code, *_ in answer.topic_error_codes), answer


async def grow_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Give the topic so many partitions in all. Raises KafkaError."""
    async with _admin(bootstrap) as admin:
        await grow(admin, {name: partitions})


async def set_topic(bootstrap: str, name: str, settings: Mapping[str, str]) -> None:
    """Change settings of the topic; those not named go back to their defaults."""
    async with _admin(bootstrap) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, dict(settings))
        for answer in await admin.alter_configs([resource]):
            assert all(code == 0 for code, *_ in answer.resources), answer


async def delete_records(bootstrap: str, name: str, partition: int, before: int) -> None:
    """Cut the log off below an offset, as retention does."""
    async with _admin(bootstrap) as admin:
        await admin.delete_records(
            {TopicPartition(name, partition): RecordsToDelete(before_offset=before)}
        )
