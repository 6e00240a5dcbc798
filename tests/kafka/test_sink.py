"""The rules of `kafka/produce/sink.py`: whatever fails, the same records in the same order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.produce import sink, writer
from streams.kafka.produce.parcels import Parcel
from tests.kafka.producers import Broker, OfflineSink

HOUR_MS = 3_600_000


class Lane:
    open = True


class Sender:
    """Puts another outcome elsewhere for a record that is too large; has nothing smaller, if
    `final`; or has `instead`."""

    def __init__(self) -> None:
        self.durable: list[Any] = []
        self.handed_back: list[tuple[Any, str]] = []
        self.final = False
        self.instead: Any = None

    def delivered(self, lane: Any, slots: Any) -> None:
        self.durable += slots

    def too_large(self, lane: Any, slot: Any, topic: str, record: Any) -> Any:
        self.handed_back.append((slot, topic))
        return record if self.final else self.instead


class Scene:
    def __init__(self, broker: Broker | None = None) -> None:
        self.broker = broker or Broker()
        self.lane = Lane()
        self.sender = Sender()
        self.delivered, self.too_large = self.sender.durable, self.sender.handed_back
        self.defects: list[BaseException] = []
        self.sink = OfflineSink(
            self.broker,
            on_defect=self.defects.append,
            may_write=lambda: self.may_write,
        )
        self.may_write = True

    def put(self, *values: bytes, lane: Any = None, timestamp: int | None = None) -> None:
        records = [(None, value, (), timestamp) for value in values]
        self.sink.put("sink", 0, Parcel(self.sender, lane or self.lane, values, records))

    async def flush(self) -> None:
        async with asyncio.timeout(30):
            await self.sink.flush()
        assert self.defects == []


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(writer, "OFFER_AGAIN_S", 0)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    await made.sink.start()
    yield made
    await made.sink.stop()


async def _settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_one_batch_of_a_partition_is_unacknowledged_at_a_time(scene):
    scene.broker.hold = True
    for number in range(5):
        scene.put(b"%d" % number)
        await _settled()
    scene.broker.release()
    await scene.flush()
    assert scene.broker.most_unacknowledged["sink", 0] == 1
    assert scene.broker.values() == [b"0", b"1", b"2", b"3", b"4"]
    assert scene.broker.batches == [1, 4]  # what came meanwhile went as one


async def test_a_record_is_delivered_when_it_is_acknowledged_not_before(scene):
    scene.broker.hold = True
    scene.put(b"a", b"b")
    await _settled()
    assert scene.delivered == []
    assert scene.sink.pending() == 2
    scene.broker.release()
    await scene.flush()
    assert scene.delivered == [b"a", b"b"]
    assert scene.sink.pending() == 0


async def test_nothing_is_offered_while_the_worker_may_have_been_given_up(scene, monkeypatch):
    """What is not this worker's any more by then is dropped, the rest is written."""
    monkeypatch.setattr(sink, "ASK_AGAIN_S", 0)
    scene.may_write = False
    other = Lane()
    scene.put(b"a")
    scene.put(b"b", lane=other)
    await _settled()
    assert scene.broker.batches == []
    other.open = False
    scene.may_write = True
    await scene.flush()
    assert scene.broker.values() == [b"a"]


async def test_a_batch_that_is_not_accepted_is_offered_again_to_the_same_producer(scene):
    """`KafkaTimeoutError` from `send_batch`: the accumulator had no room in time."""
    scene.broker.unsent = [KafkaTimeoutError(), KafkaTimeoutError()]
    scene.put(b"a", b"b", b"c")
    await scene.flush()
    assert scene.broker.values() == scene.delivered == [b"a", b"b", b"c"]
    assert len(scene.sink.made) == 1


async def test_a_failed_acknowledgement_retires_the_producer(scene):
    """Its sequence has a hole now; a new one goes on from the first unacknowledged record."""
    scene.put(b"a")
    await scene.flush()
    scene.broker.refused = [OutOfOrderSequenceNumber()]
    scene.put(b"b", b"c")
    await scene.flush()
    assert scene.broker.values() == scene.delivered == [b"a", b"b", b"c"]
    first, second = scene.sink.made
    await _settled()
    assert first.stopped
    assert not second.stopped


async def test_what_was_written_unheard_is_written_again_and_delivered_once(scene):
    scene.broker.unheard = [KafkaTimeoutError()]
    scene.put(b"a", b"b")
    await scene.flush()
    assert scene.broker.values() == [b"a", b"b", b"a", b"b"]
    assert scene.delivered == [b"a", b"b"]


async def test_a_producer_that_another_writer_retired_is_left_at_once_and_silently(scene, caplog):
    await scene.sink.renew(scene.sink.made[0])
    await _settled()
    scene.put(b"a")
    await scene.flush()
    assert scene.broker.values() == [b"a"]
    assert caplog.records == []


