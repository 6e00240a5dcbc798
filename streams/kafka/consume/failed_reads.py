"""Which partitions rest after an error, while the others are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from aiokafka import TopicPartition

from streams.kafka.consume.fetched_records import UnreadableError

RETRY_AFTER_S = 1.0


class FailedReads:
    """`clock()`: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: Counter[TopicPartition] = Counter()  # since the last record
        self._retry_at: dict[TopicPartition, float] = {}

    def clear(self) -> None:
        self._counts.clear()
        self._retry_at.clear()

    def add(self, partition: TopicPartition, error: Exception) -> bool:
        """The partition rests for RETRY_AFTER_S. True: the error counts."""
        self._counts[partition] += 1
        self._retry_at[partition] = self._clock() + RETRY_AFTER_S
        return not isinstance(error, UnreadableError) or self._counts[partition] >= error.tries

    def over(self, partition: TopicPartition) -> None:
        """It was read again."""
        self._counts.pop(partition, None)

    def rests(self, partition: TopicPartition) -> bool:
        if partition not in self._retry_at:
            return False
        if self._clock() < self._retry_at[partition]:
            return True
        del self._retry_at[partition]
        return False
