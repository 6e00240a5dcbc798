"""The broker that results are written to, and producers as far as `ordered_queue.py` uses them.

What a batch meets on its way: `send_batch` refuses it; the broker stands still; it judges size and
time; it refuses, and nothing is written; it writes, and its answer is late (an idempotent batch is
repeated under its sequence number, and written once). A request that a killed process had sent
may arrive or not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    TopicAuthorizationFailedError,
)

from streams.codec.record_size import record_bytes
from tests.simulation.ledger import Tenure, Violation
from tests.simulation.loop import EPOCH_S
from tests.simulation.records import FUTURE_MS, SOURCE, origin

if TYPE_CHECKING:
    from tests.simulation.world import World

OVERHEAD_BYTES = 20


class Parcel(NamedTuple):
    """One record of a batch, and whose it is."""

    key: bytes | None
    timestamp: int | None
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None


class Batch:
    """As much of aiokafka's `BatchBuilder` as a writer uses."""

    def __init__(self, most_bytes: int) -> None:
        self.records: list[Parcel] = []
        self._most_bytes = most_bytes
        self._size = 0

    def append(
        self,
        *,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> bool:
        size = record_bytes(key, value, headers) + OVERHEAD_BYTES
        if self.records and self._size + size > self._most_bytes:
            return False
        self.records.append(Parcel(key, timestamp, headers, value))
        self._size += size
        return True

    def size(self) -> int:
        return self._size


class Request(NamedTuple):
    """A batch on its way. `reaches`: it does so even if its process is killed meanwhile."""

    producer: Producer
    topic: str
    partition: int
    records: list[tuple[Parcel, Tenure, Any]]
    size: int
    reaches: bool
    answered: asyncio.Future[Any]


class SinkBroker:
    """`unacknowledged`: batches on their way, by process, topic and partition."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._free_at: dict[tuple[str, int], float] = {}
        self.unacknowledged: Counter[tuple[Any, str, int]] = Counter()
        self.written = 0
        parameters = world.parameters
        self.partitions = {
            SOURCE: parameters.partitions,
            "sink": parameters.sink_partitions,
            "dead": parameters.dead_letter_partitions,
        }

    def send(
        self, producer: Producer, topic: str, partition: int, batch: Batch
    ) -> asyncio.Future[Any]:
        world, member = self._world, producer.member
        where = (member, topic, partition)
        self.unacknowledged[where] += 1
        if self.unacknowledged[where] > 1:
            raise Violation(f"two unacknowledged batches of {member.name} in {topic}/{partition}")
        records = []
        for parcel in batch.records:
            source, offset = origin(parcel.headers)
            item = world.ledger.items[source][offset]
            records.append((parcel, member.tenures[source], item))
        request = Request(
            producer,
            topic,
            partition,
            records,
            batch.size(),
            world.random.random() < 0.5,
            world.loop.create_future(),
        )
        self._later(topic, partition, world.soon(), request)
        return request.answered

    def _later(self, topic: str, partition: int, wait_s: float, request: Request) -> None:
        """Requests for one partition arrive in the order they were sent in."""
        at = max(self._world.now() + wait_s, self._free_at.get((topic, partition), 0.0) + 1e-6)
        self._free_at[topic, partition] = at
        if at > self._world.now() + 0.1:  # somebody's request stands before it
            request.producer.member.trouble(at)
        self._world.loop.call_at(at, self._arrived, request)

    def _arrived(self, request: Request) -> None:
        world = self._world
        thaws_at = world.weather.until("freeze", request.partition)
        member = request.producer.member
        if thaws_at:
            self._later(request.topic, request.partition, thaws_at - world.now(), request)
            return
        if member.dead and not request.reaches:
            return
        error = self._refusal(request)
        if error is not None:
            member.trouble(world.now())
            request.producer.holes.add((request.topic, request.partition))
            world.loop.call_later(world.soon(), self._answer, request, error)
            return
        with world.guard():
            for parcel, tenure, item in request.records:
                world.wrote(parcel, tenure, item, request.topic, request.partition)
        self.written += len(request.records)
        wait_s = world.soon()
        if world.faulty(0.02):  # the answer is lost, and the batch repeated
            wait_s += world.random.choice([0.1, 1.0, 7.0])
            member.trouble(world.now() + wait_s)
        world.loop.call_later(wait_s, self._answer, request, None)

    def _refusal(self, request: Request) -> KafkaError | None:
        if (request.topic, request.partition) in request.producer.holes:
            return OutOfOrderSequenceNumber()
        return refusal(self._world, request.partition, request.size, request.records)

    def _answer(self, request: Request, error: KafkaError | None) -> None:
        self.unacknowledged[request.producer.member, request.topic, request.partition] -= 1
        if request.answered.done():
            return
        if error is None:
            request.answered.set_result(SimpleNamespace(offset=0))
        else:
            request.answered.set_exception(error)


def refusal(
    world: World, partition: int, size: int, records: Sequence[tuple[Parcel, Tenure, Any]]
) -> KafkaError | None:
    """Why a leader does not take a batch for what is in it; None: it does."""
    if size > world.parameters.broker_bytes:
        if len(records) == 1:
            records[0][2].refused_size = True
        return MessageSizeTooLargeError()
    now_ms = (EPOCH_S + world.now()) * 1000
    for parcel, *_ in records:
        if parcel.timestamp is not None and parcel.timestamp > now_ms + FUTURE_MS / 2:
            return InvalidTimestampError()
    if world.weather.is_on("acknowledgements fail", partition):
        return TopicAuthorizationFailedError()
    return None


class Producer:
    """As much of `AIOKafkaProducer` as a queue uses; `member`: its process. `holes`: where a batch
    of it was refused: the broker takes no later sequence number of it there."""

    def __init__(self, world: World, member: Any) -> None:
        self._broker = world.broker
        self._world = world
        self.member = member
        self.holes: set[tuple[str, int]] = set()
        self._under_way: set[asyncio.Future[Any]] = set()
        self._stopped = False
        self.client = SimpleNamespace(
            force_metadata_update=self._update,
            _metadata_update=self._update,
            send=world.never,  # only aiokafka's own producer sends requests by it
        )
        self._message_accumulator = SimpleNamespace()  # a batch here has no time to live

    async def start(self) -> None:
        """Raises KafkaError."""
        world = self._world
        await world.takes_a_moment()
        if world.weather.is_on("connecting fails", 0):
            self.member.trouble(world.now())
            raise KafkaConnectionError

    async def _update(self) -> None:
        await self._world.takes_a_moment()

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self._broker.partitions[topic]))

    def create_batch(self) -> Batch:
        return Batch(self._world.parameters.batch_bytes)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        world = self._world
        if self.member.dead:
            await world.never()
        if self._stopped:
            raise ProducerClosed
        if world.weather.is_on("offers fail", partition) or world.faulty(0.01):
            self.member.trouble(world.now())
            raise KafkaTimeoutError
        with world.guard():
            answered = self._broker.send(self, topic, partition, batch)
            self._under_way.add(answered)
            answered.add_done_callback(self._under_way.discard)
            return answered
        await world.never()
        raise AssertionError("unreachable")

    async def stop(self) -> None:
        """Takes nothing more; what is under way finishes."""
        self._stopped = True
        if self._under_way and not self.member.dead:
            await asyncio.wait(list(self._under_way))
