"""Every private name of Faust, mode and aiokafka that we lean on: an upgrade that moves one fails
here, loudly and by name, instead of losing records."""

from __future__ import annotations

import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.errors import for_code
from aiokafka.producer import message_accumulator
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.app.base import App
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types.settings import Settings
from mode.services import Service
from mode.threads import QueueServiceThread, ServiceThread

import streams.kafka.consume.transport as ours
from streams.kafka.produce.any_names import AnyNameBatch
from streams.kafka.record_batch import HEADER, read_batch


def _parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (
            driver.AIOKafkaConsumerThread,
            "_fetch_records",
            ["self", "consumer", "active_partitions", "timeout", "max_records"],
        ),
        (driver.AIOKafkaConsumerThread, "seek_to_committed", ["self"]),
        (driver.AIOKafkaConsumerThread, "close", ["self"]),
        (driver.AIOKafkaConsumerThread, "on_thread_stop", ["self"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.Consumer, "verify_event_path", ["self", "now", "tp"]),
        (
            faust_consumer.ThreadDelegateConsumer,
            "_getmany",
            ["self", "active_partitions", "timeout"],
        ),
        (faust_consumer.Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (
            faust_consumer.Consumer,
            "on_partitions_assigned",
            ["self", "assigned", "generation_id"],
        ),
        (Settings, "getenv", ["self", "env_name"]),
        (Fetcher, "fetched_records", ["self", "partitions", "timeout", "max_records"]),
        (Fetcher, "_create_fetch_waiter", ["self"]),
        (FetchResult, "getall", ["self", "max_records"]),
        (FetchResult, "check_assignment", ["self", "tp"]),
        (FetchResult, "has_more", ["self"]),
        (FetchResult, "_update_position", ["self"]),
        (GroupCoordinator, "ensure_coordinator_known", ["self"]),
        (GroupCoordinator, "coordinator_dead", ["self"]),
        (GroupCoordinator, "_send_req", ["self", "request"]),
        (GroupCoordinator, "request_rejoin", ["self"]),
        (GroupCoordinator, "check_errors", ["self"]),
        (GroupCoordinator, "_push_error_to_user", ["self", "exc"]),
        (GroupCoordinator, "need_rejoin", ["self", "subscription"]),
        (GroupCoordinator, "_do_heartbeat", ["self"]),
        (GroupCoordinator, "_start_heartbeat_task", ["self"]),
        (GroupCoordinator, "_stop_heartbeat_task", ["self"]),
        (AIOKafkaClient, "force_metadata_update", ["self"]),
        (Sender, "_sender_routine", ["self"]),
        (TransactionManager, "wait_for_transaction_end", ["self"]),
        (MessageAccumulator, "add_batch", ["self", "builder", "tp", "timeout"]),
        (BatchBuilder, "append", ["self", "timestamp", "key", "value", "headers"]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_method_we_override_or_call_has_these_parameters(owner, name, parameters):
    assert _parameters(getattr(owner, name))[: len(parameters)] == parameters


def test_the_rebalance_listener_is_called_in_a_synchronous_step():
    """`on_partitions_revoked` is a plain function that returns an awaitable: the reader is closed
    before anything can interleave."""
    assert not inspect.iscoroutinefunction(driver.ConsumerRebalanceListener.on_partitions_revoked)
    assert driver.Consumer.RebalanceListener is driver.ConsumerRebalanceListener
    assert not inspect.iscoroutinefunction(ours.RebalanceListener.on_partitions_revoked)


def test_the_thread_has_a_loop_of_its_own_and_knows_its_parents():
    source = inspect.getsource(ServiceThread.__init__)
    assert "self.parent_loop" in source
    assert "self.thread_loop" in source
    assert issubclass(faust_consumer.ConsumerThread, QueueServiceThread)


def test_the_consumer_has_a_fetcher_and_a_subscription():
    source = inspect.getsource(AIOKafkaConsumer)
    for name in ("self._fetcher", "self._subscription", "self._coordinator"):
        assert name in source


async def test_a_transactional_producer_has_what_is_closed_by_hand():
    producer = AIOKafkaProducer(transactional_id="id")
    assert producer._sender.sender_task is None
    assert producer._txn_manager.wait_for_transaction_end() is None
    await producer.stop()


def test_the_session_of_a_consumer_is_known():
    assert "self._session_timeout_ms = " in inspect.getsource(AIOKafkaConsumer)


async def test_a_partitions_position_is_a_plain_attribute():
    """Read by the reader to notice that somebody else sought."""
    state = TopicPartitionState(object())
    assert state._position is None
    state.seek(7)
    assert state._position == 7


def test_an_error_of_the_coordination_waits_to_be_asked_for():
    """Read by `streams.kafka.consume.health`; if it waited no more, nobody would have to ask."""
    assert "_error_consumed_fut" in inspect.getsource(GroupCoordinator._push_error_to_user)
    assert "raise exc" in inspect.getsource(GroupCoordinator.check_errors)


def test_the_fetchers_task_can_be_asked_for():
    assert isinstance(Fetcher.error_future, property)
    assert "self._fetch_task" in inspect.getsource(Fetcher.error_future.fget)


def test_a_rebalance_in_progress_can_be_asked_for():
    assert isinstance(SubscriptionState.reassignment_in_progress, property)


def test_the_fetcher_keeps_what_it_fetched_by_partition():
    assert "self._records = " in inspect.getsource(Fetcher.__init__).replace(": ", " ")


def test_records_are_taken_from_a_fetch_as_aiokafka_takes_them():
    """`streams.kafka.consume.open_batches` is `getall` with an end by bytes."""
    source = inspect.getsource(FetchResult.getall)
    for name in ("check_assignment", "has_more", "_partition_records", "_update_position"):
        assert name in source


def test_the_batches_of_a_fetch_can_be_watched():
    """Its source is asked for when the first record is taken, and only for these."""
    source = inspect.getsource(PartitionRecords._unpack_records)
    assert "records = self._records\n" in source
    assert source.count("records.") == len(("has_next", "next_batch"))
    assert "self._records_iterator = self._unpack_records()" in inspect.getsource(PartitionRecords)
    assert "consumer_record = self._consumer_record(tp, record)" in source
    assert "yield consumer_record" in source
    assert inspect.getsource(PartitionRecords).count("_consumer_record(") == 2
    assert MemoryRecords(b"").size_in_bytes() == 0


def test_a_fetch_is_read_by_the_two_classes_that_ours_take_the_place_of():
    """`streams.kafka.consume.fetched_records`; a FetchError waits to be taken, and its partition is
    not fetched meanwhile (`refused_fetches`)."""
    source = inspect.getsource(Fetcher._proc_fetch_request)
    assert "records = MemoryRecords(part_data[-1])" in source
    assert "partition_records = PartitionRecords(" in source
    assert "if tp in self._records:" in inspect.getsource(Fetcher._get_actions_per_node)
    parameters = _parameters(PartitionRecords.__init__)
    assert parameters[:5] == ["self", "tp", "records", "aborted_transactions", "fetch_offset"]
    assert _parameters(Fetcher._set_error) == ["self", "tp", "error"]


async def test_a_batch_takes_another_builder_which_asks_a_headers_name_for_its_bytes():
    """`streams.kafka.produce.any_names`."""
    producer = AIOKafkaProducer(enable_idempotence=True)
    batch = AnyNameBatch(producer)
    assert batch.append(timestamp=0, key=None, value=b"", headers=[("\udcff", None)])
    batch._set_producer_state(7, 1, 3)
    raw = bytes(batch._build())
    (record,) = read_batch(raw)
    assert record.headers == [("\udcff", None)]
    assert HEADER.unpack_from(raw)[9:12] == (7, 1, 3)
    assert "builder._set_producer_state" in inspect.getsource(message_accumulator)
    await producer.stop()


def test_an_error_code_can_be_given_a_name():
    assert "kafka_errors.get(error_code" in inspect.getsource(for_code)


def test_a_batch_says_what_offsets_it_has_and_whether_it_is_compressed():
    builder = DefaultRecordBatchBuilder(2, DefaultRecordBatch.CODEC_ZSTD, 0, -1, -1, 0, 1000)
    for offset in range(3):
        builder.append(offset, 0, None, b"value", [])
    batch = MemoryRecords(bytes(builder.build())).next_batch()
    facts = (batch.base_offset, batch.next_offset, batch.compression_type)
    assert facts == (0, 3, DefaultRecordBatch.CODEC_ZSTD)


def test_what_waits_can_be_kept_from_holding_up_a_nodes_fetches():
    for kind in (FetchResult, FetchError):
        assert "self._backoff" in inspect.getsource(kind.calculate_backoff)
    assert "self._wait_consume_future" in inspect.getsource(Fetcher.fetched_records)
    assert "self._fetch_max_bytes" in inspect.getsource(Fetcher._get_actions_per_node)


def test_an_idempotent_batch_is_repeated_for_ever():
    """The ordered queue's rule 4: without it a slow broker makes duplicates."""
    assert "txn_manager is None and batch.expired()" in inspect.getsource(
        SendProduceReqHandler._can_retry
    )


async def test_the_time_to_live_of_a_producers_batches_is_the_accumulators():
    """The ordered queue's rule 4 again: taken from idempotent batches, which a partition without a
    leader would make fail otherwise; every later batch gets it from there."""
    producer = AIOKafkaProducer(enable_idempotence=True)
    assert producer._message_accumulator._batch_ttl == 40.0
    assert "self._batch_ttl" in inspect.getsource(MessageAccumulator._append_batch)
    assert "expired()" in inspect.getsource(MessageAccumulator.drain_by_nodes)
    await producer.stop()


def test_a_batch_that_the_broker_has_but_no_longer_knows_is_done_without_an_offset():
    """It answers -1 then: `Trail.wrote` takes the place behind what was written before."""
    source = inspect.getsource(SendProduceReqHandler.handle_response)
    branch = source[source.index("elif error is DuplicateSequenceNumber") :]
    assert branch.index("batch.done(offset") < branch.index("elif not self._can_retry")


def test_batches_on_their_way_are_a_set_that_a_failed_one_is_removed_from_without_a_look():
    """`forgive_failed_batches`: once this fails, it may go."""
    assert "self._pending_batches.remove(batch)" in inspect.getsource(MessageAccumulator._pop_batch)
    assert "_pending_batches = set()" in inspect.getsource(MessageAccumulator.__init__)


def test_faust_starts_the_apps_own_part_before_its_consumer():
    """Topics are checked in `on_start`, before the group is joined."""
    source = inspect.getsource(Service._actually_start)
    assert source.index("self.on_start()") < source.index("child.maybe_start()")
    assert hasattr(App, "on_start")
    assert hasattr(App, "crash_reason")
    assert hasattr(App, "wait_until_stopped")
