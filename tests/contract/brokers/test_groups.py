"""Consumer groups: what was committed is where the next member begins."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from aiokafka import ConsumerRebalanceListener
from aiokafka.structs import OffsetAndMetadata

from streams.codec.committed import MAX_METADATA_BYTES
from tests.contract.brokers.clients import consuming, partition, send, take

SESSION = {"session_timeout_ms": 6000, "heartbeat_interval_ms": 500}


def new_group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


async def test_a_group_resumes_where_it_committed(broker, topic):
    name, group = await topic(), new_group()
    await send(broker.bootstrap, name, [b"%d" % n for n in range(50)])
    async with consuming(broker.bootstrap, name, group_id=group, **SESSION) as consumer:
        await take(consumer, 50)
        await consumer.commit({partition(name): 40})
    async with consuming(broker.bootstrap, name, group_id=group, **SESSION) as consumer:
        assert [record.offset for record in await take(consumer, 10)] == list(range(40, 50))


async def test_a_commit_can_go_back(broker, topic):
    """A commit is the last word, not the highest."""
    name, group = await topic(), new_group()
    await send(broker.bootstrap, name, [b"v"] * 10)
    async with consuming(broker.bootstrap, name, group_id=group, **SESSION) as consumer:
        await take(consumer, 10)
        await consumer.commit({partition(name): 9})
        await consumer.commit({partition(name): 3})
        assert await consumer.committed(partition(name)) == 3


@pytest.mark.needs("commit_metadata")
async def test_the_text_beside_a_committed_offset_is_kept_up_to_its_limit(broker, topic):
    """4,096 bytes at most by default; ours have 3,500. It says what is settled beyond a watermark,
    and what was redriven (`dead redrive`)."""
    name, group, text = await topic(), new_group(), "x" * MAX_METADATA_BYTES
    await send(broker.bootstrap, name, [b"v"] * 10)
    async with consuming(broker.bootstrap, name, group_id=group, **SESSION) as consumer:
        await take(consumer, 10)
        await consumer.commit({partition(name): OffsetAndMetadata(9, text)})
        found = await consumer._coordinator.fetch_committed_offsets([partition(name)])
    assert found == {partition(name): OffsetAndMetadata(9, text)}


async def test_a_group_without_offsets_has_none(broker, topic):
    name = await topic()
    async with consuming(broker.bootstrap, name, group_id=new_group(), **SESSION) as consumer:
        while not consumer.assignment():  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.05)
        assert await consumer.committed(partition(name)) is None


class Assignments(ConsumerRebalanceListener):
    """Notes what a member holds; `changed` is set at every assignment."""

    def __init__(self) -> None:
        self.held: set[object] = set()
        self.changed = asyncio.Event()

    async def on_partitions_revoked(self, revoked) -> None:
        self.held = set()

    async def on_partitions_assigned(self, assigned) -> None:
        self.held = set(assigned)
        self.changed.set()


async def until_shared(members: list[Assignments], partitions: int) -> None:
    async with asyncio.timeout(40):
        while True:
            held = [member.held for member in members]
            if all(held) and len(set().union(*held)) == sum(map(len, held)) == partitions:
                return
            await asyncio.sleep(0.05)


async def test_members_share_the_partitions_and_a_leaver_hands_its_own_back(broker, topic):
    name, group = await topic(partitions=4), new_group()
    one, two = Assignments(), Assignments()
    settings = {"group_id": group, **SESSION}
    async with consuming(broker.bootstrap, **settings) as first:
        first.subscribe([name], listener=one)
        await until_shared([one], 4)
        async with consuming(broker.bootstrap, **settings) as second:
            second.subscribe([name], listener=two)
            await until_shared([one, two], 4)
        await until_shared([one], 4)
