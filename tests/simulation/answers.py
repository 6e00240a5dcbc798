"""What the brokers answer to a transactional producer, in aiokafka's terms.

A coordinator may not be available, or may have forgotten the producer; a leader refuses batches for
what is in them. All else is `coordinator.py`'s to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import (
    CoordinatorNotAvailableError,
    InvalidProducerIdMapping,
    KafkaError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest_v0,
    AddPartitionsToTxnRequest_v0,
    EndTxnRequest_v0,
    InitProducerIdRequest_v0,
    TxnOffsetCommitRequest_v0,
)
from aiokafka.record.memory_records import MemoryRecords

from tests.simulation.ledger import Tenure
from tests.simulation.records import origin
from tests.simulation.sinks import Parcel, refusal

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World

REQUESTS = (
    ProduceRequest_v7,
    InitProducerIdRequest_v0,
    AddPartitionsToTxnRequest_v0,
    AddOffsetsToTxnRequest_v0,
    TxnOffsetCommitRequest_v0,
    EndTxnRequest_v0,
)
VERSIONS = {request.API_KEY: (0, request.API_VERSION) for request in REQUESTS}

Tenures = Mapping[int, Tenure]
"""Of the process when it sent the request, by source partition."""


class Answers:
    def __init__(self, world: World, member: Member) -> None:
        self._world = world
        self._member = member
        self._of: dict[int, Callable[[Any, Tenures], Any]] = {
            ProduceRequest_v7.API_KEY: self._produce,
            InitProducerIdRequest_v0.API_KEY: self._init,
            AddPartitionsToTxnRequest_v0.API_KEY: self._add_partitions,
            AddOffsetsToTxnRequest_v0.API_KEY: self._add_offsets,
            TxnOffsetCommitRequest_v0.API_KEY: self._commit_offsets,
            EndTxnRequest_v0.API_KEY: self._end,
        }

    def to(self, request: Any, tenures: Tenures) -> Any:
        """The response to a request that has arrived."""
        return self._of[request.API_KEY](request, tenures)

    def _unavailable(self, kind: str) -> type[KafkaError] | None:
        """Why a coordinator does nothing just now."""
        world = self._world
        if world.weather.is_on(kind, self._member.number) or world.faulty(0.01):
            self._member.trouble(world.now())
            return CoordinatorNotAvailableError
        return None

    def _told(self, error: type[KafkaError] | None) -> int:
        """The code, and the process is in trouble if it is one of an error."""
        if error is None:
            return 0
        self._member.trouble(self._world.now())
        return int(error.errno)

    def _init(self, request: Any, _: Tenures) -> Any:
        error, number, epoch = self._unavailable("coordinator fails"), -1, -1
        if error is None:
            name = request.transactional_id
            error, number, epoch = self._world.coordinator.init(name)
            self._world.note(f"{self._member.name} inits {name}: epoch {epoch}")
        return SimpleNamespace(
            error_code=self._told(error), producer_id=number, producer_epoch=epoch
        )

    def _add_partitions(self, request: Any, _: Tenures) -> Any:
        where = [(topic, n) for topic, numbers in request.topics for n in numbers]
        error = self._unavailable("coordinator fails")
        if error is None and self._world.faulty(0.005):
            error = self._world.random.choice(
                [UnknownTopicOrPartitionError, InvalidProducerIdMapping]
            )
        if error is None:
            error = self._world.coordinator.add_partitions(
                request.transactional_id, request.producer_epoch, where
            )
        told = self._told(error)
        return SimpleNamespace(errors=[(topic, [(n, told)]) for topic, n in where])

    def _add_offsets(self, request: Any, _: Tenures) -> Any:
        error = self._unavailable("coordinator fails")
        if error is None:
            error = self._world.coordinator.add_group(
                request.transactional_id, request.producer_epoch
            )
        return SimpleNamespace(error_code=self._told(error))

    def _commit_offsets(self, request: Any, tenures: Tenures) -> Any:
        error = self._unavailable("commits fail")
        ((topic, asked),) = request.topics
        offsets = {n: (offset, text, tenures[n]) for n, offset, text in asked}
        if error is None:
            error = self._world.coordinator.add_offsets(
                request.transactional_id, request.producer_epoch, offsets
            )
        told = self._told(error)
        return SimpleNamespace(errors=[(topic, [(n, told) for n in offsets])])

    def _end(self, request: Any, _: Tenures) -> Any:
        error = self._unavailable("coordinator fails")
        if error is None:
            error = self._world.coordinator.end(
                request.transactional_id,
                request.producer_epoch,
                committed=bool(request.transaction_result),
            )
        return SimpleNamespace(error_code=self._told(error))

    def _produce(self, request: Any, tenures: Tenures) -> Any:
        answers = [
            (topic, [(n, self._told(self._write(request, topic, n, data, tenures)), 0, -1, 0)])
            for topic, batches in request.topics
            for n, data in batches
        ]
        return SimpleNamespace(topics=answers, API_VERSION=ProduceRequest_v7.API_VERSION)

    def _write(
        self, request: Any, topic: str, partition: int, data: Any, tenures: Tenures
    ) -> type[KafkaError] | None:
        world = self._world
        batch = MemoryRecords(bytes(data)).next_batch()
        records = []
        for record in batch:
            source, offset = origin(record.headers)
            parcel = Parcel(record.key, record.timestamp, record.headers, record.value)
            records.append((parcel, tenures[source], world.ledger.items[source][offset]))
        refused = refusal(world, partition, len(data), records)
        if refused is not None:
            return type(refused)
        return world.coordinator.write(
            request.transactional_id,
            batch.producer_epoch,
            batch.base_sequence,
            (topic, partition),
            records,
        )
