"""What the sink makes of the ordered queue's rules: lanes that close, records that are handed back,
and complaints. What all users have in common is in `test_ordered_queue.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.produce import ordered_queue
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

    def refused(self, lane: Any, slot: Any, topic: str, record: Any, error: Any) -> Any:
        return self.too_large(lane, slot, topic, record)


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
            while self.sink.pending():  # noqa: ASYNC110  nothing tells us
                await asyncio.sleep(0)
        assert self.defects == []


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    await made.sink.start()
    yield made
    await made.sink.stop()


async def _settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


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
    monkeypatch.setattr(ordered_queue, "MAY_WRITE_CHECK_S", 0)
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


async def test_what_was_written_unheard_is_written_again_and_delivered_once(scene):
    scene.broker.unheard = [KafkaTimeoutError()]
    scene.put(b"a", b"b")
    await scene.flush()
    assert scene.broker.values() == [b"a", b"b", b"a", b"b"]
    assert scene.delivered == [b"a", b"b"]


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

    monkeypatch.setattr(ordered_queue.asyncio, "sleep", counted)
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0.5)
    scene.broker.refused = [InvalidTimestampError(), InvalidTimestampError()]
    scene.put(b"a")
    await scene.flush()
    assert waits.count(0.5) == 2
    assert scene.delivered == [b"a"]


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
