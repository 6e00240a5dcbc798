"""Idempotent and transactional producers."""

from __future__ import annotations

import pytest
from aiokafka.errors import ProducerFenced

from tests.contract.brokers.clients import consuming, partition, producing, take, values


@pytest.mark.needs("idempotence")
async def test_an_idempotent_producer_delivers_once_and_in_order(broker, topic):
    name = await topic()
    async with producing(broker.bootstrap, enable_idempotence=True) as producer:
        sent = [await producer.send(name, b"%d" % n, partition=0) for n in range(5000)]
        for acknowledged in sent:
            await acknowledged
    assert await values(broker.bootstrap, name, 5000) == [b"%d" % n for n in range(5000)]


@pytest.mark.needs("transactions")
async def test_committed_records_are_read_and_aborted_ones_are_not(broker, topic):
    name = await topic()
    async with producing(broker.bootstrap, transactional_id=f"{name}-tx") as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(name, b"aborted", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(name, b"committed", partition=0)
    read = await values(broker.bootstrap, name, 1, isolation_level="read_committed")
    assert read == [b"committed"]


@pytest.mark.needs("transactions")
async def test_offsets_commit_with_their_transaction_or_not_at_all(broker, topic):
    name, group = await topic(), "offsets"
    group = f"{group}-{name}"
    async with producing(broker.bootstrap, transactional_id=f"{name}-tx") as producer:
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({partition(name): 7}, group)
        await producer.abort_transaction()
        async with consuming(broker.bootstrap, group_id=group) as consumer:
            consumer.assign([partition(name)])
            assert await consumer.committed(partition(name)) is None
        async with producer.transaction():
            await producer.send_offsets_to_transaction({partition(name): 9}, group)
    async with consuming(broker.bootstrap, group_id=group) as consumer:
        consumer.assign([partition(name)])
        assert await consumer.committed(partition(name)) == 9


@pytest.mark.needs("transactions")
async def test_a_second_producer_of_the_same_id_fences_the_first(broker, topic):
    name = await topic()
    settings = {"transactional_id": f"{name}-tx"}
    async with producing(broker.bootstrap, **settings) as first:
        await first.begin_transaction()
        await first.send_and_wait(name, b"zombie", partition=0)
        async with producing(broker.bootstrap, **settings) as second:
            with pytest.raises(ProducerFenced):
                await first.commit_transaction()
            async with second.transaction():
                await second.send_and_wait(name, b"successor", partition=0)
    async with consuming(broker.bootstrap, name, isolation_level="read_committed") as consumer:
        assert [record.value for record in await take(consumer, 1)] == [b"successor"]
