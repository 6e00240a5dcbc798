"""The consumer group that remembers what has been sent again: read and committed."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.committed import Committed
from streams.kafka.dead.memory import Memory


class Keeper:
    """Over a started consumer of the group, which reads nothing."""

    def __init__(self, consumer: Any, topic: str, partitions: int) -> None:
        self._consumer = consumer
        self._places = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._consumer.assign(self._places)

    async def read(self) -> Memory:
        """What is committed now. Raises KafkaError."""
        # The public `committed` leaves the metadata out.
        found = await self._consumer._coordinator.fetch_committed_offsets(self._places)
        return Memory(
            {
                place.partition: Committed.read(known.offset, known.metadata)
                for place, known in found.items()
                if known.offset >= 0
            }
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
