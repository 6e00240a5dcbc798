"""Batches that aiokafka cannot decode, from the fetch to the worker: what stands before them is
delivered, the others are not delayed, and the place is named."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from streams.errors import BrokerError
from streams.kafka.consume import failed_reads, fetched_records
from streams.kafka.consume.fetched_records import UnreadableError
from streams.kafka.consume.taking import Taking
from tests.kafka.fetched import OfflineConsumer
from tests.kafka.raw_batches import batch, body, framed
from tests.kafka.test_reader import PARTITIONS, ROOM, Reading, running, settled

A, B, C = PARTITIONS


def good(base: int, count: int = 2, **keywords: int) -> bytes:
    return batch([framed(body(n, b"good")) for n in range(count)], base=base, **keywords)


def changed(raw: bytes, at: int, form: str, value: int) -> bytes:
    found = bytearray(raw)
    struct.pack_into(form, found, at, value)
    return bytes(found)


UNREADABLE = {
    "a wrong checksum": batch([framed(body(0, b"?"))], base=4, wrong_checksum=True),
    "an unknown codec": batch([framed(body(0, b"?"))], base=4, data=b"?", attributes=7),
    "data that cannot be decompressed": batch([b""], base=4, compression=4, data=b"no zstd"),
    "a first record longer than the batch": batch([b"\x7f"], base=4),
    "an unknown format": changed(good(4), 16, ">b", 9),
    "a format from before the first": changed(good(4), 16, ">b", -1),
    "a length below every batch": changed(good(4), 8, ">i", 20),
    "a length below zero": changed(good(4), 8, ">i", -5),
    "a length beyond what the broker has": changed(good(4), 8, ">i", 5000)[:90],
    "less than a length": good(4)[:7],
    "offsets that were there before": good(1),
    "no offsets at all": changed(good(4), 23, ">i", -9),
    "a control batch without a record": batch([], base=4, attributes=0x30, last_delta=0),
}


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch):
    monkeypatch.setattr(failed_reads, "RETRY_AFTER_S", 0.0)


async def read(reading: Reading, partition: TopicPartition, raw: bytes) -> None:
    reading.consumer.fetched_batches(partition, raw)
    reading.reader.allow(ROOM)
    await settled()


@pytest.mark.parametrize("case", UNREADABLE)
async def test_what_stands_before_an_unreadable_batch_is_delivered_then_its_place_is_named(case):
    async with running() as reading:
        await read(reading, A, good(0) + good(2) + UNREADABLE[case] + good(5))
        assert reading.rounds == [{"a": [0, 1, 2, 3]}]
        for _ in range(UnreadableError.tries):
            assert reading.errors == []
            await read(reading, A, UNREADABLE[case])
        (error,) = reading.errors
        assert isinstance(error, UnreadableError)
        assert (error.where, error.offset) == (A, 4)
        assert str(error).startswith("offset 4 of source/0 cannot be read: ")
        assert reading.rounds == [{"a": [0, 1, 2, 3]}]


async def test_records_of_the_same_batch_before_a_cut_are_delivered():
    async with running() as reading:
        cut = batch([framed(body(0, b"good")), b"\x7f"], base=4)
        await read(reading, A, good(0, 4) + cut)
        for _ in range(UnreadableError.tries):
            await read(reading, A, cut)
        assert reading.rounds == [{"a": [0, 1, 2, 3, 4]}]
        assert [error.offset for error in reading.errors] == [5]


async def test_a_batch_that_is_whole_the_next_time_is_read():
    async with running() as reading:
        for _ in range(UnreadableError.tries - 1):
            await read(reading, A, UNREADABLE["a wrong checksum"])
        await read(reading, A, good(4))
        assert reading.rounds == [{"a": [4, 5]}]
        assert reading.errors == []


async def test_a_partition_that_cannot_be_read_costs_the_others_no_round(monkeypatch):
    monkeypatch.setattr(failed_reads, "RETRY_AFTER_S", 3600.0)
    async with running() as reading:
        await read(reading, A, UNREADABLE["a wrong checksum"])
        reading.consumer.fetched_batches(A, UNREADABLE["a wrong checksum"])
        for base in range(0, 100, 2):
            await read(reading, B, good(base))
            await read(reading, C, good(base))
        for name in "bc":
            came = [offset for round_ in reading.rounds for offset in round_.get(name, [])]
            assert came == [*range(100)]
        assert reading.consumer.has_waiting(A)


async def test_offsets_without_a_batch_are_told_once_where_compaction_makes_none(
    monkeypatch, caplog
):
    """A broker passes over a batch whose base offset is damaged: no checksum covers it."""
    monkeypatch.setattr(fetched_records, "_without_gaps", {"source"})
    monkeypatch.setattr(fetched_records, "_told_gaps", set())
    async with running() as reading:
        marker = batch([framed(body(0, b"\0\0", key=b"\0\0\0\1"))], base=2, attributes=0x30)
        await read(reading, A, good(0) + marker + good(3))
        assert caplog.messages == []
        await read(reading, A, good(8) + good(10))
        assert reading.rounds == [{"a": [0, 1, 3, 4]}, {"a": [8, 9, 10, 11]}]
        (told,) = caplog.messages
        assert told.startswith("source/0 has nothing at the offsets 5 to 7, which are passed over")


async def test_in_a_compacted_topic_offsets_without_a_batch_are_as_they_should_be(caplog):
    async with running() as reading:
        await read(reading, A, good(0) + good(8))
        assert reading.rounds == [{"a": [0, 1, 8, 9]}]
        assert caplog.messages == []


async def test_a_broken_record_and_strange_names_stop_nothing():
    strange = [(b"gr\xf6\xdfe", b"1"), (b"", None)]
    async with running() as reading:
        raw = batch(
            [
                framed(body(0, b"a")),
                framed(body(1, b"b", tail=b"?")),
                framed(body(2, b"c", strange)),
            ]
        )
        await read(reading, A, raw)
        assert reading.rounds == [{"a": [0, 1, 2]}]
        assert reading.errors == []


async def test_aborted_and_control_batches_stay_hidden_beside_batches_read_the_slow_way():
    async with running() as reading:
        strange = framed(body(0, b"x", [(b"\xff", None)]))
        control = batch([framed(body(0, b"\0\0", key=b"\0\0\0\1"))], base=1, attributes=0x30)
        await read(reading, A, batch([strange]) + control + batch([strange], base=2))
        assert reading.rounds == [{"a": [0, 2]}]


async def test_a_partition_that_the_broker_itself_cannot_read_is_named_and_fetched_no_more():
    """aiokafka would log it, and fetch again at once."""
    consumer = OfflineConsumer(A, B)
    answer = SimpleNamespace(topics=[("source", [(0, 2, 0), (1, 0, 0)])])
    request = FetchRequest(0, 0, 0, 0, [])

    async def send(node: int, asked: object) -> object:
        return answer

    consumer._client = SimpleNamespace(send=send)
    for partition in (A, B):
        consumer.seek(partition, 7)
    taking = Taking(consumer)  # type: ignore[arg-type]
    for _ in range(2):
        assert await consumer._client.send(0, request) is answer
    assert not consumer.is_fetched(A)
    assert consumer.is_fetched(B)
    with pytest.raises(UnreadableError, match=r"offset 7 of source/0 .*the broker cannot read it"):
        await taking.take(None, 0.01)


async def test_a_command_gets_what_is_before_an_unreadable_record_and_of_other_partitions():
    consumer = OfflineConsumer(A, B)
    for partition in (A, B):
        consumer.seek(partition, 0)
    consumer.fetched_batches(A, good(0) + UNREADABLE["a wrong checksum"])
    consumer.fetched_batches(B, good(0))
    taking = Taking(consumer)  # type: ignore[arg-type]
    records = await taking.take(None, 0.01)
    assert [(each.partition, each.offset) for each in records] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    consumer.fetched_batches(A, UNREADABLE["a wrong checksum"])
    with pytest.raises(UnreadableError, match="offset 2 of source/0"):
        await taking.take(None, 0.01)


async def test_a_command_does_not_pass_a_broken_record():
    consumer = OfflineConsumer(A)
    consumer.seek(A, 0)
    records = [framed(body(0, b"good")), framed(body(1, b"x", tail=b"?")), framed(body(2, b"good"))]
    consumer.fetched_batches(A, batch(records))
    taking = Taking(consumer)  # type: ignore[arg-type]
    assert [each.offset for each in await taking.take(None, 0.01)] == [0]
    with pytest.raises(BrokerError, match=r"offset 1 of source/0 .*1 bytes stand behind"):
        await taking.take(None, 0.01)


async def test_aiokafkas_own_getmany_gives_its_own_kind_of_record():
    """Faust reads its tables so."""
    consumer = OfflineConsumer(A)
    consumer.seek(A, 0)
    consumer.fetched_batches(A, good(0) + UNREADABLE["a wrong checksum"])
    (first, second) = consumer._fetcher._records[A].getall(2)
    assert isinstance(first, ConsumerRecord)
    assert (first.topic, first.partition, first.offset, second.offset) == ("source", 0, 0, 1)
    assert (first.value, first.headers, first.serialized_value_size) == (b"good", (), 4)
    with pytest.raises(UnreadableError, match="offset 2 of source/0"):
        consumer._fetcher._records[A].getone()


def test_every_consumer_of_the_process_reads_any_record():
    fetched_records.allow_any_record()
    assert fetched_records.fetcher.MemoryRecords is fetched_records.FetchedRecords
    assert fetched_records.fetcher.PartitionRecords is fetched_records.FetchedPartition
