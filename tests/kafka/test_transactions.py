"""The rules of `kafka/produce/transactions.py`: whatever fails, each outcome once, in order, and
the offset with it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    ProducerFenced,
    RecordListTooLargeError,
    TransactionalIdAuthorizationFailed,
)
from aiokafka.producer.message_accumulator import MessageBatch
from hypothesis import given
from hypothesis import strategies as st

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.kafka.produce import lane_writer, transactions
from streams.kafka.produce.parcels import InvalidRecordError, Parcel
from streams.kafka.produce.producers import forgive_failed_batches
from tests.kafka.transactional import FAILED, SOURCE, STEPS, Broker, OfflineTransactions


class Lane:
    """Slots are their numbers, from 0 without a gap."""

    def __init__(self) -> None:
        self.where = SOURCE
        self.open = True
        self.committed = Committed(0, is_committed=False)
        self.settled: set[int] = set()

    def progress(self, also: Collection[int]) -> Committed:
        watermark = 0
        while watermark in self.settled or watermark in also:
            watermark += 1
        return Committed(watermark)


class Scene:
    def __init__(self, interval_s: float = 0.0) -> None:
        self.broker = Broker()
        self.lane = Lane()
        self.durable: list[int] = []
        self.lost: list[Any] = []
        self.pressing = False
        self.defects: list[BaseException] = []
        self.given_up: list[tuple[int, str]] = []
        self.sink = OfflineTransactions(
            self.broker,
            worker_id="worker",
            interval_s=interval_s,
            committed=self._committed,
            progress=lambda lane, slots: lane.progress(slots),
            presses=lambda lane: self.pressing,
            on_lost=self.lost.append,
            on_defect=self.defects.append,
        )

    async def _committed(self, partition: TopicPartition) -> Committed | None:
        await asyncio.sleep(0)
        return self.broker.committed

    def delivered(self, lane: Lane, slots: Sequence[int]) -> None:
        lane.settled |= set(slots)
        self.durable += slots

    def too_large(self, lane: Lane, slot: int, topic: str, record: Any) -> Any:
        """The owner makes a result a dead letter, and has nothing smaller than that."""
        if topic == "dead":
            return record
        self.given_up.append((slot, topic))
        self.put(slot, topic="dead")
        return None

    def refused(self, lane: Lane, slot: int, topic: str, record: Any, error: Any) -> Any:
        return self.too_large(lane, slot, topic, record)

    def put(self, *slots: int, topic: str = "sink", value: bytes = b"%d") -> None:
        records = [(None, value % slot, (), None) for slot in slots]
        self.sink.put(topic, 0, Parcel(self, self.lane, slots, records))

    async def delivered_all(self) -> None:
        async with asyncio.timeout(10):
            while self.sink.pending() and not self.defects:  # noqa: ASYNC110  nothing tells us
                await asyncio.sleep(0)
        assert self.defects == []


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(lane_writer, "OFFER_INTERVAL_S", 0)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    await made.sink.prepare([SOURCE])
    yield made
    await made.sink.stop()


async def test_what_is_put_together_leaves_together_with_its_offset(scene):
    scene.put(0, 1, 3)
    scene.put(2, topic="dead")
    await scene.delivered_all()
    assert scene.broker.values() == [b"0", b"1", b"3"]
    assert scene.broker.values("dead") == [b"2"]
    assert scene.broker.transactions == [4]
    assert scene.broker.committed == scene.lane.committed == Committed(4)


async def test_where_a_quota_was_met_a_transaction_takes_what_a_request_has_room_for(
    scene, monkeypatch
):
    """It would wait for its own second request until the broker ends it, and begin again."""
    monkeypatch.setattr(lane_writer, "BATCH_BYTES", 2)
    for number in range(5):
        scene.put(number)
    await scene.delivered_all()
    scene.sink.quota.note(0.001)
    for number in range(5, 10):
        scene.put(number)
    await scene.delivered_all()
    assert scene.broker.transactions == [5, 2, 2, 1]
    assert scene.durable == list(range(10))


async def test_nothing_is_delivered_before_its_transaction_is_committed(scene):
    scene.broker.gate = asyncio.Event()
    scene.put(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (scene.durable, scene.sink.pending()) == ([], 1)
    scene.broker.gate.set()
    await scene.delivered_all()
    assert scene.durable == [0]


@pytest.mark.parametrize("step", STEPS)
async def test_a_transaction_that_fails_anywhere_is_made_again_or_found_done(scene, step):
    """A new producer under the same name ends it; what is committed tells what became of it."""
    scene.put(0, 1)
    await scene.delivered_all()
    scene.broker.fail = [(step, FAILED)]
    scene.put(2, 3)
    await scene.delivered_all()
    scene.put(4)
    await scene.delivered_all()
    assert scene.broker.values() == [b"0", b"1", b"2", b"3", b"4"]
    assert scene.durable == [0, 1, 2, 3, 4]
    assert scene.broker.committed == Committed(5)
    assert len(scene.sink.connected) == 2
    assert scene.lost == []


async def test_a_batch_that_aiokafka_calls_illegal_is_no_defect(scene):
    """After another one of the transaction has failed: it is not in a transaction any more."""
    scene.broker.fail = [("send", IllegalOperation("Can't send messages while not in transaction"))]
    scene.put(0, 1)
    await scene.delivered_all()
    assert scene.broker.values() == [b"0", b"1"]


async def test_outcomes_that_come_meanwhile_leave_behind_those_that_failed(scene):
    scene.broker.fail = [("commit", FAILED)]
    scene.put(0, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    scene.put(2)
    await scene.delivered_all()
    assert scene.broker.values() == [b"0", b"1", b"2"]


async def test_a_lane_that_somebody_else_has_committed_for_is_lost(scene):
    """We are the zombie, or were taken for one: what the lane holds is not ours to write."""
    scene.put(0)
    await scene.delivered_all()
    scene.broker.fail = [("commit", FAILED)]
    scene.broker.committed = Committed(7)
    scene.put(1)
    await scene.delivered_all()
    assert scene.lost == [scene.lane]
    assert scene.broker.values() == [b"0"]
    assert scene.durable == [0]


async def test_a_lane_that_is_closed_meanwhile_fences_nobody(scene):
    """Its next owner has a producer of that name; a new one of ours would end its transactions."""
    scene.broker.fail = [("commit", FAILED)]
    scene.broker.gate = asyncio.Event()
    scene.put(0)
    for _ in range(20):
        await asyncio.sleep(0)
    scene.lane.open = False
    scene.broker.gate.set()
    await scene.delivered_all()
    assert len(scene.sink.connected) == 1
    assert scene.lost == scene.durable == []


async def test_whoever_prepares_a_partition_fences_its_earlier_owner(scene):
    """The same worker included: an assignment begins with a new producer."""
    (first,) = scene.sink.connected
    await scene.sink.prepare([SOURCE])
    with pytest.raises(Exception, match="ProducerFenced"):
        await first.begin_transaction()
    scene.put(0)
    await scene.delivered_all()
    assert scene.broker.values() == [b"0"]
    assert scene.sink.retired == [first]


async def test_offsets_that_move_by_themselves_are_committed_in_a_transaction(scene):
    assert await scene.sink.commit([scene.lane])
    assert scene.broker.committed == scene.lane.committed == Committed(0)
    assert scene.broker.transactions == [0]
    assert await scene.sink.commit([scene.lane])
    assert scene.broker.transactions == [0], "nothing has moved since"


async def test_offsets_of_a_lane_with_outcomes_on_their_way_wait_for_them(scene):
    scene.put(0)
    assert not await scene.sink.commit([scene.lane])
    await scene.delivered_all()
    assert scene.broker.transactions == [1]


async def test_what_is_committed_never_goes_back(scene):
    """Outcomes leave while an offset waits for its turn: by then it is the offset of before."""
    scene.broker.gate = asyncio.Event()
    committing = asyncio.ensure_future(scene.sink.commit([scene.lane]))
    await asyncio.sleep(0)
    scene.put(0, 1)
    scene.broker.gate.set()
    await committing
    await scene.delivered_all()
    assert scene.broker.committed == scene.lane.committed == Committed(2)
    assert await scene.sink.commit([scene.lane])
    assert scene.broker.committed == Committed(2)


async def test_a_commit_without_outcomes_does_not_wait_for_the_lane_to_fall_silent(scene):
    """Under load something is always queued: it returns with the transaction that takes it."""
    deliver, last = scene.delivered, 1

    def more(lane: Lane, slots: Sequence[int]) -> None:
        nonlocal last
        deliver(lane, slots)
        last += 1
        scene.put(last)

    scene.delivered = more
    scene.lane.settled.add(0)
    committing = asyncio.ensure_future(scene.sink.commit([scene.lane]))
    for _ in range(2):  # it has asked, and its transaction has not begun
        await asyncio.sleep(0)
    scene.put(1)
    assert await asyncio.wait_for(committing, 5)
    assert scene.broker.committed.offset >= 1
    assert scene.sink.pending(), "the lane has not fallen silent"


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("send", "acknowledge")])
async def test_a_commit_without_outcomes_that_fails_is_made_again(scene, step):
    scene.broker.fail = [(step, FAILED), (step, FAILED)]
    assert await scene.sink.commit([scene.lane])
    assert scene.broker.committed == scene.lane.committed == Committed(0)


async def test_a_commit_whose_writer_is_given_up_is_not_made(scene):
    scene.broker.gate = asyncio.Event()
    committing = asyncio.ensure_future(scene.sink.commit([scene.lane]))
    for _ in range(20):
        await asyncio.sleep(0)
    await scene.sink.prepare([SOURCE])
    assert await asyncio.wait_for(committing, 5) is False


async def test_a_commit_that_has_no_more_time_leaves_nobody_waiting(scene):
    scene.broker.gate = asyncio.Event()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scene.sink.commit([scene.lane]), 0.01)
    scene.broker.gate.set()
    scene.put(0)
    await scene.delivered_all()
    assert await scene.sink.commit([scene.lane])
    assert scene.broker.committed == Committed(1)


async def test_transactions_are_grouped_by_time_until_somebody_waits_or_memory_presses():
    scene = Scene(interval_s=3600.0)
    await scene.sink.prepare([SOURCE])
    scene.put(0)
    await scene.delivered_all()  # the first goes at once
    scene.put(1)
    scene.put(2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert scene.broker.transactions == [1]
    scene.sink.hurry()
    await scene.delivered_all()
    assert scene.broker.transactions == [1, 2]
    scene.pressing = True
    scene.put(3)
    await scene.delivered_all()
    assert scene.broker.transactions == [1, 2, 1]
    await scene.sink.stop()


@pytest.mark.parametrize(
    "error",
    [MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError, PolicyViolationError],
)
async def test_a_record_that_is_not_taken_gets_another_outcome_in_the_same_transaction(
    scene, error
):
    """Too large for the topic or for its segments, or against its rules. The batch is tried in
    halves; the others' outcomes stay what they are."""
    scene.broker.rule = lambda topic, values: (
        error() if topic == "sink" and b"5" in values else None
    )
    scene.put(*range(10))
    await scene.delivered_all()
    assert scene.given_up == [(5, "sink")]
    assert scene.broker.values() == [b"%d" % n for n in range(10) if n != 5]
    assert scene.broker.values("dead") == [b"5"]
    assert scene.broker.transactions == [10]


