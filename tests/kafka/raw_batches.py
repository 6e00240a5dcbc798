"""Record batches of format 2 byte by byte, also such as no honest client writes."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

from aiokafka import TopicPartition, codec
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c

from streams.kafka.record_batch import HEADER
from tests.contract.brokers.clients import producing

COMPRESS = {
    0: bytes,
    1: codec.gzip_encode,
    2: codec.snappy_encode,
    3: codec.lz4_encode,
    4: codec.zstd_encode,
}

NOT_YET = (3, 5, 6)
"""Codes of a topic that was just created: unknown, without a leader, another node leads it."""

RawHeaders = Sequence[tuple[bytes, bytes | None]]


def varint(number: int) -> bytes:
    """A zigzag varint."""
    value, found = (number << 1) ^ (number >> 63), bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def content(raw: bytes | None) -> bytes:
    return varint(-1) if raw is None else varint(len(raw)) + raw


def body(
    delta: int,
    value: bytes | None,
    headers: RawHeaders = (),
    key: bytes | None = None,
    tail: bytes = b"",
) -> bytes:
    """A record without its length; `tail`: bytes behind its headers."""
    names = b"".join(content(name) + content(each) for name, each in headers)
    parts = varint(0) + varint(delta) + content(key) + content(value) + varint(len(headers))
    return b"\0" + parts + names + tail


def framed(raw: bytes) -> bytes:
    return varint(len(raw)) + raw


def batch(
    records: Sequence[bytes],
    *,
    base: int = 0,
    compression: int = 0,
    attributes: int = 0,
    count: int | None = None,
    last_delta: int | None = None,
    behind: bytes = b"",
    data: bytes | None = None,
    wrong_checksum: bool = False,
    timestamp: int = 1_700_000_000_000,
) -> bytes:
    """A batch of these records, each with its length in front. `count`, `last_delta`: what the
    header says instead of the truth. `behind`: bytes behind the records. `data`: in place of the
    compressed records."""
    if data is None:
        data = COMPRESS[compression](b"".join(records) + behind)
    number = len(records) if count is None else count
    last = len(records) - 1 if last_delta is None else last_delta
    stamps = (timestamp, timestamp, -1, -1, -1)
    head = HEADER.pack(
        base, HEADER.size - 12 + len(data), 0, 2, 0, attributes | compression, last, *stamps, number
    )
    raw = bytearray(head + data)
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])) ^ wrong_checksum)
    return bytes(raw)


async def produce(bootstrap: str, topic: str, partition: int, raw: bytes) -> int:
    """Send a batch as it is; returns the error code of the answer."""
    async with producing(bootstrap) as producer:
        await producer.partitions_for(topic)
        request = ProduceRequest(None, -1, 10_000, [(topic, [(partition, raw)])])
        async with asyncio.timeout(20):
            while True:
                leader = producer.client.cluster.leader_for_partition(
                    TopicPartition(topic, partition)
                )
                response = await producer.client.send(leader, request)
                code = int(response.topics[0][1][0][1])
                if code not in NOT_YET:
                    return code
                await producer.client.force_metadata_update()
