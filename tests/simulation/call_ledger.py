"""The topic that paid answers are recorded in, with the producer and the consumer that the
product's call ledger uses.

What is recorded before an assignment's offsets are read is promised to the new owner, if the ledger
could be read then (`docs/ledger.md`): it pays for none of these items again. And what was answered
is recorded soon, if the ledger can be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)

from streams.kafka.produce.producers import OFFER_INTERVAL_S
from streams.settings.values import ledger_topic
from tests.simulation.ledger import Item, Recorded, Violation
from tests.simulation.parameters import ROOMY_BYTES
from tests.simulation.records import SOURCE

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World

WORKER_ID = "simulated"
TOPIC = ledger_topic(WORKER_ID, SOURCE)
OVERHEAD_BYTES = 40
SOON_S = 1.0
"""An answer is in the ledger before that, unless the broker is in the way."""


class Answer(NamedTuple):
    """A record of the ledger."""

    offset: int
    key: bytes
    value: bytes


class Topic:
    """`logs`: what is recorded, by partition of the source."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._has_room = world.parameters.ledger_room_bytes == ROOMY_BYTES
        self._takes_all = self._has_room and world.parameters.ledger_bytes == ROOMY_BYTES
        self.logs: list[list[Answer]] = [[] for _ in range(world.parameters.partitions)]

    def promised(self) -> list[int]:
        """How much of each partition the next owner will know: nothing, where it has no room."""
        return [len(log) if self._has_room else 0 for log in self.logs]

    def answered(self, member: Member, items: Sequence[Item]) -> None:
        """These are paid for: soon they are recorded."""
        world = self._world
        if world.parameters.recorded and self._takes_all:
            world.loop.call_later(SOON_S, self._check_recorded, member, items, world.now())

    def _check_recorded(self, member: Member, items: Sequence[Item], since_s: float) -> None:
        troubled = member.ledger_troubled_at >= since_s - OFFER_INTERVAL_S - SOON_S
        if member.dead or member.leaving or troubled:
            return
        for item in items:
            if not any(known.member == member.name for known in item.recorded):
                with self._world.guard():
                    raise Violation(f"{item} was answered to {member.name}, not recorded", item)

    def append(self, member: Member, partition: int, records: Sequence[tuple[bytes, bytes]]) -> int:
        """The first one's offset."""
        log = self.logs[partition]
        first = len(log)
        for key, value in records:
            item = self._item(key)
            self._world.note(f"recorded by {member.name} at {len(log)}", item)
            item.recorded.append(Recorded(len(log), member.name))
            log.append(Answer(len(log), key, value))
        return first

    def _item(self, key: bytes) -> Item:
        _, partition, offset, _ = key.split(b"/")
        return self._world.ledger.items[int(partition)][int(offset)]

    async def reaches(self, member: Member, partition: int) -> None:
        """A request arrives at the partition's leader. Raises KafkaError."""
        world = self._world
        if member.dead:
            await world.never()
        await world.takes_a_moment()
        while until := world.weather.until("freeze", partition):
            member.ledger_trouble(until)
            await asyncio.sleep(until - world.now())
        if world.weather.is_on("ledger fails", partition) or world.faulty(0.01):
            member.ledger_trouble(world.now())
            raise NotLeaderForPartitionError


class Batch:
    """As much of aiokafka's `BatchBuilder` as the ledger's writer uses."""

    def __init__(self, most_bytes: int) -> None:
        self.records: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._most_bytes = most_bytes

    def append(
        self, *, key: bytes, value: bytes, timestamp: None, headers: Sequence[Any]
    ) -> bool | None:
        size = len(key) + len(value) + OVERHEAD_BYTES
        if self.records and self._size + size > self._most_bytes:
            return None
        self.records.append((key, value))
        self._size += size
        return True

    def size(self) -> int:
        return self._size


class LedgerProducer:
    """`member`: its process."""

    def __init__(self, world: World, member: Member) -> None:
        self._world = world
        self._member = member
        self.client = SimpleNamespace(
            force_metadata_update=world.takes_a_moment,
            _metadata_update=world.takes_a_moment,
            send=world.never,  # only aiokafka's own producer sends requests by it
        )
        self._message_accumulator = SimpleNamespace()  # a batch here has no time to live

    async def start(self) -> None:
        """Raises KafkaError."""
        await self._world.takes_a_moment()
        if self._world.weather.is_on("connecting fails", 0):
            self._member.ledger_trouble(self._world.now())
            raise KafkaConnectionError

    async def stop(self) -> None:
        pass

    async def partitions_for(self, _topic: str) -> set[int]:
        return set(range(len(self._world.call_ledger.logs)))

    def create_batch(self) -> Batch:
        return Batch(self._world.parameters.batch_bytes)

    async def send_batch(self, batch: Batch, _topic: str, *, partition: int) -> asyncio.Future[Any]:
        world = self._world
        if self._member.dead:
            await world.never()
        sent = world.loop.create_task(self._send(batch, partition))
        world.unanswered.add(sent)
        sent.add_done_callback(world.unanswered.discard)
        return asyncio.shield(sent)

    async def _send(self, batch: Batch, partition: int) -> Any:
        world, member = self._world, self._member
        reaches = world.random.random() < 0.5
        await world.call_ledger.reaches(member, partition)
        if member.dead and not reaches:
            await world.never()
        if batch.size() > world.parameters.ledger_bytes:
            raise MessageSizeTooLargeError
        with world.guard():
            first = world.call_ledger.append(member, partition, batch.records)
        if member.dead:
            await world.never()
        await world.takes_a_moment()
        if world.weather.is_on("ledger unanswered", partition) or world.faulty(0.01):
            member.ledger_trouble(world.now())
            raise KafkaConnectionError  # it is recorded, and will be again
        return SimpleNamespace(offset=first)


class LedgerConsumer:
    """Without a group: it is told where to read."""

    def __init__(self, world: World, member: Member) -> None:
        self._world = world
        self._member = member
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Raises KafkaError."""
        world = self._world
        await world.takes_a_moment()
        if world.weather.is_on("connecting fails", 0):
            self._member.ledger_trouble(world.now())
            raise KafkaConnectionError

    async def stop(self) -> None:
        pass

    async def beginning_offsets(self, where: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(where, 0)

    async def end_offsets(self, where: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        topic = self._world.call_ledger
        for each in where:
            await topic.reaches(self._member, each.partition)
        return {each: len(topic.logs[each.partition]) for each in where}

    def assign(self, where: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(where, 0)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self._positions[where] = offset

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Answer]]:
        """Some of one partition; nothing where its leader does not answer in time."""
        world = self._world
        where = world.random.choice(sorted(self._positions))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await world.call_ledger.reaches(self._member, where.partition)
        except (TimeoutError, KafkaError):  # which aiokafka keeps to itself
            self._member.ledger_trouble(world.now())
            return {}
        first = self._positions[where]
        most = min(max_records, world.parameters.fetch_records)
        records = world.call_ledger.logs[where.partition][first : first + most]
        self._positions[where] += len(records)
        return {where: records}

    async def position(self, where: TopicPartition) -> int:
        return self._positions[where]
