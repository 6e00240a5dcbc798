"""The consumer group that remembers what has been sent again: read and committed."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams.errors import StreamsError
from streams.jobs.dead.memory import Memory
from streams.kafka.broker.tansu import refuse_on_embedded
from streams.kafka.client import answered
from streams.kafka.consume.offsets import AGAIN_S, fetch_committed


class Keeper:
    """Over a started consumer of the group, which reads nothing. `embedded`: that broker keeps
    offsets, and nothing beyond them."""

    def __init__(self, consumer: Any, topic: str, partitions: int, *, embedded: bool) -> None:
        self._consumer = consumer
        self._topic = topic
        self._embedded = embedded
        self._places = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._consumer.assign(self._places)

    async def read(self) -> Memory:
        """What is committed now; asks until the coordinator can say. Raises KafkaError."""
        while True:
            try:
                found = await fetch_committed(self._consumer._coordinator, self._places)
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(AGAIN_S)
            else:
                return Memory({place.partition: known for place, known in found.items()})

    def check_room(self, memory: Memory) -> None:
        """Raises StreamsError unless this can be committed."""
        if self._embedded and any(known.beyond for known in memory.partitions.values()):
            refuse_on_embedded("commit_metadata", "dead redrive: letters that are passed over")
        if not memory.fits:
            raise StreamsError(
                f"no more can be remembered of {self._topic}: too many letters were passed over one"
                " by one; choose more of them at once, or all"
            )

    async def check_alone(self, memory: Memory) -> None:
        """Raises StreamsError where somebody else has committed since this was read or committed,
        and BrokerError."""
        if await answered(self.read()) != memory:
            raise StreamsError(
                f"another redrive of {self._topic} is under way; run this one again when it has"
                " ended"
            )

    async def commit(self, memory: Memory, before: Memory) -> None:
        """Commit what has changed since `before`. Raises KafkaError."""
        changed = {
            place: OffsetAndMetadata(known.offset, known.metadata)
            for place in self._places
            if (known := memory.partitions.get(place.partition)) is not None
            and known != before.partitions.get(place.partition)
        }
        if changed:
            await self._consumer.commit(changed)
