"""The usual echo on bare aiokafka: consume, `await producer.send` per item, automatic commits.

Sends to the partition each record came from, which saves it the partitioner. With `--batches`, one
`create_batch` / `send_batch` per list of records instead, the cheapest way that aiokafka has.
"""

from __future__ import annotations

import asyncio
import os
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

BATCH_BYTES = 256 * 1024


async def send_each(producer: AIOKafkaProducer, topic: str, lists: dict) -> None:
    for records in lists.values():
        for record in records:
            await producer.send(topic, record.value, record.key, record.partition)


async def send_batches(producer: AIOKafkaProducer, topic: str, lists: dict) -> None:
    for records in lists.values():
        batch = producer.create_batch()
        partition = records[0].partition
        for record in records:
            if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                await producer.send_batch(batch, topic, partition=partition)
                batch = producer.create_batch()
                batch.append(key=record.key, value=record.value, timestamp=None)
        await producer.send_batch(batch, topic, partition=partition)


async def main(send, **keywords) -> None:
    server, sink = os.environ["BENCH_BROKER"], os.environ["BENCH_SINK"]
    consumer = AIOKafkaConsumer(
        os.environ["BENCH_SOURCE"],
        bootstrap_servers=server,
        group_id=os.environ["BENCH_GROUP"],
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=server, **keywords)
    await producer.start()
    await consumer.start()
    while True:
        await send(producer, sink, await consumer.getmany(timeout_ms=1000))


if __name__ == "__main__":
    if sys.argv[1:] == ["--batches"]:
        asyncio.run(main(send_batches, max_batch_size=BATCH_BYTES))
    else:
        asyncio.run(main(send_each))