@pytest.mark.parametrize("error", [MessageSizeTooLargeError, InvalidRecordError])
async def test_a_record_without_another_outcome_is_offered_until_it_is_taken(scene, error):
    """A dead-letter topic that takes nothing: nothing is lost, and nothing passes it."""
    refused: list[str] = []

    def rule(topic: str, values: list[bytes]) -> Exception | None:
        if len(refused) < 12 and b"1" in values:
            refused.append(topic)
            return error()
        return None

    scene.broker.rule = rule
    scene.put(0, 1, 2)
    await scene.delivered_all()
    assert set(refused) == {"sink", "dead"}
    assert scene.broker.values() == [b"0", b"2"]
    assert scene.broker.values("dead") == [b"1"]
    assert scene.broker.committed == Committed(3)


async def test_a_timestamp_that_is_refused_becomes_now(scene):
    sent: list[int | None] = []

    def rule(topic: str, values: list[bytes]) -> Exception | None:
        refused = not sent
        sent.append(len(values))
        return InvalidTimestampError() if refused else None

    scene.broker.rule = rule
    records = [(None, b"0", (), 1)]
    scene.sink.put("sink", 0, Parcel(scene, scene.lane, [0], records))
    await scene.delivered_all()
    assert scene.broker.values() == [b"0"]
    assert scene.given_up == []


