"""A source that is compacted under transactions: gaps where records were, markers between them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.jobs.judge import outcome_of
from tests.integration.harness import eventually, read, verdict
from tests.integration.running import done, item, worker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.needs("transactions", "compaction", "version_4"),
]

KEYS = 20
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.0",
    "max.compaction.lag.ms": "500",
    "delete.retention.ms": "0",
}


async def _readable(bootstrap: str, source: str) -> list[Any]:
    """What a consumer that reads what is committed sees of partition 0."""
    partition = TopicPartition(source, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning()
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[Any] = []
        while await consumer.position(partition) < end:
            found += (await consumer.getmany(partition, timeout_ms=500)).get(partition, [])
        return found
    finally:
        await consumer.stop()


async def test_gaps_of_compaction_and_markers_of_transactions_stall_and_skip_nothing(broker, topic):
    """Each record that is left has its one outcome, in order; what was aborted or superseded has
    none; the commit reaches the end."""
    source = await topic(configs=COMPACTED)
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, transactional_id=f"{source}-producer"
    )
    await producer.start()
    sent = 0

    async def transaction(*, aborted: bool) -> None:
        nonlocal sent
        await producer.begin_transaction()
        for n in range(KEYS):
            key = b"key %d" % n
            value = None if n % 7 == 6 and sent % 40 == 0 else item(sent)
            await producer.send(source, value, key=key, partition=0)
            sent += 1
        await (producer.abort_transaction() if aborted else producer.commit_transaction())

    async def compacted() -> bool:
        await transaction(aborted=False)  # rolls the segment: the last one is never compacted
        await asyncio.sleep(0.3)
        return len(await read(broker.bootstrap, [source])) < sent // 2

    try:
        for round_ in range(10):
            await transaction(aborted=round_ % 3 == 1)
            await asyncio.sleep(0.25)
        await eventually(compacted, 90, lambda: f"{sent} records and no gap")
        await transaction(aborted=True)
        await transaction(aborted=False)
    finally:
        await producer.stop()
    before = await _readable(broker.bootstrap, source)
    offsets = [record.offset for record in before]
    assert len(offsets) < offsets[-1] - offsets[0], "nothing is missing between them"
    with worker(broker, source) as process:
        await done(broker, process, source, [offsets[-1] + 1])
        assert process.stop() == 0, process.log
    # Compaction goes on: what is there before and after was there for the worker.
    after = await _readable(broker.bootstrap, source)
    positions = [(0, record.offset) for record in after if record.value is not None]
    assert len(positions) >= KEYS // 2
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    done_at = {outcome.source_offset for r in found if (outcome := outcome_of(r)) is not None}
    assert done_at <= {record.offset for record in before if record.value is not None}
