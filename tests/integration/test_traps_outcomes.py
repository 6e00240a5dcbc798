"""Every outcome can be written: by a worker whose sink and dead-letter topic refuse timestamps and
sizes."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tests.integration.harness import create_topic, publish, read, topic_settings, verdict
from tests.integration.running import done, group_of, item, worker

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


async def _publish_at(bootstrap: str, topic: str, values: list[tuple[bytes, int]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        sent = [await producer.send(topic, v, partition=0, timestamp_ms=t) for v, t in values]
        for each in sent:
            await each
    finally:
        await producer.stop()


def _headers(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


async def test_a_topic_that_refuses_timestamps_and_sizes_changes_no_other_outcome(broker, topic):
    """A source record from 3 h in the future; a result, a dead letter and a whole batch that are
    larger than `max.message.bytes`."""
    source = await topic(configs={"message.timestamp.after.max.ms": str(2**62)})
    small = {"max_message_bytes": "20000", "message_timestamp_type": "CreateTime"}
    await create_topic(broker.bootstrap, f"{source}.out", 1, **small)
    await create_topic(broker.bootstrap, f"{source}.dead", 1, **small)
    now = int(time.time() * 1000)
    own, ahead = now - 60_000, now + 3 * HOUR_MS
    large = "y" * 21_000
    values = [(item(n), own) for n in range(120)]
    values[5] = (item(5), ahead)
    values[10] = (item(10, result_bytes=30_000), own)
    values[20] = (item(20, large, refuse=True), own)
    values[30] = (item(30, large), own)  # its result is small
    values[40] = (item(40, refuse=True), ahead)
    await _publish_at(broker.bootstrap, source, values)
    with worker(broker, source, TEST_MAX_ITEMS="120") as process:
        await done(broker, process, source, [120])
        assert process.stop() == 0, process.log
    judged, found = await verdict(broker.bootstrap, source, [(0, n) for n in range(120)])
    assert judged == (0, 0, 0)
    results = {orjson.loads(r.value)["id"]: r for r in found if r.topic.endswith(".out")}
    dead = {int(_headers(r)["streams-source-offset"]): r for r in found if r.topic.endswith("dead")}

    assert set(dead) == {10, 20, 40}
    assert [n for n, r in results.items() if r.timestamp != own] == [5]
    assert abs(results[5].timestamp - now) < 10 * 60_000
    assert orjson.loads(results[5].value)["source"]["timestamp_ms"] == ahead
    assert abs(dead[40].timestamp - now) < 10 * 60_000
    assert _headers(dead[40])["streams-source-timestamp-ms"] == str(ahead)
    assert _headers(dead[10])["streams-error-code"] == "result_too_large"
    assert dead[10].value == values[10][0]
    assert _headers(dead[20])["streams-error-code"] == "refused_by_test"
    assert _headers(dead[20])["streams-value-omitted"] == str(len(values[20][0]))
    assert dead[20].value is None


async def test_an_old_timestamp_does_not_let_retention_delete_a_fresh_result(broker, topic):
    """Sinks that we create are stamped by the broker, whatever the source keeps."""
    source = await topic(
        configs={"retention.ms": str(400 * DAY_MS), "message.timestamp.type": "CreateTime"}
    )
    now = int(time.time() * 1000)
    old = now - 300 * DAY_MS
    await _publish_at(broker.bootstrap, source, [(item(1), old), (item(2, refuse=True), old)])
    with worker(broker, source) as process:
        await done(broker, process, source, [2])
        assert process.stop() == 0, process.log
    result, dead = sorted(
        await read(broker.bootstrap, [f"{source}.out", f"{source}.dead"]),
        key=lambda r: r.topic,
        reverse=True,
    )
    for record in (result, dead):
        assert record.timestamp_type == 1
        assert abs(record.timestamp - now) < 10 * 60_000
        settings = await topic_settings(broker.bootstrap, record.topic)
        assert settings.settings["message.timestamp.type"] == "LogAppendTime"
    assert orjson.loads(result.value)["source"]["timestamp_ms"] == old
    assert _headers(dead)["streams-source-timestamp-ms"] == str(old)


async def test_a_dead_letter_topic_of_a_compacted_source_takes_records_without_a_key(broker, topic):
    """`InvalidRecord` otherwise; and a sink as the source is would be compacted: keys stay."""
    source = await topic(configs={"cleanup.policy": "compact,delete"})
    records = [(b"k%d" % n, item(n, refuse=n == 1), 0) for n in range(3)]
    positions = await publish(broker.bootstrap, source, records)
    with worker(broker, source) as process:
        await done(broker, process, source, [3])
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    dead = await topic_settings(broker.bootstrap, f"{source}.dead")
    assert "compact" not in dead.settings.get("cleanup.policy", "")
    assert group_of(source)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_result_without_a_key_does_not_hold_up_a_compacted_sink(broker, topic, guarantee):
    """The broker refuses a whole batch for it (INVALID_RECORD), whose code aiokafka does not know:
    everything behind it would wait for ever."""
    source = await topic()
    await create_topic(broker.bootstrap, f"{source}.out", 1, cleanup_policy="compact")
    records = [(None if n % 3 == 1 else b"k%d" % n, item(n), 0) for n in range(60)]
    positions = await publish(broker.bootstrap, source, records)
    with worker(broker, source, settings=f'guarantee = "{guarantee}"') as process:
        await done(broker, process, source, [60])
        assert process.stop() == 0, process.log
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    dead = {
        int(_headers(record)["streams-source-offset"]): _headers(record)["streams-error-code"]
        for record in found
        if record.topic.endswith(".dead")
    }
    assert dead == {n: "no_key" for n in range(60) if n % 3 == 1}


async def test_a_dead_letter_topic_that_is_compacted_ends_the_worker_with_a_line(broker, topic):
    source = await topic()
    await create_topic(broker.bootstrap, f"{source}.dead", 1, cleanup_policy="compact")
    with worker(broker, source) as process:
        assert process.wait(60) == 1
        assert f"the topic {source}.dead is compacted" in process.log
        assert "Traceback" not in process.log
