"""Outcomes leave for Kafka at least once: an ordered queue per sink partition, one producer.

Policy: a record that is too large, or refused for good, goes back to its sender, which gives it
another outcome; every other failure is repeated without limit, since a sink that is gone or refuses
everything pauses the task.
Nothing is offered while the group may have removed this worker (`consume/lease.py`).
Records of a lane that is no longer open are dropped: its next owner will write them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.produce.ordered_queue import OrderedQueue
from streams.kafka.produce.parcels import Parcel, Record, WarningLog, warn_of_silence
from streams.kafka.produce.producers import Producers


class Sink:
    """All queues of a worker over one producer; each parcel's sender is told when its records are
    durable.

    `may_write()`: whether this worker still owns its partitions; while not, nothing is offered.
    `on_defect(error)`: a queue failed in a way that no rule covers; it writes nothing more.
    """

    lookup_timeout_s = 40.0

    def __init__(
        self,
        producers: Producers,
        *,
        on_defect: Callable[[BaseException], None],
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self.producers = producers
        self.may_write = may_write
        self._on_defect = on_defect
        self._queues: dict[TopicPartition, OrderedQueue] = {}
        self._warning_log: dict[TopicPartition, WarningLog] = defaultdict(WarningLog)

    async def start(self) -> None:
        """Connect. Raises KafkaError where no broker answers."""
        await self.producers.start()

    async def stop(self) -> None:
        """Close without waiting for the queues."""
        await asyncio.gather(*(queue.stop() for queue in self._queues.values()))
        await self.producers.stop()

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        """Queue records behind what this sink partition already has to write."""
        where = TopicPartition(topic, partition)
        queue = self._queues.get(where)
        if queue is None:
            queue = self._queues[where] = OrderedQueue(self, where)
        queue.put(parcel)

    def pending(self) -> int:
        """Records of open lanes that are queued or unacknowledged."""
        return sum(queue.pending() for queue in self._queues.values())

    # -- policy --------------------------------------------------------------------------------

    def delivered(self, where: TopicPartition, first: int, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            parcel.sender.delivered(parcel.lane, parcel.slots)

    def dropped(self, parcel: Parcel) -> None:
        """The next owner of its lane writes it."""

    def too_large(self, where: TopicPartition, parcel: Parcel, place: int) -> Record | None:
        slot, record = parcel.slots[place], parcel.records[place]
        instead: Record | None = parcel.sender.too_large(parcel.lane, slot, where.topic, record)
        return instead

    def refused(
        self, where: TopicPartition, parcel: Parcel, place: int, error: KafkaError
    ) -> Record | None:
        slot, record = parcel.slots[place], parcel.records[place]
        instead: Record | None = parcel.sender.refused(
            parcel.lane, slot, where.topic, record, error
        )
        return instead

    def failed(self, where: TopicPartition, message: str, error: KafkaError) -> None:
        self._warning_log[where].say(message, where, error)

    def silent(self, where: TopicPartition, waited_s: float) -> None:
        warn_of_silence(where, waited_s)

    def ended(self, queue: OrderedQueue, error: BaseException) -> None:
        self._on_defect(error)
