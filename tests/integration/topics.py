"""What an operator does to topics while a worker runs."""

from __future__ import annotations

import asyncio
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
    """The broker no longer has it when this returns: it answers first, and takes records until it
    has carried the deletion out. Raises TimeoutError after half a minute."""
    async with _admin(bootstrap) as admin:
        answer = await admin.delete_topics([name])
        assert all(code == 0 for _, code, *_ in answer.topic_error_codes), answer
        async with asyncio.timeout(30):
            while name in await admin.list_topics():  # noqa: ASYNC110  nothing tells us
                await asyncio.sleep(0.02)


async def grow_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Give the topic so many partitions in all; each has its leader when this returns. Raises
    KafkaError, and TimeoutError after half a minute."""
    async with _admin(bootstrap) as admin:
        await grow(admin, {name: partitions})
        await until_led(admin, name, partitions)


async def until_led(admin: AIOKafkaAdminClient, name: str, partitions: int) -> None:
    """Until the broker lists so many partitions, each with its leader: it answers a change before
    it tells of it. Raises TimeoutError after half a minute."""
    async with asyncio.timeout(30):
        while not await _has_leaders(admin, name, partitions):  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.02)


async def _has_leaders(admin: AIOKafkaAdminClient, name: str, partitions: int) -> bool:
    (described,) = await admin.describe_topics([name])
    leaders = [part["leader"] for part in described["partitions"] if part["error_code"] == 0]
    return len(leaders) == partitions and min(leaders, default=-1) >= 0


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
