"""What a broker can do to the writers of results: refuse, stand still, lose the topic. Whatever it
is, every record is written once and in its place."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from itertools import pairwise

import pytest

from tests.faults.test_nodes import leader_of
from tests.integration.harness import create_topic, eventually, read
from tests.integration.topics import delete_topic, set_topic
from tests.integration.writing import Lane, numbered, writing

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

HOUR_MS = 3_600_000


async def _values(bootstrap: str, topic: str) -> dict[int, list[bytes]]:
    values: dict[int, list[bytes]] = defaultdict(list)
    for record in await read(bootstrap, [topic]):
        values[record.partition].append(record.value)
    return values


async def test_many_writers_over_one_producer_keep_each_partitions_order(broker, topic):
    """`send_batch` waits for the partition's previous batch: one writer for each partition."""
    name = await topic(partitions=12)
    lanes = [Lane() for _ in range(12)]
    async with writing(broker.bootstrap) as written:
        for step in range(40):
            for partition, lane in enumerate(lanes):
                written.put(name, partition, lane, numbered(50, first=step * 50), step * 50)
            await asyncio.sleep(0)
        await written.flushed()
        assert all(written.delivered[lane] == [*range(2000)] for lane in lanes)
        assert written.producers.count == 1
    values = await _values(broker.bootstrap, name)
    assert values == {n: [b"%d" % number for number in range(2000)] for n in range(12)}


@pytest.mark.chaos
@pytest.mark.needs("nodes")
async def test_a_broker_that_stands_still_for_6_s_costs_no_order_no_record_and_no_duplicate(
    own_broker, topic
):
    """With requests that time out after 3 s, so that every one under way is sent again."""
    name = await topic(partitions=4)
    lanes = [Lane() for _ in range(4)]
    async with writing(own_broker.bootstrap, request_timeout_ms=3000) as written:
        put = 0

        def more() -> None:
            nonlocal put
            for partition, lane in enumerate(lanes):
                written.put(name, partition, lane, numbered(100, first=put), put)
            put += 100

        for _ in range(10):
            more()
        await asyncio.sleep(0.01)  # some are under way
        (node,) = own_broker.nodes
        node.freeze()
        frozen_at = time.monotonic()
        while time.monotonic() - frozen_at < 6:
            more()
            await asyncio.sleep(0.2)
        node.thaw()
        more()
        await written.flushed(90)
        assert all(written.delivered[lane] == [*range(put)] for lane in lanes)
    values = await _values(own_broker.bootstrap, name)
    assert values == {n: [b"%d" % number for number in range(put)] for n in range(4)}


@pytest.mark.chaos
async def test_a_batch_whose_leader_dies_and_has_no_follower_is_written_once(cluster):
    """A sink of one replica whose node is down for longer than a request may take: what was under
    way is repeated by the producer that has it, and no other writes it again."""
    name, lane = f"leaderless-{time.monotonic_ns()}", Lane()
    await create_topic(cluster.bootstrap, name, 1, min_insync_replicas="1")
    put = 0
    async with writing(cluster.bootstrap, request_timeout_ms=3000) as written:

        async def more(seconds: float) -> None:
            nonlocal put
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                written.put(name, 0, lane, numbered(20, first=put), put)
                put += 20
                await asyncio.sleep(0.002)

        await more(0.5)
        await written.flushed()
        adding = asyncio.ensure_future(more(2))
        await asyncio.sleep(0.2)
        node = cluster.nodes[await leader_of(cluster, name, 0)]
        await asyncio.to_thread(node.kill)
        await adding
        await asyncio.sleep(10)  # given up after 3 s; a batch would be after another 3 s
        await asyncio.to_thread(node.start)
        await written.flushed(90)
        assert written.delivered[lane] == [*range(put)]
        assert written.producers.count == 1
    values = await _values(cluster.bootstrap, name)
    assert values == {0: [b"%d" % n for n in range(put)]}


async def test_only_the_timestamps_that_the_broker_refuses_become_now(broker, topic):
    """A source record from 3 h in the future, in a sink that keeps timestamps (`CreateTime`)."""
    name = await topic(partitions=2, configs={"message.timestamp.type": "CreateTime"})
    now = int(time.time() * 1000)
    own = now - 60_000
    records = numbered(100, timestamp_ms=own)
    for number in (7, 50, 51):
        records[number] = (None, b"%d" % number, (), now + 3 * HOUR_MS)
    bad, other = Lane(), Lane()
    async with writing(broker.bootstrap) as written:
        written.put(name, 0, bad, records)
        written.put(name, 1, other, numbered(100, timestamp_ms=own))
        await written.flushed()
        later = now + HOUR_MS // 2  # half an hour ahead is accepted, also after a refusal
        written.put(name, 0, bad, numbered(20, first=100, timestamp_ms=later), 100)
        await written.flushed()
        assert written.delivered[bad] == [*range(120)]
        assert written.producers.count <= 12
    found = [r for r in await read(broker.bootstrap, [name]) if r.partition == 0]
    assert [r.value for r in found] == [b"%d" % n for n in range(120)]
    changed = [n for n, r in enumerate(found) if r.timestamp not in (own, later)]
    assert changed == [7, 50, 51]
    assert all(abs(found[n].timestamp - now) < 60_000 for n in changed)
    assert (await _values(broker.bootstrap, name))[1] == [b"%d" % n for n in range(100)]


