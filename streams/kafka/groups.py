"""Whether a consumer group has members: somebody does its work now."""

from __future__ import annotations

from typing import Any

from aiokafka.errors import for_code

NO_SUCH_GROUP = 69


async def has_members(admin: Any, group: str) -> bool:
    """False also for a group that does not exist. Raises KafkaError."""
    for answer in await admin.describe_consumer_groups([group]):
        for found in answer.to_object()["groups"]:
            if found["error_code"] not in (0, NO_SUCH_GROUP):
                raise for_code(found["error_code"])(group)
            if found["members"]:
                return True
    return False
