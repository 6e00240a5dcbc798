"""Where lanes begin when the broker cannot say, or says no: the transport between a host and a
consumer thread that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.kafka.consume import thread as consumer_thread
from streams.kafka.consume import transport
from streams.kafka.consume.thread import ConsumerThread
from streams.kafka.consume.transport import Consumer
from streams.kafka.extents import Extent, extents_of

ONE, TWO = TopicPartition("source", 0), TopicPartition("source", 1)


class Host:
    """`fatal`: what the worker was ended for; `assigned`: the partitions of each assignment that
    got a lane."""

    sources = frozenset({"source"})
    draining = False

    def __init__(self) -> None:
        self.fatal: list[BaseException] = []
        self.errors: list[BaseException] = []
        self.assigned: list[list[TopicPartition]] = []
        self.missing: list[Collection[TopicPartition]] = []

    async def on_revoked(self) -> None: ...
    async def before_assigned(self, ours: Any) -> None: ...
    async def before_lanes(self, starts: Any) -> None: ...

    def on_assigned(
        self, starts: Mapping[TopicPartition, Committed], missing: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Any]:
        self.assigned.append(sorted(starts))
        self.missing.append(missing)
        return {tp: (f"lane {tp.partition}", said.offset) for tp, said in starts.items()}

    def allowance(self) -> Mapping[Any, int]:
        return {}

    def on_reader_error(self, error: BaseException) -> bool:
        self.errors.append(error)
        if isinstance(error, BrokerError | TopicAuthorizationFailedError):
            self.fatal.append(error)
            return True
        return False

    def on_rebalance_error(self, error: BaseException) -> None:
        self.fatal.append(error)


class Thread:
    """`answers`: what reading the starts gives, one after the other; the last one for ever."""

    def __init__(self, *answers: Iterable[TopicPartition] | Exception) -> None:
        self.answers = list(answers)
        self.thread_loop = asyncio.get_running_loop()
        self.rejoin = False
        self.called: list[str] = []

    async def starts(self, _partitions: Any) -> dict[TopicPartition, Committed]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {tp: Committed(7) for tp in answer}

    async def before_joining(self) -> None: ...

    def is_closed(self) -> bool:
        return False

    def must_rejoin(self) -> bool:
        return self.rejoin

    def in_thread(self, name: str, *_args: Any) -> None:
        self.called.append(name)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_args: Any) -> None: ...

    monkeypatch.setattr(transport, "RETRY_INTERVAL_S", 0.001)
    monkeypatch.setattr(transport, "LEADERS_EVERY_S", 0.001)
    monkeypatch.setattr(driver.Consumer, "on_partitions_assigned", nothing)
    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", nothing)


@contextmanager
def member(thread: Thread) -> Iterator[tuple[Consumer, Host]]:
    consumer, host = Consumer.__new__(Consumer), Host()
    consumer.app = SimpleNamespace(record_host=host)
    consumer._thread = thread
    try:
        yield consumer, host
    finally:
        if consumer._leaders is not None:
            consumer._leaders.cancel()


async def assign(consumer: Consumer) -> None:
    await asyncio.wait_for(consumer.on_partitions_assigned({TP(*ONE), TP(*TWO)}), 2)


@pytest.mark.parametrize("error", [KafkaTimeoutError("40000 ms"), UnknownError(ONE), KafkaError()])
async def test_offsets_that_could_not_be_read_are_read_again_whatever_it_was(error):
    """aiokafka says of few errors that they are retriable; the worker would hold its partitions and
    read none of them until the next rebalance."""
    with member(Thread(error, error, [ONE, TWO])) as (consumer, host):
        await assign(consumer)
        assert host.assigned == [[ONE, TWO]]
        assert host.fatal == []


@pytest.mark.parametrize("error", [BrokerError("out of range"), TopicAuthorizationFailedError()])
async def test_an_error_that_ends_the_worker_is_not_tried_again(error):
    with member(Thread(error)) as (consumer, host):
        await assign(consumer)
        assert host.fatal == [error]
        assert host.assigned == [[]]


async def test_reading_offsets_ends_when_the_group_has_to_be_joined_again():
    """The others wait for us; their rebalance timeout would put us out."""
    thread = Thread(KafkaTimeoutError())
    thread.rejoin = True
    with member(thread) as (consumer, host):
        await assign(consumer)
        assert host.assigned == [[]]
        assert host.missing == [{ONE, TWO}], "what is suspended may still go on"


async def test_partitions_with_a_leader_are_read_and_the_group_is_joined_again_for_the_others():
    thread = Thread([ONE], [], KafkaTimeoutError(), [TWO])
    with member(thread) as (consumer, host):
        await assign(consumer)
        assert (host.assigned, host.missing) == ([[ONE]], [{TWO}])
        assert thread.called == ["open", "allow"]
        async with asyncio.timeout(2):
            while "join_again" not in thread.called:  # noqa: ASYNC110  nothing tells us
                await asyncio.sleep(0.001)
        assert host.fatal == []


async def test_a_revocation_ends_the_wait_for_a_leader():
    thread = Thread([ONE], [])
    with member(thread) as (consumer, _):
        await assign(consumer)
        await consumer.on_partitions_revoked({TP(*ONE), TP(*TWO)})
        thread.answers = [[TWO]]
        await asyncio.sleep(0.02)
        assert "join_again" not in thread.called


async def test_an_error_that_nobody_has_thought_of_in_a_rebalance_ends_the_worker():
    """Faust and aiokafka log it and go on: with the partitions, and without reading any."""
    error = RuntimeError("unforeseen")
    with member(Thread(error)) as (consumer, host):
        await assign(consumer)
        assert host.fatal == [error]


async def test_an_error_that_nobody_has_thought_of_in_a_revocation_ends_the_worker():
    error = RuntimeError("unforeseen")
    with member(Thread([])) as (consumer, host):

        async def fails() -> None:
            raise error

        host.on_revoked = fails  # type: ignore[method-assign]
        await consumer.on_partitions_revoked({TP(*ONE)})
        assert host.fatal == [error]


class Logs:
    """The two requests of an `AIOKafkaConsumer`; `without`: partitions that have no leader."""

    def __init__(self, without: TopicPartition, how: Exception | None) -> None:
        self._without, self._how = without, how

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        if self._without in partitions:
            if self._how is not None:
                raise self._how
            await asyncio.sleep(60)
        return dict.fromkeys(partitions, 3)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 9)


@pytest.mark.parametrize("how", [None, KafkaTimeoutError(), LeaderNotAvailableError()])
async def test_a_partition_without_a_leader_does_not_keep_the_extents_of_the_others(how):
    """aiokafka waits 40 s for it, and fails them all."""
    logs: Any = Logs(TWO, how)
    assert await extents_of(logs, [ONE, TWO], within_s=0.02) == {ONE: Extent(3, 9)}


async def test_a_topic_that_may_not_be_read_is_said_at_once():
    logs: Any = Logs(TWO, TopicAuthorizationFailedError("source"))
    with pytest.raises(TopicAuthorizationFailedError):
        await extents_of(logs, [ONE, TWO])


async def test_a_source_that_may_not_be_read_ends_the_worker_with_the_acl_to_grant():
    group = Group()
    group._coordinator = SimpleNamespace(group_id="worker")

    async def refused(_partitions: Any) -> Any:
        raise TopicAuthorizationFailedError("source")

    group.beginning_offsets = refused  # type: ignore[method-assign]
    with pytest.raises(BrokerError, match="--topic source"):
        await Started(group).starts([ONE])


class Group:
    """`committed`: what it has, of partitions of a source with two; `unsure`: the errors before it
    says so."""

    def __init__(self, *committed: TopicPartition, unsure: int = 0) -> None:
        self.committed = set(committed)
        self.unsure = unsure
        self.partitions = {0, 1}
        self.updated = 0
        self._client = self
        self._coordinator: Any = None

    async def force_metadata_update(self) -> None:
        self.updated += 1

    def partitions_for_topic(self, _topic: str) -> set[int] | None:
        return self.partitions if self.updated else None

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 3)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 9)


class Started(ConsumerThread):
    """A thread with `start = "latest"`, in that group."""

    def __init__(self, group: Group, start: str = "latest") -> None:
        self.group = group
        self.app = SimpleNamespace(
            conf=SimpleNamespace(id="worker"),
            record_host=SimpleNamespace(
                start=start, sources={"source"}, checks_log_end=True, transactional=False
            ),
        )

    def _ensure_consumer(self) -> Any:
        return self.group

    async def committed(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        if self.group.unsure:
            self.group.unsure -= 1
            raise KafkaError("not now")
        return {tp: Committed(5) for tp in partitions if tp in self.group.committed}


async def test_latest_is_where_a_group_without_offsets_begins():
    thread = Started(Group())
    await thread.before_joining()
    starts = await thread.starts({ONE, TWO})
    assert starts == dict.fromkeys((ONE, TWO), Committed(9, is_committed=False))


async def test_a_partition_added_to_a_group_with_offsets_begins_with_its_first_record():
    """What was sent to it before the group noticed would be passed over otherwise."""
    thread = Started(Group(ONE))
    await thread.before_joining()
    assert await thread.starts({ONE, TWO}) == {
        ONE: Committed(5),
        TWO: Committed(3, is_committed=False),
    }


async def test_what_others_commit_of_the_same_assignment_does_not_make_a_partition_new():
    """Of two members that begin together the quicker one has committed its start when the slower
    one looks; that would read, and pay for, all that the source has."""
    thread = Started(Group())
    await thread.before_joining()
    thread.group.committed.add(ONE)
    assert await thread.starts({TWO}) == {TWO: Committed(9, is_committed=False)}
    await thread.before_joining()  # the next assignment: it was there at the first all the same
    assert await thread.starts({TWO}) == {TWO: Committed(9, is_committed=False)}


async def test_a_partition_that_had_no_leader_when_the_group_began_is_not_new_when_it_has_one():
    """Nor is one whose member died before its first commit: its backlog would be paid for."""
    thread = Started(Group())
    await thread.before_joining()
    thread.group.committed.add(ONE)
    thread.group.partitions = {0, 1, 2}
    await thread.before_joining()
    three = TopicPartition("source", 2)
    starts = await thread.starts({TWO, three})
    assert starts == {
        TWO: Committed(9, is_committed=False),
        three: Committed(3, is_committed=False),
    }


async def test_what_the_group_has_begun_with_is_asked_until_it_is_said(monkeypatch):
    monkeypatch.setattr(consumer_thread, "RETRY_INTERVAL_S", 0.001)
    thread = Started(Group(ONE, unsure=3))
    await thread.before_joining()
    assert (await thread.starts({TWO}))[TWO].offset == 3
    thread = Started(Group(ONE, unsure=4))
    await thread.before_joining()
    assert (await thread.starts({TWO}))[TWO].offset == 9


async def test_nothing_is_asked_before_joining_where_the_start_is_earliest():
    thread = Started(Group(unsure=1), start="earliest")
    await thread.before_joining()
    assert thread.group.unsure == 1
