"""The rules of `kafka/produce/ordered_queue.py`, over all of its users: the sink, the ledger,
publishing and sending dead letters again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    for_code,
)
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BrokerError
from streams.jobs.dead.plan import LetterPlan
from streams.kafka.produce import job_writer, ledger_writer, ordered_queue, parcels, producers
from streams.kafka.produce.parcels import InvalidRecordError
from tests.kafka.producers import Broker, Stored
from tests.kafka.queue_users import (
    TOPIC,
    USERS,
    LedgerUser,
    PublishUser,
    RedriveUser,
    SinkUser,
    User,
)

HOUR_MS = 3_600_000
Start = Callable[..., Awaitable[User]]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0)
    monkeypatch.setattr(producers, "OFFER_INTERVAL_S", 0)


@pytest.fixture(params=USERS, ids=lambda kind: kind.__name__)
async def user(request):
    made = request.param(Broker())
    await made.start()
    yield made
    await made.stop()


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def finished(user: User) -> None:
    async with asyncio.timeout(30):
        await user.finish()
    assert user.left() == 0


async def ends(user: User, reason: str) -> None:
    """Where it does not persist: an error for whoever gave the command, and nothing more."""
    with pytest.raises(BrokerError, match=reason):
        await finished(user)
    batches = len(user.broker.batches)
    await turns()
    assert len(user.broker.batches) == batches


def too_large_above(size: int, error: type[KafkaError] = MessageSizeTooLargeError):
    def rule(topic: str, partition: int, records: list[Stored]) -> BaseException | None:
        return error() if sum(len(each.value or b"") for each in records) > size else None

    return rule


async def test_one_batch_is_unacknowledged_at_a_time_and_what_comes_meanwhile_goes_as_one(user):
    user.broker.hold = True
    for number in range(5):
        user.put(b"%d" % number)
        await turns()
    assert user.broker.batches == [1]
    user.broker.release()
    await finished(user)
    assert user.written == [b"0", b"1", b"2", b"3", b"4"]
    assert user.broker.batches == [1, 4]
    assert user.broker.most_unacknowledged["topic", 0] == 1


@pytest.mark.parametrize("later", range(14))
async def test_what_is_put_while_a_write_ends_is_written(user, later):
    """The ledger's own writer left it behind, and its `flush` did not see it."""
    user.broker.hold = True
    user.put(b"first")
    await turns()
    user.broker.release()
    await turns(later)
    user.put(b"second")
    await finished(user)
    assert user.written == [b"first", b"second"]


@pytest.mark.parametrize("later", range(14))
async def test_the_ledgers_flush_waits_for_what_is_put_while_a_write_ends(later):
    user = LedgerUser(Broker())
    await user.start()
    user.broker.hold = True
    user.put(b"first")
    await turns()
    user.broker.release()
    await turns(later)
    user.put(b"second")
    assert user.writer.writing
    await user.writer.flush(5.0)
    assert user.written == [b"first", b"second"]
    await user.stop()


@pytest.mark.parametrize("error", [MessageSizeTooLargeError, RecordListTooLargeError])
async def test_a_batch_that_is_too_large_is_halved_until_it_fits(user, error):
    """For the topic, or for its segments (`segment.bytes` below our batches)."""
    user.broker.rule = too_large_above(25, error)
    values = [b"%05d" % n for n in range(20)]
    user.put(*values)
    await finished(user)
    assert user.written == values


async def test_a_record_that_is_too_large_by_itself_costs_no_other_its_place(user):
    user.broker.rule = too_large_above(25)
    large = b"x" * 26
    user.put(b"a", b"b", large, b"c")
    await finished(user)
    assert user.written == [b"a", b"b", b"c"]


@pytest.mark.parametrize("error", [InvalidRecordError, PolicyViolationError])
@pytest.mark.parametrize("bad", [{0}, {7}, {19}, {3, 4, 11}, set(range(20))])
async def test_records_that_are_refused_for_good_cost_no_other_its_place(user, error, bad):
    """They were offered for ever, with all that stood in their batch and behind it."""
    values = [b"%02d" % n for n in range(20)]
    refused = {values[n] for n in bad}
    user.broker.rule = lambda topic, partition, records: (
        error() if any(each.value in refused for each in records) else None
    )
    user.put(*values)
    await finished(user)
    assert user.written == [value for value in values if value not in refused]
    assert user.left() == 0


