"""The main job on real Kafka: what goes in comes out, in its place, in its form."""

from __future__ import annotations

import json

import orjson
import pytest
from aiokafka.partitioner import DefaultPartitioner

from tests.integration.harness import (
    WorkerProcess,
    committed,
    create_topic,
    eventually,
    publish,
    read,
    topic_settings,
    verdict,
)

pytestmark = pytest.mark.kafka


async def _run(broker, source: str, partitions: int, expected: int, **settings) -> list:
    """Run a worker until it has committed `expected` items; what its topics hold then."""
    group = f"{source}-group"
    worker = WorkerProcess(
        broker.bootstrap,
        group,
        variables={"TEST_SOURCE": source, **settings.pop("variables", {})},
        **settings,
    )
    try:

        async def done() -> bool:
            offsets = await committed(broker.bootstrap, group, source, partitions)
            return sum(offsets) >= expected

        await eventually(done, 60, lambda: worker.log)
        assert worker.stop() == 0, worker.log
    finally:
        worker.close()
    return await read(broker.bootstrap, [f"{source}.out", f"{source}.dead"])


def _value(number: int, text: str = "some text") -> bytes:
    return orjson.dumps({"id": number, "text": text})


async def test_every_item_has_one_outcome_in_its_place(broker, topic):
    """Results in the source's partition and order, dead letters beside them, drops nowhere."""
    source = await topic(partitions=3)
    texts = ["fine", "refuse me", "drop me", "raise", "fine"]
    records = [(None, _value(n, texts[n % 5]), n % 3) for n in range(300)]
    records[7] = (b"k", b"{broken", 1)
    positions = await publish(broker.bootstrap, source, records)
    found = await _run(broker, source, 3, 300)
    judged, _ = await verdict(broker.bootstrap, source, positions)
    results = [record for record in found if record.topic.endswith(".out")]
    dead = [record for record in found if record.topic.endswith(".dead")]
    codes = [dict(record.headers)["streams-error-code"].decode() for record in dead]
    dropped = sum(1 for n in range(300) if n != 7 and texts[n % 5] == "drop me")
    assert judged.lost == dropped
    assert (judged.duplicated, judged.out_of_order) == (0, 0)
    assert all(json.loads(r.value)["source"]["partition"] == r.partition for r in results)
    assert codes.count("function_error") == 60
    assert codes.count("refused_by_test") == 60
    assert codes.count("invalid_json") == 1
    assert [r.value for r in dead if dict(r.headers)["streams-error-code"] == b"invalid_json"] == [
        b"{broken"
    ]


async def test_key_headers_and_timestamp_of_the_source_are_kept(broker, topic):
    source = await topic(partitions=1)
    await publish(broker.bootstrap, source, [(b"\x00key", _value(1), 0)])
    (record,) = await _run(broker, source, 1, 1)
    envelope = json.loads(record.value)
    (original,) = await read(broker.bootstrap, [source])
    assert record.key == b"\x00key"
    assert envelope["source"] == {
        "topic": source,
        "partition": 0,
        "offset": 0,
        "timestamp_ms": original.timestamp,
    }
    assert envelope["id"] == 1
    assert envelope["result"] == {"offset": 0, "characters": 9}
    assert envelope["attempts"] == 1
    assert envelope["batch"]["index"] == 0


async def test_with_other_partition_counts_a_key_goes_where_kafka_puts_it(broker, topic):
    """By murmur2 of the key as the Java client; keyless items by source partition mod count."""
    source = await topic(partitions=4)
    await create_topic(broker.bootstrap, f"{source}.out", 3)
    records = [(b"key-%d" % (n % 7), _value(n), n % 4) for n in range(80)]
    records += [(None, _value(1000 + n), n % 4) for n in range(40)]
    await publish(broker.bootstrap, source, records)
    found = await _run(broker, source, 4, 120)
    expected = DefaultPartitioner()
    last: dict[tuple, int] = {}
    for record in found:
        envelope = json.loads(record.value)
        partition = envelope["source"]["partition"]
        if record.key is None:
            assert record.partition == partition % 3
        else:
            assert record.partition == expected(record.key, [0, 1, 2], [0, 1, 2])
        place = (partition, record.partition)
        assert envelope["source"]["offset"] > last.get(place, -1)
        last[place] = envelope["source"]["offset"]
    assert len(found) == 120


async def test_merge_mode_keeps_the_sources_own_bytes(broker, topic):
    source = await topic(partitions=1)
    raw = b'{"text": "a", "n": 1.10, "big": 123456789012345678901234, "n": 2.0}'
    await publish(broker.bootstrap, source, [(None, raw, 0)])
    (record,) = await _run(broker, source, 1, 1, variables={"TEST_MODE": "merge"})
    assert record.value.startswith(raw[:-1])
    assert json.loads(record.value)["enrichment"] == {"measure": {"offset": 0, "characters": 1}}


async def test_a_tombstone_is_forwarded_without_a_call(broker, topic):
    source = await topic(partitions=1)
    await publish(broker.bootstrap, source, [(b"gone", None, 0), (b"here", _value(2), 0)])
    tombstone, result = await _run(broker, source, 1, 2)
    assert (tombstone.key, tombstone.value) == (b"gone", None)
    assert json.loads(result.value)["batch"]["size"] == 1


async def test_an_ordinary_agent_works_in_the_same_app(broker, topic):
    source, agents = await topic(partitions=2), await topic(partitions=2)
    await create_topic(broker.bootstrap, f"{agents}.out", 2)
    positions = await publish(
        broker.bootstrap, source, [(None, _value(n), n % 2) for n in range(100)]
    )
    await publish(broker.bootstrap, agents, [(None, b"message %d" % n, n % 2) for n in range(20)])
    worker = WorkerProcess(
        broker.bootstrap,
        f"{source}-group",
        variables={"TEST_SOURCE": source, "TEST_AGENT_TOPIC": agents},
    )
    try:

        async def both_done() -> bool:
            seen = await read(broker.bootstrap, [f"{agents}.out", f"{source}.out"])
            return len(seen) >= 120

        await eventually(both_done, 60, lambda: worker.log)
        assert worker.stop() == 0, worker.log
    finally:
        worker.close()
    judged, _ = await verdict(broker.bootstrap, source, positions)
    seen = {record.value for record in await read(broker.bootstrap, [f"{agents}.out"])}
    assert judged == (0, 0, 0)
    assert seen == {b"seen message %d" % n for n in range(20)}


async def test_sinks_are_created_as_the_source_is(broker, topic):
    """Same partitions; the broker stamps the time of writing."""
    source = await topic(partitions=5, configs={"retention.ms": "7200000"})
    await publish(broker.bootstrap, source, [(None, _value(1), 3)])
    (record,) = await _run(broker, source, 5, 1)
    settings = await topic_settings(broker.bootstrap, f"{source}.out")
    assert record.partition == 3
    assert settings.partitions == 5
    assert settings.settings["message.timestamp.type"] == "LogAppendTime"
    assert settings.settings["retention.ms"] == "7200000"
    assert record.timestamp_type == 1
