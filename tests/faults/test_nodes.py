"""Three nodes of Apache Kafka, one of which is always in trouble: nothing lost, nothing out of
order, nothing that stands still."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.chaos.scene import Scene
from tests.chaos.schedule import Work
from tests.cli.command import streams
from tests.integration.harness import eventually, publish
from tests.integration.running import done, item, worker

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

WORK = Work(partitions=6, latency_ms=100)


@asynccontextmanager
async def working(cluster, items: int, seconds: float, work: Work = WORK):
    """Two workers that have begun, and items that go on coming for so long; they finish at the end
    of the block."""
    async with Scene(cluster, work) as scene:
        scene.fleet.start()
        scene.fleet.start()
        await scene.publish(300)
        await scene.begun()
        publishing = asyncio.ensure_future(scene.publish_over(items, seconds))
        try:
            yield scene
            await publishing
            await scene.finish()
        finally:
            publishing.cancel()


async def leader_of(cluster, topic: str, partition: int) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        leaders = {part["partition"]: part["leader"] for part in described["partitions"]}
        return leaders[partition]
    finally:
        await admin.close()


async def coordinator_of(cluster, group: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        return await admin.find_coordinator(group)
    finally:
        await admin.close()


async def _away(scene: Scene, node, seconds: float) -> None:
    """The node dies, and comes back with its data after a while."""
    scene.cut_off()
    scene.say(f"node {node.number} is killed")
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(node.start)
    scene.reached()
    scene.say(f"node {node.number} is back")


@pytest.mark.parametrize("topic", [pytest.param("source", marks=pytest.mark.thorough), "sink"])
async def test_the_leader_of_a_partition_dies(cluster, topic):
    async with working(cluster, 800, 8) as scene:
        name = scene.source if topic == "source" else f"{scene.source}.out"
        await _away(scene, cluster.nodes[await leader_of(cluster, name, 0)], 3)


async def test_the_groups_coordinator_dies(cluster):
    """Another node takes the group over; what was committed is known there."""
    async with working(cluster, 800, 8) as scene:
        await _away(scene, cluster.nodes[await coordinator_of(cluster, scene.fleet.group)], 3)


@pytest.mark.thorough
async def test_all_nodes_are_restarted_one_after_the_other(cluster):
    async with working(cluster, 1500, 20) as scene:
        for node in cluster.nodes:
            scene.cut_off()
            scene.say(f"node {node.number} stops")
            await asyncio.to_thread(node.stop)
            await asyncio.to_thread(node.start)
            scene.reached()
            scene.say(f"node {node.number} is back")
            await asyncio.sleep(2)


@pytest.mark.thorough
@pytest.mark.parametrize("which", ["leader", "coordinator"])
async def test_a_node_that_stands_still_for_20_s(cluster, which):
    """Its connections stay open and say nothing, longer than any session."""
    async with working(cluster, 1500, 20) as scene:
        if which == "leader":
            number = await leader_of(cluster, f"{scene.source}.out", 0)
        else:
            number = await coordinator_of(cluster, scene.fleet.group)
        scene.cut_off()
        scene.say(f"node {number} stands still")
        cluster.nodes[number].freeze()
        await asyncio.sleep(20)
        cluster.nodes[number].thaw()
        scene.reached()
        scene.say(f"node {number} goes on")


async def _with_one_copy(cluster, topic) -> str:
    """A source whose three partitions live on one node each, and sinks that outlive any."""
    source = f"{await topic()}-source"
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        one = NewTopic(source, 3, 1, topic_configs={"min.insync.replicas": "1"})
        sinks = [NewTopic(f"{source}.{kind}", 3, 3) for kind in ("out", "dead")]
        answer = await admin.create_topics([one, *sinks])
        assert not any(code for _, code, *_ in answer.topic_errors), answer
    finally:
        await admin.close()
    return source


async def test_a_source_partition_without_a_leader_holds_no_others_back(cluster, topic):
    """A worker comes while one partition's only node is away: the others go on being read, and that
    one is, too, when the node is back."""
    source = await _with_one_copy(cluster, topic)
    await publish(cluster.bootstrap, source, [(None, item(n), n % 3) for n in range(30)])
    away = await leader_of(cluster, source, 0)
    node = cluster.nodes[away]
    reachable = [n for n in (0, 1, 2) if await leader_of(cluster, source, n) != away]
    assert reachable, "all partitions are on one node"
    with worker(cluster, source) as one:
        await done(cluster, one, source, [10, 10, 10])
        await asyncio.to_thread(node.kill)
        try:
            with worker(cluster, source) as two:
                both = [one, two]
                await _said(both, "the leader does not answer")
                more = [(None, item(100 + n), n) for n in reachable]
                await publish(cluster.bootstrap, source, more)
                now = [11 if n in reachable else 10 for n in range(3)]
                await done(cluster, one, source, now, within_s=60)
                await asyncio.to_thread(node.start)
                missing = [(None, item(200 + n), n) for n in range(3) if n not in reachable]
                await publish(cluster.bootstrap, source, missing)
                await done(cluster, one, source, [11, 11, 11], within_s=60)
                assert [process.stop() for process in both] == [0, 0], one.log + two.log
        finally:
            await asyncio.to_thread(node.start)


async def _said(processes, text: str) -> None:
    """Wait until one of them has said so."""
    told = lambda: "\n\n".join(process.log for process in processes)  # noqa: E731

    async def said() -> bool:
        return text in told()

    await eventually(said, 90, told)


async def test_commands_and_workers_begin_while_a_node_stands_still(cluster, tmp_path):
    """They asked the frozen node first, or for ever, and said that no broker answers."""
    records = tmp_path / "records.jsonl"
    records.write_text("".join(f'{{"id":{number},"text":"x"}}\n' for number in range(600)))
    source = f"frozen-{tmp_path.name}"
    published = ("publish", source, records, "--broker", cluster.bootstrap)
    assert (await asyncio.to_thread(streams, *published)).code == 0
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()  # a frozen controller hands over late, and nobody needs it then
    await admin.create_topics([NewTopic(f"{source}.{kind}", 4, 3) for kind in ("out", "dead")])
    await admin.close()
    node = cluster.nodes[await leader_of(cluster, source, 0)]
    others = ",".join(f"127.0.0.1:{each.port}" for each in cluster.nodes if each is not node)
    node.freeze()
    code, _, err = await asyncio.to_thread(streams, *published)
    assert code == 0, err
    tail = ("tail", source, "--from", "earliest", "--count", "1200", "--broker", cluster.bootstrap)
    code, out, err = await asyncio.to_thread(streams, *tail, "--json")
    assert (code, len(out.splitlines())) == (0, 1200), err
    with worker(cluster, source) as process:
        await done(SimpleNamespace(bootstrap=others), process, source, [300] * 4)
        assert process.stop() == 0, process.log