@pytest.mark.parametrize("error", [InvalidRecordError, MessageSizeTooLargeError])
async def test_a_record_that_its_topic_refuses_is_a_reject_of_a_publication(error):
    """It ended the publication, with all that stood behind it."""
    user = PublishUser(Broker())
    await user.start()
    user.broker.rule = lambda topic, partition, records: (
        error() if any(each.value == b"bad" for each in records) else None
    )
    user.put(b"a", b"bad", b"c")
    await finished(user)
    assert (user.written, user.left()) == ([b"a", b"c"], 0)
    (reject,) = user.rejects
    assert (reject.line, reject.raw) == (2, b"bad")
    assert reject.reason.startswith("the topic topic refuses it: ")
    await user.stop()


async def test_a_publication_ends_where_its_topic_takes_none_of_the_first_hundred_records():
    """A compacted topic and a file without keys: not the records are wrong."""
    user = PublishUser(Broker())
    await user.start()
    user.broker.rule = lambda topic, partition, records: InvalidRecordError()
    user.put(*[b"%d" % n for n in range(200)])
    await ends(user, "none of the first 100 records is published: .* no record without a key")
    assert len(user.rejects) == 99
    await user.stop()


async def test_a_letter_that_its_topic_refuses_is_told_and_the_others_are_sent():
    user = RedriveUser(Broker())
    await user.start()
    user.broker.rule = lambda topic, partition, records: (
        InvalidRecordError() if any(each.value == b"bad" for each in records) else None
    )
    letters = [
        LetterPlan(None, "topic", 0, (b"key", value, [], None))  # type: ignore[arg-type]
        for value in (b"a", b"bad", b"c")
    ]
    ((plan, reason),) = await user.letters.send(letters)
    assert plan is letters[1]
    assert "InvalidRecordError" in reason
    assert user.written == [b"a", b"c"]
    await user.stop()


def test_aiokafka_names_the_code_of_a_refused_record():
    """It had no name for it: the same as any trouble of the broker."""
    assert for_code(87) is InvalidRecordError


async def test_every_record_is_stamped_with_now_where_its_user_names_no_time(user):
    user.put(b"a", b"b")
    await finished(user)
    now_ms = time.time() * 1000
    assert all(abs(each.timestamp - now_ms) < HOUR_MS for each in user.broker.logs["topic", 0])


async def test_where_the_time_of_this_computer_is_refused_there_is_nothing_to_try_but_later(user):
    user.broker.refused = [InvalidTimestampError() for _ in range(3)]
    user.put(b"a")
    if user.persists:
        await finished(user)
        assert user.written == [b"a"]
    else:
        await ends(user, "InvalidTimestampError")


async def test_a_failed_acknowledgement_retires_the_producer(user):
    """Its sequence has a hole now; a new one goes on from the first unacknowledged record."""
    user.broker.refused = [MessageSizeTooLargeError()]
    user.put(b"a", b"b")
    await finished(user)
    assert user.written == [b"a", b"b"]
    await turns()
    first, second = user.producers.made
    assert (first.stopped, second.stopped) == (True, False)


async def test_where_there_is_no_new_producer_yet_it_is_tried_on_or_told(user):
    user.broker.refused = [MessageSizeTooLargeError()]
    user.producers.refusals = [KafkaConnectionError(), KafkaConnectionError()]
    user.put(b"a", b"b")
    if user.persists:
        await finished(user)
        assert user.written == [b"a", b"b"]
    else:
        await ends(user, "KafkaConnectionError")


async def test_what_is_refused_for_good_is_offered_on_or_told(user):
    user.broker.refused = [OutOfOrderSequenceNumber(), TopicAuthorizationFailedError("topic")]
    user.put(b"a", b"b")
    if user.persists:
        await finished(user)
        assert user.written == [b"a", b"b"]
        assert len(user.producers.made) == 3
    else:
        await ends(user, "topic/0 takes no .*OutOfOrderSequenceNumber")
        assert user.written == []


async def test_a_batch_that_is_not_accepted_is_offered_again_to_the_same_producer(user):
    """`KafkaTimeoutError` from `send_batch`: the accumulator had no room in time."""
    user.broker.unsent = [KafkaTimeoutError(), KafkaTimeoutError()]
    user.put(b"a", b"b")
    if user.persists:
        await finished(user)
        assert user.written == [b"a", b"b"]
        assert len(user.producers.made) == 1
    else:
        await ends(user, "topic/0")


