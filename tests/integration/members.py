"""Members of a group that are no workers of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest

MEMBER_ID_REQUIRED = 79
PLACE = {"group": ConnectionGroup.COORDINATION}


@asynccontextmanager
async def other_member(
    bootstrap: str, group: str, kind: str, protocol: str = "default"
) -> AsyncIterator[None]:
    """The only member of a group, of this kind ("consumer", "connect"); joins once, and then does
    not answer when others join."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        node = await _coordinator(client, group)
        joining = "", MEMBER_ID_REQUIRED
        while joining[1] == MEMBER_ID_REQUIRED:
            request = JoinGroupRequest(
                group, 30_000, 60_000, joining[0], None, kind, [(protocol, bytes(10))]
            )
            answer = await client.send(node, request, **PLACE)
            joining = answer.member_id, answer.error_code
        assert answer.error_code == 0, answer
        shares = [(answer.member_id, b"")]
        request = SyncGroupRequest(group, answer.generation_id, answer.member_id, None, shares)
        await client.send(node, request, **PLACE)
        yield
    finally:
        await client.close()


async def _coordinator(client: AIOKafkaClient, group: str) -> int:
    async with asyncio.timeout(60):
        while True:
            try:
                node: int = await client.coordinator_lookup(CoordinationType.GROUP, group)
                if await client.ready(node, **PLACE):
                    return node
            except KafkaError:  # the broker's first group
                await asyncio.sleep(0.1)


async def members_of(bootstrap: str, group: str) -> list[str]:
    """The client ids of the group's members."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    return [member["client_id"] for member in answer.to_object()["groups"][0]["members"]]
