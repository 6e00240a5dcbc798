"""The one producer factory: what every user's producers get, each a fact measured on aiokafka."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ClusterAuthorizationFailedError, UnknownError

from streams.kafka.produce import producers as module
from streams.kafka.produce.job_writer import job_producers
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.transactions import Transactions
from streams.worker.call_ledger import Ledger
from tests import house
from tests.kafka.producers import Broker, OfflineProducers


def of_the_sink() -> Producers:
    return Producers({})


def of_the_ledger() -> Producers:
    ledger = Ledger("w", {}, {}, end_of=lambda lane: None, room_bytes=1, batch_bytes=1000)
    return ledger._writer.producers


def of_a_command() -> Producers:
    return job_producers({}, pytest.fail, 1000)


@pytest.fixture
def no_network(monkeypatch):
    async def started(self: Any) -> None:
        return None

    monkeypatch.setattr(AIOKafkaProducer, "start", started)


async def _transactional() -> AIOKafkaProducer:
    transactions = Transactions(
        {}, worker_id="w", interval_s=1.0, committed=pytest.fail, progress=pytest.fail,
        presses=pytest.fail, on_lost=pytest.fail, on_defect=pytest.fail,
    )  # fmt: skip
    return await transactions.connect(TopicPartition("source", 0))


@pytest.fixture(params=[of_the_sink, of_the_ledger, of_a_command, None])
async def producer(request, no_network) -> AsyncIterator[AIOKafkaProducer]:
    """As each user makes it; None: as a transaction does."""
    if request.param is None:
        made = await _transactional()
        yield made
        await made.stop()
        return
    producers = request.param()
    await producers.start()
    yield await producers.current()
    await producers.stop()


def test_no_other_module_makes_a_producer():
    """But for the demo, which sends one by one to a topic of its own."""
    makers = {name for name, text in house.texts().items() if "AIOKafkaProducer(" in text}
    assert makers == {"streams.kafka.produce.producers", "streams.demo.run"}


async def test_every_producer_is_idempotent_and_its_batches_are_never_given_up(producer):
    assert producer._txn_manager is not None
    assert producer._sender._acks == -1
    assert producer._message_accumulator._batch_ttl == math.inf


async def test_every_producer_asks_for_metadata_now_and_then(producer):
    assert producer.client._metadata_update.__module__ == "streams.kafka.client"


async def test_every_producer_lets_a_batch_fail_while_it_waits_to_be_sent_again(producer):
    producer._message_accumulator._pending_batches.remove("a batch that is not there")


@pytest.mark.usefixtures("no_network")
async def test_a_ledgers_and_a_commands_batches_are_no_larger_than_their_topic_takes():
    for producers in (of_the_ledger(), of_a_command()):
        await producers.start()
        producer = await producers.current()
        assert producer._message_accumulator._batch_size == 1000
        await producers.stop()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_batch_is_not_given_up_while_its_partition_has_no_leader(monkeypatch, idempotent):
    """It may have been written before the leader fell: another producer would write it again. A
    plain producer (the embedded broker) has no way to know, and keeps aiokafka's limit."""
    producers = Producers({"enable_idempotence": idempotent})
    await producers.start()
    producer = await producers.current()
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
    for _ in range(50):
        await asyncio.sleep(0)
    assert acknowledged.done() is not idempotent
    leaders[where] = 2
    if idempotent:
        assert accumulator.drain_by_nodes(set())[0] == {2: {where: sent}}
    acknowledged.add_done_callback(lambda done: done.exception())
    sent.done(base_offset=0)
    await producers.stop()


async def test_the_embedded_broker_gets_a_producer_without_idempotence(caplog):
    """It refuses producer ids with UnknownError; what comes late may be written twice there."""
    producers = OfflineProducers(Broker())
    producers.refusals = [UnknownError()]
    await producers.start()
    assert not producers.idempotent
    assert "no idempotent producers" in caplog.text
    await producers.stop()


async def test_only_a_command_goes_on_without_idempotence_where_it_may_not_have_it(monkeypatch):
    told: list[str] = []
    refusals: list[Exception] = []

    async def connect(self: Producers) -> Any:
        if refusals:
            raise refusals.pop()

    monkeypatch.setattr(Producers, "_connect", connect)
    command, sink = job_producers({}, told.append), of_the_sink()
    refusals.append(ClusterAuthorizationFailedError())
    await command.start()
    assert not command.idempotent
    assert len(told) == 1
    refusals.append(ClusterAuthorizationFailedError())
    with pytest.raises(ClusterAuthorizationFailedError):
        await sink.start()


async def test_a_stop_does_not_wait_for_ever_for_a_partition_without_a_leader(monkeypatch):
    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.01)
    producers = OfflineProducers(Broker())
    await producers.start()
    (producer,) = producers.made
    producer.stop = asyncio.Event().wait  # type: ignore[method-assign, assignment]
    await asyncio.wait_for(producers.stop(), 5)


@pytest.mark.usefixtures("no_network")
async def test_a_start_that_fails_does_not_wait_for_ever_for_its_end(monkeypatch):
    """A broker that stands still leaves a TLS connection open for 30 s; a command has 15 in all."""

    async def refused(self: Any) -> None:
        raise UnknownError

    async def stop(self: Any) -> None:
        self._closed = True
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "STOP_WITHIN_S", 0.01)
    monkeypatch.setattr(AIOKafkaProducer, "start", refused)
    monkeypatch.setattr(AIOKafkaProducer, "stop", stop)
    with pytest.raises(UnknownError):
        await asyncio.wait_for(job_producers({}, str).start(), 5)