async def test_a_partition_that_does_not_exist_is_waited_for(scene):
    """Neither an error of the writer nor a batch that waits in the producer for ever."""
    scene.broker.partitions = 0
    scene.put(b"a")
    await _settled()
    assert scene.broker.metadata_updates > 0
    assert scene.delivered == []
    scene.broker.partitions = 4
    await scene.flush()
    assert scene.delivered == [b"a"]


async def test_the_same_complaint_is_logged_once_in_a_while(scene, caplog):
    """A sink that refuses pauses the task; it does not fill the log."""
    scene.broker.unsent = [TopicAuthorizationFailedError("sink") for _ in range(50)]
    scene.put(b"a")
    await scene.flush()
    assert len(caplog.records) == 1
    assert "sink/0" in caplog.text


async def test_records_of_a_closed_lane_are_dropped_and_those_behind_them_are_written(scene):
    scene.broker.hold = True
    scene.put(b"first")
    await _settled()
    gone = Lane()
    scene.put(b"gone", lane=gone)
    scene.put(b"last")
    gone.open = False
    scene.broker.release()
    await scene.flush()
    assert scene.broker.values() == [b"first", b"last"]
    assert scene.delivered == [b"first", b"last"]


async def test_nobody_waits_for_what_a_closed_lane_has_under_way(scene):
    """A sink partition without a leader would hold up every revocation and the stop."""
    scene.broker.hold = True
    scene.put(b"a", b"b")
    await _settled()
    assert scene.sink.pending() == 2
    scene.lane.open = False
    assert scene.sink.pending() == 0
    scene.put(b"c", lane=Lane())
    assert scene.sink.pending() == 1
    scene.broker.release()
    await scene.flush()


async def test_a_lane_that_closes_while_its_record_is_refused_for_its_size_gets_nothing_back(scene):
    scene.broker.hold = True
    scene.broker.refused = [MessageSizeTooLargeError()]
    scene.put(b"gone")
    await _settled()
    scene.lane.open = False
    scene.broker.release()
    await scene.flush()
    assert scene.too_large == []


async def test_a_single_record_that_is_too_large_is_handed_back_with_its_topic(scene):
    scene.broker.rule = _limits(50, int(time.time() * 1000))
    scene.put(b"before", b"large" * 20, b"after")
    await scene.flush()
    assert scene.too_large == [(b"large" * 20, "sink")]
    assert scene.delivered == [b"before", b"after"]


async def test_a_batch_larger_than_the_topics_segments_is_halved_like_one_that_is_too_large(scene):
    """RECORD_LIST_TOO_LARGE: `segment.bytes` below our batches. Else it is offered for ever."""
    scene.broker.rule = lambda topic, partition, records: (
        RecordListTooLargeError() if sum(len(each.value) for each in records) > 25 else None
    )
    scene.put(*(b"%05d" % n for n in range(8)), b"large" * 6, b"after")
    await scene.flush()
    assert scene.too_large == [(b"large" * 6, "sink")]
    assert scene.broker.values() == [*(b"%05d" % n for n in range(8)), b"after"]


def _limits(most_bytes: int, now_ms: int) -> Any:
    """A broker's rule: a batch's size, a timestamp's distance from now."""

    def rule(topic: str, partition: int, records: Any) -> BaseException | None:
        if any(abs(record.timestamp - now_ms) > HOUR_MS for record in records):
            return InvalidTimestampError()
        if sum(len(record.value) + 20 for record in records) > most_bytes:
            return MessageSizeTooLargeError()
        return None

    return rule


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0, 0, 0, -3, -2, 2, 3])), max_size=40),
    st.integers(50, 200),
)
async def test_refusals_change_only_the_records_they_are_meant_for(sizes, most_bytes):
    """Any mix of sizes and timestamps: those too large alone are handed back, refused timestamps
    become now, and all others are written as they are, in order."""
    now_ms = int(time.time() * 1000)
    scene = Scene()
    scene.broker.rule = _limits(most_bytes, now_ms)
    await scene.sink.start()
    records, values = [], []
    for number, (size, hours) in enumerate(sizes):
        value = b"%03d" % number + b"x" * size
        values.append(value)
        records.append((None, value, (), now_ms + hours * HOUR_MS))
    scene.sink.put("sink", 0, Parcel(scene.sender, scene.lane, values, records))
    await scene.flush()
    fitting = [value for value in values if len(value) + 20 <= most_bytes]
    assert scene.broker.values() == scene.delivered == fitting
    assert [slot for slot, _ in scene.too_large] == [v for v in values if v not in fitting]
    hours_of = dict(zip(values, (hours for _, hours in sizes), strict=True))
    for stored in scene.broker.logs["sink", 0]:
        if hours_of[stored.value] == 0:
            assert stored.timestamp == now_ms
        else:
            assert abs(stored.timestamp - now_ms) < 60_000
    await scene.sink.stop()


