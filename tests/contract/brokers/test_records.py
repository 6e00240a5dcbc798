"""What goes into a topic comes out of it, in order."""

from __future__ import annotations

import random

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import OffsetOutOfRangeError

from tests.contract.brokers.clients import consuming, partition, producing, send, take, values
from tests.integration.topics import until_led


async def test_a_topic_has_the_partitions_it_was_created_with(broker, topic):
    name = await topic(partitions=5)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([name])
    finally:
        await admin.close()
    assert sorted(part["partition"] for part in described["partitions"]) == [0, 1, 2, 3, 4]


async def test_creating_a_topic_again_says_that_it_exists(broker, topic):
    name = await topic()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()
    assert [error[1] for error in answer.topic_errors] == [36]


@pytest.mark.needs("version_4")
async def test_a_topic_is_not_made_by_mentioning_it(broker):
    async with consuming(broker.bootstrap) as consumer:
        assert not consumer.partitions_for_topic("misspelt")
        consumer.assign([partition("misspelt")])
        await consumer.getmany(timeout_ms=500)
        assert "misspelt" not in await consumer.topics()


async def test_records_of_a_partition_keep_their_order(broker, topic, seed):
    """Sizes from 0 bytes to 20 kB, several batches."""
    draw = random.Random(seed)
    name = await topic()
    payloads = [draw.randbytes(draw.choice([0, 1, 100, 20_000])) for _ in range(2000)]
    await send(broker.bootstrap, name, payloads)
    assert await values(broker.bootstrap, name, len(payloads)) == payloads


async def test_partitions_are_apart(broker, topic):
    name = await topic(partitions=3)
    for number in range(3):
        await send(broker.bootstrap, name, [b"%d" % number] * 10, partition=number)
    async with consuming(broker.bootstrap, name) as consumer:
        records = await take(consumer, 30)
    assert all(record.value == b"%d" % record.partition for record in records)


async def test_key_headers_and_timestamp_are_kept(broker, topic):
    """Null keys, null values, empty and repeated headers, a null header, a time long ago."""
    name = await topic()
    headers = [("a", b"1"), ("a", b""), ("b", None), ("ünï", b"\x00\xff")]
    async with producing(broker.bootstrap) as producer:
        for key, value in ((b"\x00k", b"v"), (None, b"v"), (b"k", None)):
            await producer.send_and_wait(
                name, value, key=key, partition=0, timestamp_ms=1_500_000_000_123, headers=headers
            )
    async with consuming(broker.bootstrap, name) as consumer:
        records = await take(consumer, 3)
    assert [(r.key, r.value) for r in records] == [(b"\x00k", b"v"), (None, b"v"), (b"k", None)]
    assert all(list(record.headers) == headers for record in records)
    assert all(record.timestamp == 1_500_000_000_123 for record in records)


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_compressed_batches_come_out_as_they_went_in(broker, topic, codec):
    name = await topic()
    async with producing(broker.bootstrap, compression_type=codec) as producer:
        await producer.send_and_wait(name, b"text " * 1000, partition=0)
    assert await values(broker.bootstrap, name, 1) == [b"text " * 1000]


async def test_a_record_of_900_kB_passes(broker, topic):
    name = await topic()
    await send(broker.bootstrap, name, [b"x" * 900_000])
    assert await values(broker.bootstrap, name, 1) == [b"x" * 900_000]


async def test_seek_goes_back(broker, topic):
    name = await topic()
    await send(broker.bootstrap, name, [b"%d" % n for n in range(100)])
    async with consuming(broker.bootstrap) as consumer:
        consumer.assign([partition(name)])
        consumer.seek(partition(name), 42)
        assert [record.offset for record in await take(consumer, 58)] == list(range(42, 100))


async def test_the_high_watermark_of_a_fetch_is_the_end(broker, topic):
    """The embedded broker too: this is what lag and `tail` go by."""
    name = await topic()
    async with producing(broker.bootstrap) as producer:
        for size in (1, 10, 100):
            batch = producer.create_batch()
            for _ in range(size):
                batch.append(key=None, value=b"v", timestamp=None)
            await (await producer.send_batch(batch, name, partition=0))
    async with consuming(broker.bootstrap, name) as consumer:
        await take(consumer, 111)
        assert consumer.highwater(partition(name)) == 111


@pytest.mark.needs("end_offsets")
async def test_end_offsets_count_every_record_of_a_batch(broker, topic):
    name = await topic()
    await send(broker.bootstrap, name, [b"v"] * 111)
    async with consuming(broker.bootstrap) as consumer:
        assert await consumer.end_offsets([partition(name)]) == {partition(name): 111}


@pytest.mark.needs("time_lookup")
async def test_offsets_are_found_by_the_records_time(broker, topic):
    name = await topic()
    async with producing(broker.bootstrap) as producer:
        for n in range(100):
            await producer.send(name, b"v", partition=0, timestamp_ms=1_700_000_000_000 + n)
    async with consuming(broker.bootstrap) as consumer:
        found = await consumer.offsets_for_times({partition(name): 1_700_000_000_050})
        assert found[partition(name)].offset == 50
        late = await consumer.offsets_for_times({partition(name): 1_800_000_000_000})
        assert late[partition(name)] is None


@pytest.mark.needs("create_partitions")
async def test_a_topic_can_grow(broker, topic):
    name = await topic(partitions=1)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_partitions({name: NewPartitions(3)})
        await until_led(admin, name, 3)
        (described,) = await admin.describe_topics([name])
    finally:
        await admin.close()
    assert len(described["partitions"]) == 3


@pytest.mark.needs("out_of_range")
async def test_a_position_outside_the_log_is_an_error(broker, topic):
    name = await topic()
    await send(broker.bootstrap, name, [b"v"])
    async with consuming(broker.bootstrap, auto_offset_reset="none") as consumer:
        consumer.assign([partition(name)])
        consumer.seek(partition(name), 1000)
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getone()
