"""A client whose topic has no leader does not ask for metadata as fast as it can."""

from __future__ import annotations

import asyncio
import inspect
import math
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import Sender
from aiokafka.producer.transaction_manager import TransactionManager

from streams.kafka.client import METADATA_EVERY_S, pace_metadata

FOR_S = 0.5


@pytest.fixture
async def client(monkeypatch):
    """A real client; `asked` is how often it asked a broker that answers at once."""
    made = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    made.asked = 0
    made.api_version = (2, 0, 0)

    async def ask(*_arguments) -> bool:
        made.asked += 1
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(made, "_metadata_update", ask)
    pace_metadata(made)
    task = asyncio.ensure_future(made._md_synchronizer())
    yield made
    task.cancel()


async def test_a_batch_without_a_leader_has_metadata_asked_for_now_and_then(client):
    """Some eight hundred times a second it was, for as long as the leader was away."""
    client.cluster = SimpleNamespace(leader_for_partition=lambda _partition: None)
    manager = TransactionManager(None, 60_000)
    manager.set_pid_and_epoch(1, 0)
    batches = MessageAccumulator(client.cluster, 16_384, 0, math.inf, txn_manager=manager)
    sender = Sender(
        client, acks=-1, txn_manager=manager, message_accumulator=batches,
        retry_backoff_ms=100, request_timeout_ms=1000,
    )  # fmt: skip
    sending = asyncio.ensure_future(sender._sender_routine())
    builder = batches.create_builder()
    builder.append(timestamp=1, key=None, value=b"value")
    await batches.add_batch(builder, TopicPartition("gone", 0), 5)
    await asyncio.sleep(FOR_S)
    sending.cancel()
    assert 2 <= client.asked <= FOR_S / METADATA_EVERY_S + 1


async def test_a_first_question_does_not_wait(client):
    began = asyncio.get_running_loop().time()
    assert await client.force_metadata_update()
    assert asyncio.get_running_loop().time() - began < METADATA_EVERY_S


def test_a_client_updates_its_metadata_in_one_place():
    assert "await self._metadata_update(" in inspect.getsource(AIOKafkaClient._md_synchronizer)
