"""Reads the range of a live replay: its partitions side by side, within the memory budget.

    reader ─► rounds ─► this: cut to the range, without what is done, `where` ─► the task

The worker's own reader and room, without a group: a partition that is read to its end gets no more
room.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.committed import Committed
from streams.core.call import Slot
from streams.errors import BrokerError
from streams.jobs.replay.where_filter import Where
from streams.kafka.consume.reader import LaneReader, Round
from streams.kafka.consume.refused_fetches import report_refused_fetches
from streams.kafka.extents import Extent
from streams.worker.intake import Arrivals, Budget, Room
from streams.worker.partition import Partition
from streams.worker.task import TaskShell

logger = logging.getLogger(__name__)


class RangeTask:
    """The task of a partition, as the reader sees it: takes what belongs to the range and has no
    outcome yet. `is_done(partition, offset)`: whether an earlier process of the run gave this
    position its outcome. `skipped`: how many positions had one."""

    def __init__(
        self,
        shell: TaskShell,
        extents: Mapping[int, Extent],
        is_done: Callable[[int, int], bool],
        where: Where | None,
    ) -> None:
        self._shell = shell
        self._extents = extents
        self._is_done = is_done
        self._where = where
        self.taken = 0
        self.skipped = 0

    def arrived(self, partition: Partition, records: Sequence[Any], position: int) -> None:
        number = partition.where.partition
        end = self._extents[number].end
        inside = [record for record in records if record.offset < end]
        if self._where is not None:
            inside = self._where.selected(inside)
        is_done = self._is_done
        todo = [record for record in inside if not is_done(number, record.offset)]
        self.skipped += len(inside) - len(todo)
        self.taken += len(todo)
        self._shell.arrived(partition, todo, min(position, end))

    def buffered_bytes(self, partition: Partition) -> int:
        return self._shell.buffered_bytes(partition)

    def watermark(self, partition: Partition) -> int:
        return self._shell.watermark(partition)

    def progress(self, partition: Partition, also: Collection[Slot] = ()) -> Committed:
        return self._shell.progress(partition, also)


class RangeReader:
    """`partitions`: with their first offset as `next_offset`. `fail(error)`: reading cannot go
    on. `on_end()`: a partition is read to its end."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        partitions: Sequence[Partition],
        extents: Mapping[int, Extent],
        budget: Budget,
        *,
        fail: Callable[[BaseException], None],
        on_end: Callable[[], None],
    ) -> None:
        self._partitions = {each.where: each for each in partitions}
        self._extents = extents
        self._room = Room(budget)
        self._arrivals = Arrivals(self._allow)
        self._fail, self._on_end = fail, on_end
        self._consumer = consumer
        loop = asyncio.get_running_loop()
        self._reader = LaneReader(consumer, loop, self._take, self._failed)
        self._task: asyncio.Task[None] | None = None
        self._unread = list(partitions)

    def start(self) -> None:
        report_refused_fetches(self._consumer)
        self._consumer.assign(list(self._partitions))
        self._forget_read()
        self._reader.open({at: (each, each.next_offset) for at, each in self._partitions.items()})
        self._allow()
        self._task = asyncio.ensure_future(self._reader.run())

    async def stop(self) -> None:
        self._reader.close()
        self._arrivals.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_at_end(self) -> bool:
        """Whether every partition is read to its end."""
        return not self._unread

    def on_room(self, partition: Partition) -> None:
        """Outcomes are delivered: a partition that was full may be read again."""
        if self._unread and self._room.can_read(partition, len(self._unread)):
            self._reader.set_allowance(self._allowance())

    def _take(self, lists: Round) -> None:
        self._arrivals.put(lists)

    def _allow(self) -> None:
        self._forget_read()
        self._reader.allow(self._allowance())

    def _allowance(self) -> Any:
        full = [each for each in self._partitions.values() if each not in self._unread]
        return self._room.allowance(self._unread, full, self._reader.inflated_bytes)

    def _forget_read(self) -> None:
        before = len(self._unread)
        self._unread = [each for each in self._unread if each.next_offset < self._end(each.where)]
        if len(self._unread) < before:
            self._on_end()

    def _end(self, where: TopicPartition) -> int:
        return self._extents[where.partition].end

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, BrokerError) or not isinstance(error, KafkaError):
            self._fail(error)
        else:
            logger.warning("the range cannot be read at the moment: %r", error)