async def test_what_was_written_unheard_is_written_again(user):
    user.broker.unheard = [KafkaTimeoutError()]
    user.put(b"a", b"b")
    if user.persists:
        await finished(user)
        assert user.written == [b"a", b"b", b"a", b"b"]
    else:
        await ends(user, "topic/0")


async def test_a_batch_that_its_producer_gives_up_is_no_end_of_the_queue(user):
    user.broker.refused = [asyncio.CancelledError()]
    user.put(b"a")
    if user.persists:
        await finished(user)
        assert user.written == [b"a"]
    else:
        await ends(user, "ProducerClosed")


async def test_a_partition_that_does_not_exist_is_asked_for_anew(user):
    """Neither an error of the writer nor a batch that waits in the producer for ever."""
    user.broker.partitions = 0
    user.put(b"a")
    await turns()
    assert user.broker.metadata_updates > 0
    if user.persists:
        user.broker.partitions = 4
        await finished(user)
        assert user.written == [b"a"]
    else:
        await ends(user, "UnknownTopicOrPartitionError")


async def test_a_broker_that_falls_silent_is_waited_for_or_told(user, monkeypatch):
    monkeypatch.setattr(parcels, "WARN_AFTER_S", 0.01)
    monkeypatch.setattr(job_writer, "SILENCE_S", 0.03)
    monkeypatch.setattr(ledger_writer, "SILENCE_S", 0.03)
    user.broker.hold = True
    user.put(b"a")
    if user.persists:
        await asyncio.sleep(0.1)
        assert user.left()
        user.broker.release()
        await finished(user)
        assert user.written == [b"a"]
        assert len(user.producers.made) == 1, "the same batch: nothing is written twice"
    else:
        await ends(user, "topic/0")


async def test_a_ledger_that_falls_silent_fails_until_it_answers(monkeypatch, caplog):
    """Nobody waits for it; meanwhile what is settled gives its room to what is not."""
    monkeypatch.setattr(parcels, "WARN_AFTER_S", 0.01)
    monkeypatch.setattr(ledger_writer, "SILENCE_S", 0.03)
    user = LedgerUser(Broker())
    await user.start()
    user.broker.hold = True
    user.put(b"0")
    await turns()
    user.put(b"1", b"2")
    user.put(b"3")
    async with asyncio.timeout(10):
        await user.writer.flush(10.0)
    assert "cannot be written" in caplog.text
    user.watermark_of = 3
    await asyncio.sleep(0.05)
    assert user.left() == 2, "the batch on its way, and the one that is not settled"
    user.broker.release()
    await finished(user)
    assert user.written == [b"0", b"3"]
    assert user.positions == [(0, 1), (1, 1)]
    assert "is written again" in caplog.text
    await user.stop()


async def test_what_a_ledger_drops_as_too_large_gives_its_room_back_also_where_nobody_misses_it():
    """It fell silent before it refused the answer: every such answer took room for ever."""
    user = LedgerUser(Broker())
    await user.start()
    user.broker.hold = True
    user.put(b"a")
    await turns()
    user.writer.silent(TOPIC, ledger_writer.SILENCE_S)
    user.watermark_of = 1
    user.broker.refused = [MessageSizeTooLargeError()]
    user.broker.release()
    await finished(user)
    assert user.written == []
    await user.stop()


async def test_a_defect_costs_a_ledger_what_is_queued_and_nothing_that_comes_later():
    """Also the rest of what was written in part: it would meet the defect again and again."""
    user = LedgerUser(Broker())
    await user.start()
    halve = too_large_above(1)

    def rule(topic: str, partition: int, records: list[Stored]) -> BaseException | None:
        return RuntimeError() if records[0].value == b"b" else halve(topic, partition, records)

    user.broker.rule = rule
    user.put(b"a", b"b")
    await finished(user)
    user.put(b"c")
    await finished(user)
    assert user.written == [b"a", b"c"]
    await user.stop()


async def test_a_ledger_that_failed_is_offered_what_comes_later_though_its_item_is_settled(
    monkeypatch,
):
    """Settled is not committed yet: until then a crash would pay for the item again
    (simulation, 9003154)."""
    monkeypatch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0.01)
    user = LedgerUser(Broker())
    await user.start()
    user.broker.rule = lambda *_: KafkaTimeoutError("no")
    user.put(b"0")
    await turns()
    user.watermark_of = 1
    await finished(user)
    assert user.written == []
    user.broker.rule = lambda *_: None
    user.watermark_of = 2  # as it is with a drop: settled when its call is answered
    user.put(b"1")
    await finished(user)
    assert user.written == [b"1"]
    await user.stop()


