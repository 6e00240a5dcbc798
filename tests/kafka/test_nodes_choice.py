"""One silent node of several does not hold up what any other node can answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.protocol.metadata import MetadataRequest

from streams.errors import BrokerError
from streams.kafka import admin, nodes
from streams.kafka import client as kafka_client
from streams.kafka.admin import Admin
from streams.kafka.client import broker_answer, connect, connected
from streams.kafka.contacts import first_answer
from tests.kafka.played_node import PlayedNode, cluster, node
from tests.patience import Stopwatch


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def joined_by(count: int) -> AsyncIterator[tuple[list[PlayedNode], Any]]:
    """A cluster, and an admin client that knows it by its last node."""
    async with cluster(count) as played:
        last = played[-1].address
        async with connected(Admin(bootstrap_servers=last), last) as client:
            yield played, client


# -- the first contact -----------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_silent_host_among_those_to_begin_with_costs_no_time(place, silent):
    """aiokafka waited 40 s for each, and the command ended after 8."""
    async with node() as played:
        hosts = [silent, silent]
        hosts.insert(place, played.address)
        waiting = Stopwatch()
        async with connected(Admin(bootstrap_servers=hosts), ",".join(hosts)) as client:
            assert waiting.took_s < 3
            assert (await client.describe_cluster())["brokers"][0]["port"] > 0


@pytest.mark.parametrize("kind", [AIOKafkaProducer, AIOKafkaConsumer])
async def test_so_it_is_for_producers_and_consumers(kind, silent):
    async with node() as played:
        hosts = [silent, played.address]
        waiting = Stopwatch()
        async with connected(kind(bootstrap_servers=hosts), ",".join(hosts)):
            assert waiting.took_s < 3


async def test_attempts_begin_one_after_the_other_and_the_first_answer_counts():
    begun: list[int] = []

    async def attempt(number: int) -> int:
        begun.append(number)
        if number == 0:
            await asyncio.sleep(60)
        if number == 1:
            raise OSError
        return number

    attempts = [lambda n=n: attempt(n) for n in range(4)]
    assert await first_answer(attempts, 0.02) == 2
    assert begun == [0, 1, 2], "the one after a failure begins at once, the last one never"


async def test_all_attempts_that_fail_raise_the_last_error():
    async def fail(error: Exception) -> None:
        raise error

    last = OSError("two")
    with pytest.raises(OSError, match="two"):
        await first_answer([lambda: fail(OSError("one")), lambda: fail(last)], 1)


# -- later -----------------------------------------------------------------------------------------


async def test_a_request_that_any_node_can_answer_goes_to_another_when_one_is_silent(monkeypatch):
    monkeypatch.setattr(admin, "STAGGER_S", 0.05)
    async with joined_by(3) as (played, client):
        await client.describe_cluster()
        played[0].freeze()
        played[2].freeze()
        for _ in range(5):
            assert len((await client.describe_cluster())["brokers"]) == 3


async def test_a_node_that_owes_an_answer_is_chosen_last(monkeypatch):
    """So that a coordinator's lookup, or a producer id, is not asked of a frozen node again."""
    monkeypatch.setattr(nodes, "STAGGER_S", 0.05)
    async with joined_by(2) as (played, client):
        played[0].freeze()
        await client._nodes.ask_any(MetadataRequest([]), first=0, stagger_s=0.05)
        assert {client._nodes.get_random_node() for _ in range(50)} == {1}


async def test_a_node_is_connected_to_while_another_is_silent(monkeypatch):
    """aiokafka connects to one node at a time."""
    monkeypatch.setattr(nodes, "CONTACT_WITHIN_S", 30.0)
    async with joined_by(2) as (played, client):
        played[0].freeze()
        frozen = asyncio.ensure_future(client._nodes.ready(0))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert await client._nodes.ready(1)
        assert not frozen.done()
        frozen.cancel()


async def test_a_node_that_has_left_the_cluster_owes_no_answer_any_more(monkeypatch):
    """Its connection is closed, so that the request goes to the new leader; aiokafka waits 40 s."""
    monkeypatch.setattr(nodes, "WATCH_EVERY_S", 0.05)
    async with joined_by(2) as (played, client):
        assert await client._nodes.ready(0)
        played[0].freeze()
        asking = asyncio.ensure_future(client._nodes.send(0, MetadataRequest([])))
        await asyncio.sleep(0.2)
        assert not asking.done(), "it still belongs to the cluster"
        played[1].nodes = played[1].nodes[1:]
        with pytest.raises(Exception, match="closed"):
            await asyncio.wait_for(asking, 5)


async def test_a_leader_is_waited_for_while_other_nodes_answer(monkeypatch):
    monkeypatch.setattr(kafka_client, "QUIET_S", 0.05)
    async with joined_by(2) as (played, client):

        async def late() -> str:
            seen = sum(len(each.requests) for each in played)
            while sum(len(each.requests) for each in played) < seen + 5:  # noqa: ASYNC110  are asked
                await asyncio.sleep(0.01)
            return "late"

        assert await broker_answer(late(), client) == "late"
        monkeypatch.setattr(kafka_client, "ANY_WITHIN_S", 0.05)
        for each in played:
            each.freeze()
        with pytest.raises(BrokerError):
            await broker_answer(asyncio.sleep(60), client)


async def test_a_controller_that_takes_its_time_is_waited_for_while_nodes_answer(monkeypatch):
    """Nodes pass a request on to a frozen controller until they hear of the next one, and answer
    nothing else on that connection."""
    monkeypatch.setattr(kafka_client, "QUIET_S", 0.5)
    monkeypatch.setattr(admin, "HANDED_OVER_WITHIN_S", 2.0)
    monkeypatch.setattr(admin, "CONTROLLER_WITHIN_S", 0.1)
    async with joined_by(2) as (_, client):
        began = asyncio.get_running_loop().time()
        with pytest.raises(BrokerError, match="a node does not answer"):
            await client.create_topics([NewTopic("reviews", 1, 1)])
        assert asyncio.get_running_loop().time() - began >= 2.0


# -- what a cluster says of itself ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["refused", "unresolvable", "silent"])
async def test_a_wrong_advertised_address_is_named_within_15_s(kind, silent, monkeypatch):
    monkeypatch.setattr(admin, "ANSWER_WITHIN_S", 1.0)
    wrong = {"refused": "127.0.0.1:1", "unresolvable": "nowhere.invalid:9092", "silent": silent}
    why = {"refused": "connection refused", "unresolvable": "not found", "silent": "no answer"}
    host, _, port = wrong[kind].rpartition(":")
    async with AsyncExitStack() as stack:
        played = await stack.enter_async_context(node(advertised=(host, int(port))))
        client = Admin(bootstrap_servers=played.address)
        await stack.enter_async_context(connected(client, played.address))
        with pytest.raises(BrokerError) as raised:
            await client.describe_topics()
    assert f"{wrong[kind]}: " in str(raised.value)
    assert why[kind] in str(raised.value)
    assert "advertised.listeners" in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_producer_that_finds_no_node_at_the_advertised_address_says_so():
    async with node(advertised=("127.0.0.1", 1)) as played:
        producer = AIOKafkaProducer(bootstrap_servers=played.address, enable_idempotence=True)
        with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1: connection refused.*advertised"):
            await connect(producer, played.address, within_s=0.5)
