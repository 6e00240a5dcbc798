"""Topics that take no results for a while, as a disk does that is full: the task waits, and then
everything is written once and in its place."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.scene import Scene
from tests.chaos.schedule import Work
from tests.integration.topics import set_topic

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

WORK = Work(partitions=4, latency_ms=50)


@pytest.mark.thorough
async def test_a_sink_without_enough_replicas_in_sync_is_waited_for(cluster):
    """`NotEnoughReplicas` to every batch while a node is away."""
    async with Scene(cluster, WORK) as scene:
        scene.fleet.start()
        await scene.publish(200)
        await scene.begun()
        await set_topic(cluster.bootstrap, f"{scene.source}.out", {"min.insync.replicas": "3"})
        await asyncio.to_thread(cluster.nodes[2].kill)
        scene.cut_off()
        scene.say("a node is away")
        await scene.publish_over(600, 6)
        written = len(scene.account.in_order)
        assert written < 800, "nothing was refused"
        await asyncio.to_thread(cluster.nodes[2].start)
        scene.reached()
        scene.say("it is back")
        await scene.finish()


@pytest.mark.needs("version_4")
async def test_topics_that_refuse_even_the_smallest_record_are_waited_for(broker):
    """`max.message.bytes` of the sink and of the dead letters, and later back: no outcome can be
    written meanwhile, none is lost, and nothing is committed. Those that were refused just then may
    be dead letters for their size."""
    async with Scene(broker, WORK) as scene:
        scene.account.allowed_codes = {"result_too_large"}
        scene.fleet.start()
        await scene.publish(200)
        await scene.begun(200)
        topics = [f"{scene.source}.{kind}" for kind in ("out", "dead")]
        for name in topics:
            await set_topic(broker.bootstrap, name, {"max.message.bytes": "1"})
        await scene.publish(400)
        await asyncio.sleep(4)
        assert len(scene.account.in_order) == 200
        assert scene.fleet.ended() == {}
        for name in topics:
            await set_topic(broker.bootstrap, name, {"max.message.bytes": "1048588"})
        scene.say("they take records again")
        await scene.finish()
