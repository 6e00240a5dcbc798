"""Errors of aiokafka's own tasks, which wait for somebody to ask: over its real coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
)

from streams.errors import BrokerError
from streams.kafka.consume import reader
from streams.kafka.consume.health import AnotherProtocolError
from streams.kafka.consume.reader import LaneReader
from tests.kafka.fetched import OfflineConsumer


class Cluster:
    def add_listener(self, _listener: Any) -> None: ...

    def topics(self) -> set[str]:
        return set()

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0}


class Client:
    """As much of a client as the coordination asks for before it joins."""

    cluster = Cluster()
    protocol_type = "consumer"

    def set_topics(self, _topics: Any) -> Any:
        done = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    async def coordinator_lookup(self, _kind: Any, _group: str) -> int:
        return 0

    async def ready(self, _node: int, group: Any = None) -> bool:
        return True

    async def send(self, _node: int, _request: Any, group: Any = None) -> Any:
        """Describes the group."""
        described = {"groups": [{"protocol_type": self.protocol_type}]}
        return SimpleNamespace(to_object=lambda: described)


class Group:
    """`answers`: what joining meets, one after the other; then it is joined."""

    def __init__(self, *answers: KafkaError) -> None:
        self.answers = list(answers)
        self.joined = asyncio.Event()

    async def join(self, _subscription: Any, _before: Any) -> None:
        if self.answers:
            raise self.answers.pop(0)
        self.joined.set()
        await asyncio.sleep(60)


@asynccontextmanager
async def member(group: Group, *, under_way: bool = False) -> AsyncIterator[list[BaseException]]:
    """A reader in that group; gives the errors that it tells the worker of."""
    consumer: Any = OfflineConsumer(TopicPartition("source", 0))
    consumer._subscription = subscription = type(consumer._subscription)()
    subscription.register_fetch_waiters(consumer._fetcher._fetch_waiters)
    coordinator = consumer._coordinator = GroupCoordinator(
        Client(), subscription, group_id="worker", assignors=(StickyPartitionAssignor,)
    )
    coordinator.ensure_active_group = group.join
    failed: list[BaseException] = []
    reading = LaneReader(consumer, asyncio.get_running_loop(), lambda _lists: None, failed.append)
    reading._round_open = under_way
    task = asyncio.ensure_future(reading.run())
    await asyncio.sleep(0)
    subscription.subscribe({"source"})
    try:
        yield failed
    finally:
        task.cancel()
        coordinator._coordination_task.cancel()
        await asyncio.gather(task, coordinator._coordination_task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "IDLE_CHECK_S", 0.01)


async def told(failed: list[BaseException], count: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(failed) < count:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("under_way", [False, True])
@pytest.mark.parametrize(
    ("error", "what"),
    [
        (GroupAuthorizationFailedError("worker"), "--group worker"),
        (InvalidSessionTimeoutError(), "kafka.session_timeout_s"),
        (InvalidGroupIdError(), "[worker] id"),
    ],
)
async def test_an_error_of_the_coordination_ends_the_worker_with_one_line(error, what, under_way):
    """The worker would live on, without heartbeats, and never be assigned anything again."""
    async with member(Group(error), under_way=under_way) as failed:
        await told(failed)
        assert isinstance(failed[0], BrokerError)
        assert what in str(failed[0])
        assert "worker" in str(failed[0])


async def test_an_error_that_nobody_foresaw_is_no_end_the_group_is_joined_anew():
    group = Group(KafkaError("Unexpected exception in heartbeat task: UnknownError()"))
    async with member(group) as failed:
        await asyncio.wait_for(group.joined.wait(), 5)
        assert [type(error) for error in failed] == [KafkaError]


async def test_a_group_of_another_protocol_is_joined_as_soon_as_its_members_are_gone():
    group = Group(*[InconsistentGroupProtocolError()] * 3)
    async with member(group) as failed:
        await asyncio.wait_for(group.joined.wait(), 5)
        assert {type(error) for error in failed} == {AnotherProtocolError}
        assert "another [worker] id" in str(failed[0])


async def test_a_group_of_another_kind_of_program_ends_the_worker(monkeypatch):
    """Of a Connect cluster, for example: its members will not be gone."""
    monkeypatch.setattr(Client, "protocol_type", "connect")
    async with member(Group(InconsistentGroupProtocolError())) as failed:
        await told(failed)
        assert isinstance(failed[0], BrokerError)
        assert "'connect'" in str(failed[0])
        assert "another [worker] id" in str(failed[0])


async def test_a_coordination_that_has_ended_ends_the_worker():
    group = Group()

    async def broken(*_args: Any) -> None:
        raise RuntimeError("unforeseen")

    group.join = broken  # type: ignore[method-assign]
    async with member(group) as failed:
        await told(failed)
        assert isinstance(failed[0], BrokerError)
        assert "unforeseen" in str(failed[0])


async def test_a_fetcher_that_has_ended_ends_the_worker():
    consumer: Any = OfflineConsumer(TopicPartition("source", 0))
    failed: list[BaseException] = []
    reading = LaneReader(consumer, asyncio.get_running_loop(), lambda _lists: None, failed.append)
    task = asyncio.ensure_future(reading.run())
    await asyncio.sleep(0)
    assert failed == []
    consumer._fetcher._fetch_task.set_exception(KafkaError("unforeseen"))
    await told(failed)
    assert isinstance(failed[0], BrokerError)
    assert "nothing can be fetched" in str(failed[0])
    task.cancel()
