"""Commits what the partitions have settled: one request for all of them, never two at once, until
the group's offsets equal the engines' watermarks; and waits until they have settled what they
can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.committed import Committed
from streams.kafka.produce.sink import Sink
from streams.kafka.produce.transactions import Transactions
from streams.running.logs import RepeatLog
from streams.worker.partition import Partition
from streams.worker.task import TaskShell

logger = logging.getLogger(__name__)

REGULAR_WITHIN_S = 60.0
"""For one commit while the worker runs; the next one includes what this one missed."""

REPEAT_AFTER_S = 30.0
"""An error that comes ten times a second is logged when its message changes, and then every 30
s."""

Commit = Callable[[Mapping[Partition, Committed]], Awaitable[bool]]
"""Makes what these partitions have settled durable, and notes it in `Partition.committed`. False:
not for all of them. Raises KafkaError."""


class Committer:
    """`partitions()`: those assigned now. `commit`: see `Commit`. `interval_s`: from one commit to
    the next."""

    def __init__(
        self, partitions: Callable[[], Iterable[Partition]], commit: Commit, interval_s: float
    ) -> None:
        self._partitions = partitions
        self._commit = commit
        self._interval_s = interval_s
        self._committing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._failing = RepeatLog(logger)

    def start(self, on_fatal: Callable[[BaseException], None]) -> None:
        """Commit from now on, every `interval_s`."""

        def ended(task: asyncio.Task[None]) -> None:
            # Without commits a crash would repeat all work: better to stop now.
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("committing failed: %r", error, exc_info=error)
                on_fatal(error)

        self._task = asyncio.ensure_future(self._commit_loop())
        self._task.add_done_callback(ended)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _commit_loop(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self.once(REGULAR_WITHIN_S)

    async def once(self, within_s: float) -> bool:
        """Commit all progress. False: it was not possible in time."""
        try:
            async with asyncio.timeout(within_s), self._committing:
                done = await self._once()
        except TimeoutError:
            logger.error("the offsets could not be committed within %.1f s", within_s)
        except KafkaError as error:
            why = f"the offsets could not be committed: {error}"
            self._failing.say(why, REPEAT_AFTER_S)
        else:
            self._failing.over()
            return done
        return False

    async def _once(self) -> bool:
        changes = {}
        for partition in self._partitions():
            now = partition.task.progress(partition)
            if now != partition.committed:
                changes[partition] = now
        if not changes:
            return True
        return await self._commit(changes)


FindCommitted = Callable[[TopicPartition], Awaitable[Committed | None]]
"""What the group has committed for a partition; None: nothing. Raises KafkaError."""


async def all_committed(
    partitions: Iterable[Partition], find: FindCommitted, within_s: float
) -> bool:
    """Whether the group has committed all that was read of these partitions, by any worker. False
    also if the broker does not answer in time."""
    ends = {partition.where: partition.next_offset for partition in partitions}
    try:
        async with asyncio.timeout(within_s):
            found = await asyncio.gather(*map(find, ends))
    except (TimeoutError, KafkaError):
        return False
    return all(
        at is not None and at.offset >= end for at, end in zip(found, ends.values(), strict=True)
    )


CHECK_S = 0.02


class Settling:
    """`transactions`: where outcomes go instead of to the sink; None: to the sink."""

    def __init__(
        self, tasks: Sequence[TaskShell], sink: Sink, transactions: Transactions | None
    ) -> None:
        self._tasks = tasks
        self._sink = sink
        self._transactions = transactions

    def undelivered_count(self) -> int:
        """How many outcomes are with the sinks and not acknowledged by a broker."""
        more = 0 if self._transactions is None else self._transactions.pending()
        return self._sink.pending() + more

    async def wait(self, within_s: float, *, calls: bool = True) -> None:
        """Wait until no call is in flight (`calls`) and all released outcomes are delivered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while loop.time() < deadline:
            if self._transactions is not None:
                self._transactions.hurry()
            busy = any(task.busy if calls else task.writing for task in self._tasks)
            if not busy and not self.undelivered_count():
                return
            await asyncio.sleep(CHECK_S)

    async def hold(self, partitions: Iterable[Partition], within_s: float) -> None:
        """Release nothing more from these partitions, and wait until all released outcomes are
        delivered. A later outcome would be written without its commit, and written again by the
        next owner."""
        for partition in partitions:
            partition.writes = False
        await self.wait(within_s, calls=False)
