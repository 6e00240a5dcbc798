"""One redrive at a time: who stood still while another one took over sends and commits nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.group import LeaveGroupRequest

from streams.codec.committed import Committed
from streams.errors import StreamsError
from streams.jobs.claim import Claim, claimant
from streams.jobs.dead.memory import Memory, MemoryStore, group_of
from tests.brokers.choose import Broker
from tests.conftest import MakeTopic

SESSION_S = 60.0
OURS, THEIRS = Memory({0: Committed(2)}), Memory({0: Committed(9)})

pytestmark = [pytest.mark.kafka, pytest.mark.needs("commit_metadata")]


@pytest.mark.parametrize("joined", [False, True], ids=["as no member", "as a new member"])
async def test_who_stood_still_does_not_commit_over_the_one_that_took_over(
    broker: Broker, topic: MakeTopic, joined: bool
) -> None:
    """aiokafka learns with its next heartbeat that the group has removed us, and joins again by
    itself, when the other one has ended. Between the two it has the id of no member, which may
    commit while a group is empty."""
    name = await topic("dead")
    async with claiming(broker, name) as (consumer, claim, store):
        memory = await store.take()
        assert claim.holds()
        await removed(consumer)
        async with claiming(broker, name) as (_, _, other):
            await other.commit(THEIRS, await other.take())
        await consumer._coordinator._do_heartbeat()
        if joined:
            await joined_again(consumer)
        assert not claim.holds(), "it is the claim of the member that the group has removed"
        with pytest.raises(StreamsError, match="another redrive"):
            await store.commit(OURS, memory)
        assert await store.read() == THEIRS


async def test_who_stood_still_sends_nothing_after_another_one(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic("dead")
    async with claiming(broker, name) as (consumer, _, store):
        memory = await store.take()
        await removed(consumer)
        async with claiming(broker, name) as (_, _, other):
            await other.commit(THEIRS, await other.take())
        await consumer._coordinator._do_heartbeat()
        await joined_again(consumer)
        with pytest.raises(StreamsError, match="another redrive"):
            await store.check_alone(memory)


async def test_who_stood_still_alone_goes_on(broker: Broker, topic: MakeTopic) -> None:
    name = await topic("dead")
    async with claiming(broker, name) as (consumer, claim, store):
        memory = await store.take()
        await removed(consumer)
        await consumer._coordinator._do_heartbeat()
        await store.check_alone(memory)
        assert claim.holds()
        await store.commit(OURS, memory)
        assert await store.read() == OURS


@asynccontextmanager
async def claiming(
    broker: Broker, topic: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, Claim, MemoryStore]]:
    arguments = {"bootstrap_servers": broker.bootstrap}
    consumer = claimant(arguments, group_of(topic, None), SESSION_S)
    await consumer.start()
    try:
        claim = Claim(consumer, topic, SESSION_S, tell=lambda _: None, job=f"redrive of {topic}")
        yield consumer, claim, MemoryStore(consumer, topic, 1, claim)
    finally:
        await consumer.stop()


async def removed(consumer: AIOKafkaConsumer) -> None:
    """The group forgets this member, as at the end of its session; it does not know that."""
    coordinator = consumer._coordinator
    request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
    answer = await coordinator._send_req(request)
    assert answer.error_code == 0


async def joined_again(consumer: AIOKafkaConsumer) -> None:
    """Wait until aiokafka has joined by itself."""
    async with asyncio.timeout(60):
        while consumer._coordinator.generation < 0:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.01)