async def test_a_producer_that_another_queue_retired_is_left_at_once_and_silently(user, caplog):
    await user.producers.renew(user.producers.made[0], pytest.fail)
    await turns()
    user.put(b"a")
    await finished(user)
    assert user.written == [b"a"]
    assert caplog.records == []


async def test_a_producer_is_not_stopped_while_a_queue_gives_it_a_batch(user):
    """It would wait for ever for metadata that nobody fetches any more."""
    (producer,) = user.producers.made
    answered = asyncio.Event()

    async def partitions_for(topic: str) -> set[int]:
        await answered.wait()
        return {0}

    producer.partitions_for = partitions_for
    user.put(b"a")
    await turns()
    await user.producers.renew(producer, pytest.fail)  # another queue met an error
    await turns()
    assert not producer.stopped
    answered.set()
    await finished(user)
    assert user.written == [b"a"]
    await turns()
    assert producer.stopped


async def test_a_stop_with_records_queued_ends_soon_and_writes_nothing_more(user, monkeypatch):
    monkeypatch.setattr(ledger_writer, "STOP_WITHIN_S", 0.01)
    user.broker.hold = True
    user.put(b"a")
    await turns()
    user.put(b"b")
    async with asyncio.timeout(5):
        await user.stop()
    assert all(producer.stopped for producer in user.producers.made)
    user.broker.release()
    await turns()
    assert user.broker.batches == [1]


async def test_a_defect_of_its_user_is_heard_of_and_does_not_repeat_itself():
    """It is told; it is not tried again in a circle."""
    user = SinkUser(Broker())
    await user.start()
    user.delivered = lambda lane, slots: 1 / 0  # type: ignore[assignment, return-value]
    user.put(b"a")
    await turns()
    assert [type(error) for error in user.defects] == [ZeroDivisionError]
    assert user.written == [b"a"]
    await user.stop()


async def test_what_a_closed_lane_has_behind_a_batch_that_hangs_is_let_go_of(monkeypatch):
    """Without a leader it could hang for hours, and hold all of it."""
    monkeypatch.setattr(parcels, "WARN_AFTER_S", 0.01)
    user = SinkUser(Broker())
    await user.start()
    user.broker.hold = True
    user.put(b"a")
    await turns()
    user.put(b"b")
    user.lane.open = False
    (queue,) = user.sink._queues.values()
    async with asyncio.timeout(10):
        while len(queue._parcels) > 1:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.01)
    user.broker.release()
    await turns()
    assert user.written == [b"a"]
    await user.stop()


FAILURES = [
    KafkaTimeoutError,
    OutOfOrderSequenceNumber,
    MessageSizeTooLargeError,
    InvalidTimestampError,
    TopicAuthorizationFailedError,
]


@pytest.mark.parametrize("kind", USERS, ids=lambda kind: kind.__name__)
@given(
    puts=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), min_size=1, max_size=8),
    unsent=st.lists(st.just(KafkaTimeoutError), max_size=3),
    refused=st.lists(st.sampled_from(FAILURES), max_size=5),
    unheard=st.lists(st.just(KafkaTimeoutError), max_size=2),
)
async def test_whatever_fails_the_first_copies_are_in_order_and_nothing_is_left(
    kind, puts, unsent, refused, unheard
):
    """All of them, where the user persists and no record was found too large by itself; else what
    was put first. `puts`: how many at a time, and how many turns of the loop later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered_queue, "OFFER_INTERVAL_S", 0)
        patch.setattr(producers, "OFFER_INTERVAL_S", 0)
        user = kind(Broker())
        await user.start()
        user.broker.unsent = [error() for error in unsent]
        user.broker.refused = [error() for error in refused]
        user.broker.unheard = [error() for error in unheard]
        number = 0
        for count, wait in puts:
            user.put(*(b"%d" % n for n in range(number, number + count)))
            number += count
            await turns(wait)
        ended = False
        try:
            await finished(user)
        except BrokerError:
            ended = True
        first_copies = list(dict.fromkeys(int(value or b"") for value in user.written))
        await user.stop()
    assert first_copies == sorted(first_copies)
    assert user.broker.most_unacknowledged["topic", 0] <= 1
    assert not (ended and user.persists)
    if MessageSizeTooLargeError not in refused:
        assert first_copies == [*range(len(first_copies) if ended else number)]
