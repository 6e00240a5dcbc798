"""Nodes die, freeze and come back; what was acknowledged is still there."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.brokers.clients import producing, send, values


@pytest.mark.needs("nodes")
async def test_a_killed_node_comes_back_with_its_data(own_broker, topic):
    name = await topic()
    await send(own_broker.bootstrap, name, [b"%d" % n for n in range(100)])
    own_broker.nodes[0].kill()
    assert not own_broker.nodes[0].alive
    own_broker.nodes[0].start()
    assert await values(own_broker.bootstrap, name, 100) == [b"%d" % n for n in range(100)]


@pytest.mark.needs("nodes")
async def test_a_stopped_node_comes_back_with_its_data(own_broker, topic):
    name = await topic()
    await send(own_broker.bootstrap, name, [b"kept"])
    own_broker.nodes[0].stop()
    own_broker.nodes[0].start()
    assert await values(own_broker.bootstrap, name, 1) == [b"kept"]


@pytest.mark.needs("freeze")
async def test_a_frozen_node_answers_again_after_the_thaw(own_broker, topic):
    name = await topic()
    async with producing(own_broker.bootstrap) as producer:
        await producer.send_and_wait(name, b"before", partition=0)
        own_broker.nodes[0].freeze()
        sending = asyncio.create_task(producer.send_and_wait(name, b"meanwhile", partition=0))
        await asyncio.wait([sending], timeout=1)
        assert not sending.done()
        own_broker.nodes[0].thaw()
        await sending
    assert await values(own_broker.bootstrap, name, 2) == [b"before", b"meanwhile"]


async def test_a_cluster_of_three_goes_on_without_one(cluster, topic):
    name = await topic(partitions=3)
    for number in range(3):
        await send(cluster.bootstrap, name, [b"before"], partition=number)
    cluster.nodes[1].kill()
    for number in range(3):
        await send(cluster.bootstrap, name, [b"after"], partition=number)
    assert sorted(await values(cluster.bootstrap, name, 6)) == [b"after"] * 3 + [b"before"] * 3
