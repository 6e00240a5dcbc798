"""No batch goes into the socket of a process that has lost its right to write."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from streams.kafka.produce.producers import Producers
from streams.kafka.produce.send_guard import guard


class Client:
    """`stands_still`: while it connects, the right to write is lost."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.may_send = True
        self.stands_still = False

    async def ready(self, node: int, **_: Any) -> bool:
        self.may_send = self.may_send and not self.stands_still
        return True

    async def send(self, node: int, request: Any, **_: Any) -> str:
        self.sent.append(request)
        return "answer"


def request() -> ProduceRequest:
    return ProduceRequest(transactional_id=None, required_acks=-1, timeout=1000, topics=[])


@pytest.fixture
def client() -> Client:
    client = Client()
    guard(client, lambda: client.may_send)
    return client


async def test_a_batch_is_sent_while_it_may_be(client: Client) -> None:
    assert await client.send(1, request()) == "answer"
    assert len(client.sent) == 1


async def test_a_batch_is_tried_again_later_while_it_may_not_be_sent(client: Client) -> None:
    client.may_send = False
    with pytest.raises(NodeNotReadyError) as caught:
        await client.send(1, request())
    assert caught.value.retriable
    assert client.sent == []
    client.may_send = True
    assert await client.send(1, request()) == "answer"


async def test_the_check_comes_after_all_that_may_take_long(client: Client) -> None:
    """Replays: 30 results stood twice in the sink, written by a process that had stood still."""
    client.stands_still = True
    with pytest.raises(NodeNotReadyError):
        await client.send(1, request())
    assert client.sent == []


async def test_other_requests_pass(client: Client) -> None:
    client.may_send = False
    assert await client.send(1, MetadataRequest([])) == "answer"


async def test_every_new_producer_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiokafka import AIOKafkaProducer

    async def started(self: Any) -> None:
        return None

    monkeypatch.setattr(AIOKafkaProducer, "start", started)
    producers = Producers({}, may_send=lambda: False)
    await producers.start()
    producer = await producers.current()
    monkeypatch.setattr(producer.client, "ready", Client().ready)
    with pytest.raises(NodeNotReadyError, match="may not write"):
        await producer.client.send(1, request())
    await producers.stop()
