"""What follows from an error of reading: nothing, or the end of the worker.

A record that cannot be read ends the worker, since reading on would lose it; but only when every
record in front of it has its outcome. Until then its partition alone stands still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from aiokafka import TopicPartition, errors

from streams.errors import BrokerError
from streams.kafka.consume.fetched_records import UnreadableError
from streams.running.logs import RepeatLog
from streams.worker.partition import Partition

logger = logging.getLogger(__name__)

REPEAT_AFTER_S = 60.0

FATAL = (
    errors.AuthenticationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.TopicAuthorizationFailedError,
)


class ReadingErrors:
    """`partitions`: those that are read. `on_fatal(error)`: the worker ends."""

    def __init__(
        self,
        partitions: Mapping[TopicPartition, Partition],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._partitions = partitions
        self._on_fatal = on_fatal
        self._unreadable: dict[Partition, UnreadableError] = {}
        self._failing = RepeatLog(logger)

    @property
    def message(self) -> str:
        """The last error that may pass; empty: none."""
        return self._failing.message

    def take(self, error: BaseException) -> bool:
        """True: reading cannot go on; False: it is tried again."""
        if isinstance(error, UnreadableError):
            self._stand(error)
            return False
        if isinstance(error, BrokerError):
            self._on_fatal(error)
            return True
        if isinstance(error, FATAL):
            self._on_fatal(BrokerError(f"reading cannot go on: {error!r}"))
            return True
        self._failing.say(f"reading failed, trying again: {error!r}", REPEAT_AFTER_S)
        return False

    def _stand(self, error: UnreadableError) -> None:
        partition = self._partitions.get(error.where)
        if partition is None:
            return  # another worker reads it now
        again = partition in self._unreadable
        self._unreadable[partition] = error
        if not self.settled(partition) and not again:
            logger.error("%s. Once everything before it is delivered, the worker ends", error)

    def settled(self, partition: Partition) -> bool:
        """Outcomes of this partition are durable. True: it has no more, and the worker ends."""
        error = self._unreadable.get(partition)
        if error is None or partition.task.watermark(partition) < error.offset:
            return False
        self._on_fatal(error)
        return True

    def forget(self) -> None:
        """The partitions are given back."""
        self._unreadable.clear()