async def test_a_timestamp_that_is_too_old_for_the_sink_becomes_now(broker, topic):
    name = await topic(
        configs={
            "message.timestamp.type": "CreateTime",
            "message.timestamp.before.max.ms": str(HOUR_MS),
        }
    )
    now = int(time.time() * 1000)
    records = numbered(30, timestamp_ms=now)
    records[3] = (None, b"3", (), now - 24 * HOUR_MS)
    async with writing(broker.bootstrap) as written:
        written.put(name, 0, Lane(), records)
        await written.flushed(20)
        assert written.producers.count <= 10
    found = await read(broker.bootstrap, [name])
    assert [r.value for r in found] == [b"%d" % n for n in range(30)]
    assert abs(found[3].timestamp - now) < 60_000


async def test_a_source_whose_clock_is_wrong_does_not_cost_a_producer_for_each_record(
    broker, topic
):
    name = await topic(configs={"message.timestamp.type": "CreateTime"})
    ahead = int(time.time() * 1000) + 3 * HOUR_MS
    records = [(None, b"%d" % n, (), ahead + n) for n in range(500)]
    async with writing(broker.bootstrap) as written:
        written.put(name, 0, Lane(), records)
        await written.flushed()
        assert written.producers.count <= 15
    assert len(await read(broker.bootstrap, [name])) == 500


async def test_a_record_that_is_too_large_is_handed_back_and_its_neighbours_are_written(
    broker, topic
):
    """Also where a whole batch of small ones is together above `max.message.bytes`; what was
    learned of it is kept, so that batches stay as large as they may be."""
    name = await topic(configs={"max.message.bytes": "20000"})
    records = [(None, b"%04d" % n + b"x" * 1000, (), None) for n in range(500)]
    records[123] = (None, b"x" * 30_000, (), None)
    lane = Lane()
    async with writing(broker.bootstrap) as written:
        written.put(name, 0, lane, records)
        await written.flushed()
        others = [n for n in range(500) if n != 123]
        assert written.too_large == [123]
        assert written.delivered[lane] == others
        assert written.producers.count <= 8
    found = await read(broker.bootstrap, [name])
    assert [int(r.value[:4]) for r in found] == others


async def test_a_record_larger_than_a_segment_of_its_topic_is_handed_back(broker, topic):
    """RECORD_LIST_TOO_LARGE, where `max.message.bytes` would have let it pass."""
    name = await topic(configs={"max.message.bytes": "4000000", "segment.bytes": "1048576"})
    records = numbered(30)
    records[7] = (None, b"x" * 1_500_000, (), None)
    lane = Lane()
    async with writing(broker.bootstrap) as written:
        written.put(name, 0, lane, records)
        await written.flushed(20)
        assert written.too_large == [7]
    found = await read(broker.bootstrap, [name])
    assert [int(r.value) for r in found] == [n for n in range(30) if n != 7]


async def test_a_sink_that_is_deleted_and_made_again_gets_what_came_meanwhile(
    broker, topic, caplog
):
    """A sink that is gone pauses its task; the log does not flood."""
    name = await topic(partitions=2)
    lane = Lane()
    async with writing(
        broker.bootstrap, request_timeout_ms=3000, metadata_max_age_ms=1000
    ) as written:
        # A producer that knows already that the topic is gone says nothing for so long.
        written.sink.lookup_timeout_s = 5.0
        written.put(name, 1, lane, numbered(10))
        await written.flushed()
        await delete_topic(broker.bootstrap, name)
        written.put(name, 1, lane, numbered(10, first=10), 10)

        async def said() -> bool:
            ours = [r.getMessage() for r in caplog.records if r.name.startswith("streams")]
            return any(name in message for message in ours)

        await eventually(said, 30)
        await create_topic(broker.bootstrap, name, 2)
        written.put(name, 1, lane, numbered(10, first=20), 20)
        await written.flushed(60)
        assert written.delivered[lane] == [*range(30)]
    values = await _values(broker.bootstrap, name)
    assert values[1] == [b"%d" % n for n in range(10, 30)]
    ours = [r for r in caplog.records if r.name.startswith("streams")]
    assert len(ours) <= 6, [r.getMessage() for r in ours]


async def test_a_sink_whose_limit_was_lowered_meanwhile_is_learned_anew(broker, topic):
    name = await topic()
    lane = Lane()
    records = [(None, b"%04d" % n + b"x" * 1000, (), None) for n in range(200)]
    async with writing(broker.bootstrap) as written:
        written.put(name, 0, lane, records)
        await written.flushed()
        await set_topic(broker.bootstrap, name, {"max.message.bytes": "9000"})
        written.put(name, 0, lane, records, 200)
        await written.flushed()
        assert written.delivered[lane] == [*range(400)]
    found = [int(r.value[:4]) for r in await read(broker.bootstrap, [name])]
    assert found == [*range(200), *range(200)]
    assert all(a + 1 == b for a, b in pairwise(found[200:]))
