"""Exactly once on real Kafka: whoever reads committed records sees each outcome once, in order."""

from __future__ import annotations

import random
import signal
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from streams.jobs.judge import Verdict
from tests.integration.harness import (
    committed,
    create_topic,
    eventually,
    items,
    publish,
    verdict,
)
from tests.integration.running import done, group_of, item, logged, worker

pytestmark = [pytest.mark.kafka, pytest.mark.needs("transactions")]

HOUR_MS = 3_600_000
EXACTLY_ONCE = 'guarantee = "exactly_once"'
ONCE = Verdict(lost=0, duplicated=0, out_of_order=0)


def exact(broker, *sources, settings="", **variables):
    return worker(broker, *sources, settings=f"{EXACTLY_ONCE}\n{settings}", **variables)


async def judged(broker, source, positions) -> Verdict:
    found, _ = await verdict(broker.bootstrap, source, positions, isolation="read_committed")
    return found


async def test_results_dead_letters_drops_and_offsets_leave_together(broker, topic):
    """Also offsets that move without an outcome, at the end of a partition."""
    source = await topic(partitions=3)
    records = [(None, item(n, refuse=n % 7 == 3), n % 3) for n in range(300)]
    records[10] = (None, b"{broken", 1)
    positions = await publish(broker.bootstrap, source, records)
    with exact(broker, source) as process:
        await done(broker, process, source, [100] * 3)
        assert process.stop() == 0, process.log
        assert process.summary["items"] == 300
    assert await judged(broker, source, positions) == ONCE


@pytest.mark.chaos
async def test_workers_that_are_killed_repeat_nothing(broker, topic, seed):
    """Two workers on twelve partitions, four kills on the way."""
    chance = random.Random(seed)
    source = await topic(partitions=12)
    positions = await publish(broker.bootstrap, source, items(12_000, 12))

    async def done_more_than(count: int) -> bool:
        return sum(await committed(broker.bootstrap, group_of(source), source, 12)) > count

    contexts = [exact(broker, source, TEST_CALL_S="0.05") for _ in range(6)]
    running = [(context, context.__enter__()) for context in contexts[:2]]
    try:
        for kill in range(4):
            goal = 12_000 * (kill + 1) // 6
            await eventually(lambda goal=goal: done_more_than(goal), 90, lambda: running[0][1].log)
            context, victim = running.pop(chance.randrange(2))
            victim.signal(signal.SIGKILL)
            victim.wait(10)
            context.__exit__(None, None, None)
            running.append((contexts[kill + 2], contexts[kill + 2].__enter__()))
        await eventually(lambda: done_more_than(11_999), 120, lambda: running[0][1].log)
        for _, process in running:
            await logged(process, "reading")  # the newest may only just have come
        assert [process.stop() for _, process in running] == [0, 0]
    finally:
        for context, _ in running:
            context.__exit__(None, None, None)
    assert await judged(broker, source, positions) == ONCE


async def test_a_worker_that_is_fenced_by_a_stranger_writes_again_without_a_second_call(
    broker, topic, tmp_path
):
    """Whoever starts a producer of the same name ends what the worker had pending."""
    source, called = await topic(), tmp_path / "called"
    positions = await publish(broker.bootstrap, source, items(40, 1))
    variables = {"TEST_CALLED": str(called), "TEST_MAX_ITEMS": "10"}
    with exact(broker, source, **variables) as process:
        await done(broker, process, source, [40])
        stranger = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap,
            transactional_id=f"{group_of(source)}/{source}/0",
        )
        await stranger.start()
        await stranger.stop()
        positions += await publish(broker.bootstrap, source, items(40, 1))
        await done(broker, process, source, [80])
        assert process.stop() == 0, process.log
    assert await judged(broker, source, positions) == ONCE
    assert len(called.read_text().split()) == 80


async def test_a_new_owner_does_not_read_an_offset_that_a_pending_transaction_is_about_to_move(
    broker, topic
):
    """aiokafka does not ask for stable offsets: the predecessor's transaction must end first."""
    source = await topic()
    positions = await publish(broker.bootstrap, source, items(20, 1))
    with exact(broker, source) as process:
        await done(broker, process, source, [20])
        assert process.stop() == 0, process.log
    dead = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, transactional_id=f"{group_of(source)}/{source}/0"
    )
    await dead.start()
    await dead.begin_transaction()
    await dead.send_offsets_to_transaction({TopicPartition(source, 0): 5}, group_of(source))
    try:
        positions += await publish(broker.bootstrap, source, items(20, 1))
        with exact(broker, source) as process:
            await done(broker, process, source, [40])
            assert process.stop() == 0, process.log
    finally:
        await dead.stop()
    assert await judged(broker, source, positions) == ONCE


async def test_outcomes_that_topics_refuse_leave_in_their_places(broker, topic):
    """A transaction with a result too large or a time refused is given up, and written again from
    memory, with another outcome."""
    source = await topic(configs={"message.timestamp.after.max.ms": str(24 * HOUR_MS)})
    out = f"{source}.out"
    await create_topic(broker.bootstrap, out, 1, max_message_bytes="20000")
    records = [(None, item(n, result_bytes=50_000 * (n % 10 == 5)), 0) for n in range(40)]
    positions = await publish(broker.bootstrap, source, records[:20])
    ahead_ms = int(time.time() * 1000) + 2 * HOUR_MS
    positions += await publish_at(broker, source, records[20:], ahead_ms)
    with exact(broker, source, TEST_MAX_ITEMS="20") as process:
        await done(broker, process, source, [40])
        assert process.stop() == 0, process.log
    found, outcomes = await verdict(broker.bootstrap, source, positions, isolation="read_committed")
    assert found == ONCE
    dead = [record for record in outcomes if record.topic.endswith(".dead")]
    assert {dict(record.headers)["streams-error-code"] for record in dead} == {b"result_too_large"}
    assert len(dead) == 4


async def publish_at(broker, source, records, timestamp_ms: int) -> list[tuple[int, int]]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        sent = [
            await producer.send_and_wait(source, value, partition=n, timestamp_ms=timestamp_ms)
            for _, value, n in records
        ]
    finally:
        await producer.stop()
    return [(each.partition, each.offset) for each in sent]
