"""All tasks of one process between Faust's consumer and the sink: assignment, room and commits.

Rules of this file:
1. Everything runs in the worker's loop. A partition is open from its assignment to its revocation
   (`assignment.py`, `handover.py`).
2. Offsets are committed from the engines' watermarks only (`commits.py`).
3. Room is shared evenly over the partitions (`intake.py`); one without room is not read, and is
   read again when half its share is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import Any

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.kafka.consume.host import RecordSource
from streams.kafka.consume.lease import Lease
from streams.kafka.consume.reader import CLOSED, Allowance, Round
from streams.kafka.produce.sink import Sink
from streams.kafka.produce.transactions import Transactions
from streams.running.tally import summary
from streams.worker.assignment import Assignment
from streams.worker.call_ledger import Ledger
from streams.worker.commits import Committer, Settling
from streams.worker.handover import DELIVER_WITHIN_S, Handover
from streams.worker.intake import Arrivals, Budget, Room
from streams.worker.partition import Partition
from streams.worker.reading_errors import ReadingErrors
from streams.worker.recount import recount
from streams.worker.task import TaskShell

logger = logging.getLogger(__name__)


class Worker:
    """The `RecordHost` (`streams.kafka.consume.host`) of the transport.

    `lease`: whether the group must still treat this worker as alive. `on_fatal(error)`: reading
    cannot go on; the process should stop with exit code 1.
    """

    def __init__(
        self,
        *,
        sources: Iterable[str],
        consumer_keywords: Mapping[str, Any],
        start: str,
        checks_log_end: bool,
        commit_interval_s: float,
        drain_s: float,
        budget: Budget,
        lease: Lease,
        on_fatal: Callable[[BaseException], None],
        deliver_within_s: float = DELIVER_WITHIN_S,
    ) -> None:
        self.sources = frozenset(sources)
        self.consumer_keywords = dict(consumer_keywords)
        self.start = start
        self.checks_log_end = checks_log_end
        self.lease = lease
        self._drain_s = drain_s
        self._deliver_within_s = deliver_within_s
        self._room = Room(budget)
        self._on_fatal = on_fatal
        self._assignment = Assignment()
        self._committer = Committer(self._assignment.open.values, self._commit, commit_interval_s)
        self._arrivals = Arrivals(self._allow_round)
        self._consumer: RecordSource | None = None
        self._sink: Sink | None = None
        self._transactions: Transactions | None = None
        self._ledger: Ledger | None = None
        self._handover: Handover | None = None
        self._assigned_at = 0.0
        self._reading_errors = ReadingErrors(self._assignment.open, on_fatal)
        self.ready = False
        self.draining = False
        self._revoking = False

    # -- set up --------------------------------------------------------------------------------

    def begin(
        self,
        tasks: Mapping[str, TaskShell],
        sink: Sink,
        transactions: Transactions | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Take the tasks by their source topic and start committing. `transactions`: if given,
        outcomes and offsets go there instead of to `sink`."""
        self._assignment.tasks.update(tasks)
        self._sink = sink
        self._transactions = transactions
        self._ledger = ledger
        self._handover = Handover(
            self._assignment,
            Settling(self.tasks, sink, transactions),
            self._committer,
            committed=self.committed,
            drain_s=self._drain_s,
            deliver_within_s=self._deliver_within_s,
            may_write=self.lease.holds,
        )
        self._committer.start(self._on_fatal)

    @property
    def transactional(self) -> bool:
        """Whether outcomes and offsets leave in transactions."""
        return self._transactions is not None

    def attach(self, consumer: RecordSource) -> None:
        self._consumer = consumer

    @property
    def tasks(self) -> Sequence[TaskShell]:
        return list(self._assignment.tasks.values())

    @property
    def partitions(self) -> Sequence[Partition]:
        return self._assignment.partitions

    def position(self, partition: Partition) -> int | None:
        """The next offset to read, behind offsets without a record; None: it is not read."""
        return None if self._consumer is None else self._consumer.position_of(partition.where)

    def end(self, partition: Partition) -> int | None:
        """The end of the partition at its last fetch; None before the first fetch. While the
        partition has no room nothing is fetched, and this value grows old."""
        return None if self._consumer is None else self._consumer.end_of(partition.where)

    def lag(self, partition: Partition) -> int | None:
        """Offsets from the watermark to the end; None before the first fetch."""
        end, done = self.end(partition), partition.task.watermark(partition)
        if end is None:
            return None
        if done == partition.next_offset:  # so offsets without a record behind it are done too
            done = max(done, self.position(partition) or 0)
        return max(0, end - done)

    def waits_for(self) -> str:
        """What the first assignment waits for."""
        waits = (
            "no broker has answered yet" if self._consumer is None else self._consumer.waits_for()
        )
        return self._reading_errors.message or waits

    def has_room(self, partition: Partition) -> bool:
        """Whether more of the partition may be read."""
        return self._room.has(partition)

    def summary(self) -> dict[str, Any]:
        """The keys of the contract's section 6, over everything since the start."""
        return summary([task.counts() for task in self.tasks])

    # -- assignment and revocation -------------------------------------------------------------

    async def before_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._assigned_at = asyncio.get_running_loop().time()
        if self._sink is not None:
            await recount(self.tasks, self._sink, assigned)
        if self._transactions is not None and not self.draining:
            await self._transactions.prepare(assigned)

    async def before_lanes(self, starts: Mapping[TopicPartition, Committed]) -> None:
        if self._ledger is None:
            return
        new = self._assignment.new(starts)
        if new:  # the other partitions hold their answers already
            await self._ledger.read(new)

    def on_assigned(
        self,
        starts: Mapping[TopicPartition, Committed],
        missing: Set[TopicPartition] = frozenset(),
    ) -> Mapping[TopicPartition, tuple[Partition, int]]:
        """See `Assignment.assign`."""
        if self.draining:
            return {}
        self._assignment.assign(starts, missing)
        if self._handover is not None:
            self._handover.assigned()
        self.ready = True
        took_s = asyncio.get_running_loop().time() - self._assigned_at
        partitions = self._assignment.open
        logger.info("reading %s (%.1f s after the assignment)", _names(partitions), took_s)
        return {
            where: (partition, partition.next_offset) for where, partition in partitions.items()
        }

    async def on_revoked(self) -> None:
        """See `Handover.revoke`."""
        if not self._assignment.open or self._handover is None:
            return
        self._revoking = True  # a record now would move a watermark past its last commit
        self._arrivals.clear()
        await self._handover.revoke()
        self._revoking = False
        self._room.forget()
        self._reading_errors.forget()

    async def drain(self, within_s: float) -> bool:
        """See `Handover.drain`."""
        self.draining = True
        self._arrivals.clear()
        self._committer.stop()
        if self._consumer is not None:
            self._consumer.close_reader()
        if self._handover is None:
            return True  # it did not begin
        done = await self._handover.drain(within_s)
        self._room.forget()
        return done

    # -- records -------------------------------------------------------------------------------

    def on_records(self, lists: Round) -> None:
        """Take one round, then say how much may come next; what we do not take is read again."""
        if not self.draining and not self._revoking:
            self._arrivals.put(lists)

    def _allow_round(self) -> None:
        if self._consumer is not None:
            self._consumer.allow(self.allowance())

    def allowance(self) -> Allowance:
        """What the next round may bring."""
        if self.draining:
            return CLOSED
        inflated = 0 if self._consumer is None else self._consumer.inflated_bytes()
        return self._room.allowance(self.partitions, self._assignment.waiting, inflated)

    def on_room(self, partition: Partition) -> None:
        """Outcomes are delivered: a partition that was full may be read again."""
        self._reading_errors.settled(partition)
        if self._consumer is not None and self._room.can_read(partition, len(self._assignment)):
            self._consumer.set_allowance(self.allowance())

    def on_defect(self, error: BaseException) -> None:
        logger.error("a writer failed: %r", error, exc_info=error)
        self._on_fatal(error)

    def on_lost(self, partition: Partition) -> None:
        """Another worker has committed for the partition: what it holds is not ours."""
        if self._consumer is not None and self._assignment.lose(partition):
            logger.warning("%s/%s is somebody else's; joining the group again", *partition.where)
            self._consumer.join_again()

    async def committed(self, where: TopicPartition) -> Committed | None:
        """What the group has committed for the partition; None: nothing. Raises KafkaError."""
        assert self._consumer is not None
        return await self._consumer.committed(where)

    def presses(self, partition: Partition) -> bool:
        """Whether the partition needs the memory of its undelivered outcomes back."""
        return self._room.presses(partition, len(self._assignment))

    def on_reader_error(self, error: BaseException) -> bool:
        return self._reading_errors.take(error)

    def on_rebalance_error(self, error: BaseException) -> None:
        if self.draining:
            logger.debug("a rebalance during the stop: %r", error)
            return
        if not isinstance(error, BrokerError):
            logger.error("a rebalance failed: %r", error, exc_info=error)
        self._on_fatal(error)

    # -- commits -------------------------------------------------------------------------------

    async def _commit(self, targets: Mapping[Partition, Committed]) -> bool:
        """Commit offsets alone. False: nothing was committed, the group has moved on."""
        if self._transactions is not None:
            return await self._transactions.commit(targets)
        assert self._consumer is not None
        offsets = {partition.where: now for partition, now in targets.items()}
        if not await self._consumer.commit_watermarks(offsets):
            return False
        for partition, now in targets.items():
            partition.committed = now
        return True

    async def close(self) -> None:
        """After the consumer has stopped: end everything else."""
        self._committer.stop()
        await asyncio.gather(*(task.stop() for task in self.tasks))


def _names(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(partitions)) or "nothing"