@given(
    st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=3), min_size=1, max_size=6),
    st.lists(st.none() | st.sampled_from(STEPS), max_size=12),
)
async def test_whatever_fails_each_outcome_is_written_once_in_order_with_its_offset(puts, fails):
    """`puts`: how many outcomes are put at a time, to two topics in turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane_writer, "OFFER_INTERVAL_S", 0)
        scene = Scene()
        await scene.sink.prepare([SOURCE])
        scene.broker.fail = [None if step is None else (step, FAILED) for step in fails]
        number = 0
        for together in puts:
            for place, count in enumerate(together):
                slots = range(number, number + count)
                scene.put(*slots, topic=("sink", "dead")[place % 2])
                number += count
            await asyncio.sleep(0)
        await scene.delivered_all()
        await scene.sink.stop()
    written = [[int(value) for value in scene.broker.values(topic)] for topic in ("sink", "dead")]
    assert all(values == sorted(values) for values in written)
    assert sorted(written[0] + written[1]) == sorted(scene.durable) == [*range(number)]
    assert scene.broker.committed == scene.lane.committed == Committed(number)
    assert scene.lost == []


async def test_a_user_who_may_not_use_transactions_is_told_what_to_grant(monkeypatch):
    """Trying again is of no use: exit code 1 and a line."""

    class Refused:
        def __init__(self, **keywords: Any) -> None:
            self._sender = SimpleNamespace(sender_task=None)
            self._txn_manager = SimpleNamespace(wait_for_transaction_end=lambda: None)

        async def start(self) -> None:
            raise TransactionalIdAuthorizationFailed("worker/source/0")

        async def stop(self) -> None:
            pass

    monkeypatch.setattr(transactions, "make_producer", lambda keywords: Refused(**keywords))
    sink = Scene().sink
    with pytest.raises(BrokerError, match="transactional ids that begin with worker/"):
        await transactions.Transactions.connect(sink, SOURCE)


async def test_asyncio_complains_of_nothing_that_a_fenced_producer_leaves_behind():
    """It did with a traceback, in every worker that woke up after its session (order "key")."""
    warning_log: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: warning_log.append(context))
    producer = AIOKafkaProducer(transactional_id="id")
    accumulator = producer._message_accumulator
    batch = MessageBatch(SOURCE, producer.create_batch(), 1.0, 0.0)
    accumulator._batches[SOURCE].append(batch)
    accumulator.fail_all(ProducerFenced())
    await transactions._close(producer)
    accumulator._batches.clear()
    del batch
    gc.collect()
    await asyncio.sleep(0)
    assert warning_log == []


async def test_asyncio_complains_of_no_batch_that_fails_while_it_waits_for_another_try():
    """aiokafka looks for it among those on their way (simulation, 3405864599)."""
    warning_log: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: warning_log.append(context))
    producer = AIOKafkaProducer(enable_idempotence=True)
    producer._txn_manager.set_pid_and_epoch(5, 0)
    forgive_failed_batches(producer)
    accumulator = producer._message_accumulator
    accumulator._cluster.leader_for_partition = {SOURCE: 1}.__getitem__
    batch = producer.create_batch()
    batch.append(key=None, value=b"a", timestamp=None)
    await accumulator.add_batch(batch, SOURCE, 40)
    (sent,) = accumulator.drain_by_nodes(set())[0][1].values()
    accumulator.reenqueue(sent)
    accumulator.fail_all(ProducerFenced())
    await asyncio.sleep(0)
    await transactions._close(producer)
    accumulator._batches.clear()
    assert warning_log == []