async def test_a_clock_of_our_own_that_is_wrong_waits_instead_of_spinning(scene, monkeypatch):
    """Where even "now" is refused, nothing can be tried but later."""
    waits = []
    sleep = asyncio.sleep

    async def counted(delay: float) -> None:
        waits.append(delay)
        await sleep(0)

    monkeypatch.setattr(writer.asyncio, "sleep", counted)
    monkeypatch.setattr(writer, "OFFER_AGAIN_S", 0.5)
    scene.broker.refused = [InvalidTimestampError(), InvalidTimestampError()]
    scene.put(b"a")
    async with asyncio.timeout(10):
        await scene.sink.flush()
    assert waits.count(0.5) == 2
    assert scene.delivered == [b"a"]


async def test_the_embedded_broker_gets_a_producer_without_idempotence(caplog):
    """It refuses producer ids with UnknownError; what comes late may be written twice there."""
    from aiokafka.errors import UnknownError

    scene = Scene()
    connect, refusals = scene.sink._connect, [UnknownError()]

    async def refusing() -> Any:
        if refusals:
            raise refusals.pop()
        return await connect()

    scene.sink._connect = refusing  # type: ignore[method-assign]
    await scene.sink.start()
    assert not scene.sink.idempotent
    await scene.sink.stop()


async def test_a_record_that_cannot_be_smaller_stays_and_is_offered_until_it_is_taken(scene):
    """A dead-letter topic that takes nothing: nothing passes it, and somebody is told."""
    scene.sender.final = True
    refused: list[int] = []

    def rule(topic: str, partition: int, records: list[Any]) -> BaseException | None:
        if len(refused) < 6:
            refused.append(len(records))
            return MessageSizeTooLargeError()
        return None

    scene.broker.rule = rule
    scene.put(b"a", b"b")
    await scene.flush()
    assert scene.broker.values() == scene.delivered == [b"a", b"b"]


async def test_a_smaller_record_takes_the_place_of_one_that_is_too_large(scene):
    """A dead letter without its value: those behind it stay behind it."""
    scene.sender.instead = (None, b"s", (), None)
    scene.broker.rule = lambda topic, partition, records: (
        MessageSizeTooLargeError() if b"large" in [each.value for each in records] else None
    )
    scene.put(b"a", b"large", b"b")
    await scene.flush()
    assert scene.too_large == [(b"large", "sink")]
    assert scene.broker.values() == [b"a", b"s", b"b"]
    assert scene.delivered == [b"a", b"large", b"b"]


async def test_a_producer_is_not_stopped_while_a_writer_gives_it_a_batch(scene):
    """It would wait for ever for metadata that nobody fetches any more."""
    (producer,) = scene.sink.made
    known = asyncio.Event()

    async def partitions_for(topic: str) -> set[int]:
        await known.wait()
        return {0}

    producer.partitions_for = partitions_for  # type: ignore[method-assign]
    scene.put(b"a")
    await _settled()
    await scene.sink.renew(producer)  # another writer met an error
    await _settled()
    assert not producer.stopped
    known.set()
    await scene.flush()
    assert scene.broker.values() == [b"a"]
    await _settled()
    assert producer.stopped


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_batch_is_not_given_up_while_its_partition_has_no_leader(monkeypatch, idempotent):
    """It may have been written before the leader fell: another producer would write it again. A
    plain producer (the embedded broker) has no way to know, and keeps aiokafka's limit."""

    async def connected(self: Any) -> None:
        return None

    monkeypatch.setattr(AIOKafkaProducer, "start", connected)
    made = sink.Sink(
        {"enable_idempotence": idempotent},
        on_defect=lambda error: None,
    )
    await made.start()
    producer = await made.producer()
    accumulator, where = producer._message_accumulator, TopicPartition("sink", 0)
    leaders = {where: 1}
    accumulator._cluster.leader_for_partition = leaders.__getitem__
    if idempotent:
        producer._txn_manager.set_pid_and_epoch(5, 0)
    batch = producer.create_batch()
    batch.append(key=None, value=b"a", timestamp=None)
    acknowledged = await accumulator.add_batch(batch, where, 40)
    (sent,) = accumulator.drain_by_nodes(set())[0][1].values()  # written; the answer is lost
    accumulator.reenqueue(sent)
    leaders[where] = -1
    monkeypatch.setattr(time, "monotonic", lambda: sent._ctime + 3600)
    accumulator.drain_by_nodes(set())
    await _settled()
    assert acknowledged.done() is not idempotent
    leaders[where] = 2
    if idempotent:
        assert accumulator.drain_by_nodes(set())[0] == {2: {where: sent}}
    acknowledged.add_done_callback(lambda done: done.exception())
    sent.done(base_offset=0)
    await made.stop()


async def test_a_stop_does_not_wait_for_ever_for_a_partition_without_a_leader(scene, monkeypatch):
    monkeypatch.setattr(sink, "STOP_WITHIN_S", 0.01)
    (producer,) = scene.sink.made
    producer.stop = asyncio.Event().wait  # type: ignore[method-assign]
    await asyncio.wait_for(scene.sink.stop(), 5)
