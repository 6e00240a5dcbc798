"""Logs that are damaged on the broker's disk: the worker delivers what stands before the damage,
reads the other partitions meanwhile, and ends with a line that names the place."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from typing import Any

import pytest
from aiokafka.record.util import calc_crc32c

from streams.kafka.consume.fetched_records import allow_any_record
from tests.cli.command import streams
from tests.integration.harness import committed, read
from tests.integration.running import done, group_of, item, worker
from tests.kafka.raw_batches import batch, body, framed, produce

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

FIRST, SECOND = 20, 10


def _damage_checksum(log: bytearray, at: int) -> None:
    log[at + 100] ^= 0xFF


def _damage_record(log: bytearray, at: int) -> None:
    """The last record says that it has a header, in a batch with the right checksum."""
    end = at + 12 + struct.unpack_from(">i", log, at + 8)[0]
    assert log[end - 1] == 0
    log[end - 1] = 2
    struct.pack_into(">I", log, at + 17, calc_crc32c(bytes(log[at + 21 : end])))


async def _source(own_broker: Any, topic: Any, damage: Any) -> str:
    """Two partitions; of the first one, a second batch that is damaged, and a third."""
    source: str = await topic(partitions=2)
    for partition, counts in ((0, (FIRST, SECOND, SECOND)), (1, (FIRST,))):
        for count in counts:
            records = [framed(body(n, item(n))) for n in range(count)]
            raw = batch(records, timestamp=int(time.time() * 1000))
            assert await produce(own_broker.bootstrap, source, partition, raw) == 0
    node = own_broker.nodes[0]
    await asyncio.to_thread(node.stop)
    (path,) = (node.directory / "data" / f"{source}-0").glob("*.log")
    log = bytearray(path.read_bytes())
    damage(log, 12 + struct.unpack_from(">i", log, 8)[0])
    path.write_bytes(log)
    await asyncio.to_thread(node.start)
    return source


async def test_a_damaged_batch_ends_the_worker_when_what_stands_before_it_is_delivered(
    own_broker, topic
):
    source = await _source(own_broker, topic, _damage_checksum)
    line = f"error: offset {FIRST} of {source}/0 cannot be read: the checksum of its batch is wrong"
    with worker(own_broker, source, TEST_CALL_S="0.05") as process:
        assert process.wait(60) == 1, process.log
        assert line in process.log
        assert "Traceback" not in process.log
    found = await read(own_broker.bootstrap, [f"{source}.out", f"{source}.dead"])
    assert Counter(record.partition for record in found) == {0: FIRST, 1: FIRST}
    group = group_of(source)
    assert await committed(own_broker.bootstrap, group, source, 2) == [FIRST, FIRST]
    printed = await asyncio.to_thread(
        streams, "tail", source, "--json", "--broker", own_broker.bootstrap
    )
    assert printed.code == 1
    assert Counter(each["partition"] for each in printed.lines) == {0: FIRST, 1: FIRST}
    assert line in printed.err
    assert "Traceback" not in printed.err


async def test_a_broken_record_is_a_dead_letter_and_its_neighbours_have_results(own_broker, topic):
    allow_any_record()
    source = await _source(own_broker, topic, _damage_record)
    total = FIRST + 2 * SECOND
    with worker(own_broker, source) as process:
        await done(own_broker, process, source, [total])
        assert process.stop() == 0, process.log
    found = await read(own_broker.bootstrap, [f"{source}.out"])
    assert Counter(record.partition for record in found) == {0: total - 1, 1: FIRST}
    (dead,) = await read(own_broker.bootstrap, [f"{source}.dead"])
    facts = dict(dead.headers)
    assert facts["streams-error-code"] == b"invalid_record"
    assert facts["streams-source-offset"] == b"%d" % (FIRST + SECOND - 1)
    assert dead.value == item(SECOND - 1)
    printed = await asyncio.to_thread(streams, "tail", source, "--broker", own_broker.bootstrap)
    assert printed.code == 1
    assert f"offset {FIRST + SECOND - 1} of {source}/0 cannot be read" in printed.err


def _damage_offset(log: bytearray, at: int) -> None:
    """No checksum covers it; the broker passes over the batch."""
    struct.pack_into(">q", log, at, FIRST // 2)


async def test_offsets_that_the_broker_passes_over_are_named(own_broker, topic):
    """10 records were lost without a line."""
    source = await _source(own_broker, topic, _damage_offset)
    total = FIRST + 2 * SECOND
    with worker(own_broker, source) as process:
        await done(own_broker, process, source, [total])
        assert process.stop() == 0, process.log
        first, last = FIRST, FIRST + SECOND - 1
        assert f"{source}/0 has nothing at the offsets {first} to {last}" in process.log
