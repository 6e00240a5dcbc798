"""aiokafka's own transactional producer over a network that is simulated: every request of it is
answered by `answers.py`, with an error code of Kafka's, or not at all.

What a request meets on its way: the coordinator stands still, or the leader of the partition does;
it is carried out, and the answer is lost with the connection, or says that nobody knows. A request
that a killed process had sent may arrive or not.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import KafkaConnectionError, UnknownError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.transaction import EndTxnRequest

from tests.simulation.answers import VERSIONS, Answers
from tests.simulation.loop import EPOCH_S

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World

LEADERS = 3
"""Nodes 0, 1 and 2 lead partitions, as "freeze" meets them; the others coordinate."""
TRANSACTIONS = 3
GROUPS = 4


class _Batch(BatchBuilder):
    """`None` as a timestamp is now, as the simulation has it."""

    def __init__(self, world: World) -> None:
        super().__init__(world.parameters.batch_bytes, 0, is_transactional=1)
        self._world = world

    def append(self, *, timestamp: int | None, **record: Any) -> Any:
        if timestamp is None:
            timestamp = int((EPOCH_S + self._world.now()) * 1000)
        return super().append(timestamp=timestamp, **record)


class TransactionalProducer(AIOKafkaProducer):
    """`member`: its process."""

    def __init__(self, world: World, member: Member, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._world = world
        self.client = _Client(world, member)
        self._metadata = self._message_accumulator._cluster = self.client
        self._sender.client = self.client

    def create_batch(self) -> _Batch:
        return _Batch(self._world)

    def __del__(self) -> None:
        """A killed process closes nothing."""


class _Client:
    """As much of aiokafka's client and of its cluster's metadata as a producer uses."""

    def __init__(self, world: World, member: Member) -> None:
        self._world = world
        self._member = member
        self._client_id = member.name
        self._answers = Answers(world, member)

    async def bootstrap(self) -> None:
        world, member = self._world, self._member
        if member.dead:
            await world.never()
        await world.takes_a_moment()
        if world.weather.is_on("connecting fails", 0):
            member.trouble(world.now())
            raise KafkaConnectionError

    async def close(self) -> None:
        pass

    # -- metadata --------------------------------------------------------------------------------

    def force_metadata_update(self) -> asyncio.Future[bool]:
        known = self._world.loop.create_future()
        known.set_result(True)
        return known

    async def _metadata_update(self) -> bool:
        return True

    async def _wait_on_metadata(self, topic: str) -> set[int]:
        return self.partitions_for_topic(topic)

    async def _maybe_wait_metadata(self) -> None:
        pass

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._world.broker.partitions[topic]))

    def leader_for_partition(self, where: TopicPartition) -> int:
        return where.partition % LEADERS

    async def coordinator_lookup(self, kind: Any, _key: str) -> int:
        return TRANSACTIONS if kind == CoordinationType.TRANSACTION else GROUPS

    async def ready(self, _node: int, *, group: Any) -> bool:
        return True

    # -- requests --------------------------------------------------------------------------------

    async def send(self, node: int, request: Any, *, group: Any = None) -> Any:
        world, member = self._world, self._member
        if member.dead:
            await world.never()
        tenures = dict(member.tenures)
        reaches = world.random.random() < 0.5
        answered: asyncio.Future[Any] = world.loop.create_future()

        def arrive() -> None:
            until = self._held_until(node)
            if until > world.now():
                member.trouble(until)
                world.loop.call_at(until + world.soon(), arrive)
            elif reaches or not member.dead:
                self._arrived(request.prepare(VERSIONS), tenures, answered)

        world.loop.call_later(world.soon(), arrive)
        world.unanswered.add(answered)
        answered.add_done_callback(world.unanswered.discard)
        return await answered

    def _held_until(self, node: int) -> float:
        weather, cut_until = self._world.weather, 0.0
        if node == GROUPS or self._world.parameters.isolated:
            cut_until = self._world.cut_until(self._member)
        if node == TRANSACTIONS:
            return max(cut_until, weather.until("coordinator hangs", self._member.number))
        if node == GROUPS:
            return max(cut_until, weather.until("commits hang", 0))
        return max(cut_until, weather.until("freeze", node))

    def _arrived(
        self, request: Any, tenures: dict[int, Any], answered: asyncio.Future[Any]
    ) -> None:
        world, member, answer = self._world, self._member, None
        with world.guard():
            answer = self._answers.to(request, tenures)
        if answer is None or member.dead:
            return
        lost = world.weather.is_on("answers lost", member.number) or world.faulty(0.01)
        wait_s = world.soon()
        if lost:
            wait_s += world.random.choice([0.0, 1.0, 5.0])
            member.trouble(world.now() + wait_s)
            if request.API_KEY == EndTxnRequest.API_KEY and world.random.random() < 0.5:
                answer.error_code, lost = UnknownError.errno, False
        world.loop.call_later(wait_s, _settle, answered, answer, lost)


def _settle(answered: asyncio.Future[Any], answer: Any, lost: bool) -> None:
    if answered.done():
        return
    if lost:
        answered.set_exception(KafkaConnectionError())
    else:
        answered.set_result(answer)
