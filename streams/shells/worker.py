"""All tasks of one process between Faust's consumer and the sink: lanes, room and commits.

Rules of this file:
1. Everything runs in the worker's loop. A lane is open from its assignment to its revocation.
2. Offsets are committed from the engines' watermarks only (`commits.py`).
3. A revoked lane is suspended: nothing of it is written or committed, while its calls go on. If the
   next assignment brings its partition back, committed as the lane left it, the lane goes on with
   all it holds: nobody else has done any of it. If not, it is closed, and what it holds is dropped.
4. Room is shared evenly over the lanes: each may hold `max_buffered_mb` / 2 / lanes of unsettled
   items (the other half is for the consumer's prefetch and for results on their way); a lane
   without room is not read, and is read again when half its share is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)

from streams.committed import Committed
from streams.core.slot import Slot
from streams.errors import BrokerError
from streams.kafka.parcels import Record
from streams.kafka.reader import Round
from streams.kafka.sink import Sink
from streams.kafka.transactions import Transactions
from streams.kafka.transport import Consumer
from streams.shells.arrivals import Arrivals
from streams.shells.commits import Committer, all_committed
from streams.shells.lane import Lane
from streams.shells.ledger import Ledger
from streams.shells.logs import Repeated
from streams.shells.recount import recount
from streams.shells.room import Room
from streams.shells.settling import Settling
from streams.shells.tally import Tally, summary
from streams.shells.task import TaskShell

logger = logging.getLogger(__name__)


REVOKED_WITHIN_S = 55.0
"""The group gives up a member that needs more than 60 s (Faust's `broker_rebalance_timeout`)."""

COMMIT_WITHIN_S = 15.0
DELIVER_WITHIN_S = 30.0
"""What is on its way to the sink when partitions are revoked takes some ms, unless a node has just
died: new leaders and coordinators take 10 s and more. What is given up is written twice."""

SAID_AGAIN_AFTER_S = 60.0

FATAL = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)


class Worker:
    """The `RecordHost` (`streams.kafka.host`) of the transport.

    `on_fatal(error)`: reading cannot go on; the process should stop with exit code 1.
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
        buffered_bytes: int,
        on_fatal: Callable[[BaseException], None],
        deliver_within_s: float = DELIVER_WITHIN_S,
    ) -> None:
        self.sources = frozenset(sources)
        self.consumer_keywords = dict(consumer_keywords)
        self.start = start
        self.checks_log_end = checks_log_end
        self._drain_s = drain_s
        self._deliver_within_s = deliver_within_s
        self._room = Room(buffered_bytes // 2)
        self._on_fatal = on_fatal
        self._tasks: dict[str, TaskShell] = {}
        self._lanes: dict[TopicPartition, Lane] = {}
        self._suspended: dict[TopicPartition, Lane] = {}
        self._committer = Committer(self._lanes.values, self._commit, commit_interval_s)
        self._arrivals = Arrivals(self._taken)
        self._consumer: Consumer | None = None
        self._sink: Sink | None = None
        self._transactions: Transactions | None = None
        self._ledger: Ledger | None = None
        self._settling: Settling | None = None
        self._assigned_at = 0.0
        self._failing = Repeated(logger)
        self._handed_back = True  # whether all that had an outcome was committed when revoked
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
        """Take the tasks by their source topic and start committing. `transactions`: where the
        tasks' outcomes go instead, with their offsets."""
        self._tasks = dict(tasks)
        self._sink = sink
        self._transactions = transactions
        self._ledger = ledger
        self._settling = Settling(self.tasks, sink, transactions)
        self._committer.start(self._on_fatal)

    @property
    def transactional(self) -> bool:
        """Whether outcomes and offsets leave in transactions."""
        return self._transactions is not None

    def attach(self, consumer: Consumer) -> None:
        self._consumer = consumer

    @property
    def tasks(self) -> Sequence[TaskShell]:
        return list(self._tasks.values())

    @property
    def lanes(self) -> Sequence[Lane]:
        return list(self._lanes.values())

    def position(self, lane: Lane) -> int | None:
        """The offset that is read next, past what is no record; None: the lane is not read."""
        return None if self._consumer is None else self._consumer.position_of(lane.partition)

    def end(self, lane: Lane) -> int | None:
        """The end of the partition as last fetched; None before the first fetch. While the lane
        has no room nothing is fetched, and it grows old."""
        return None if self._consumer is None else self._consumer.end_of(lane.partition)

    def lag(self, lane: Lane) -> int | None:
        """Offsets from the watermark to the end; None before the first fetch."""
        end, done = self.end(lane), lane.task.watermark(lane)
        if end is None:
            return None
        if done == lane.next_offset:  # all that was read is done: also what is no record
            done = max(done, self.position(lane) or 0)
        return max(0, end - done)

    @property
    def _sharing(self) -> int:
        """How many lanes share the room: also those that hold items and are not read."""
        return len(self._lanes) + len(self._suspended)

    def has_room(self, lane: Lane) -> bool:
        """Whether more of the lane may be read."""
        return self._room.has(lane)

    def summary(self) -> dict[str, Any]:
        """The keys of the contract's section 6, over everything since the start."""
        tallies: list[Tally] = [task.tally for task in self.tasks]
        return summary(tallies, [task.statistics() for task in self.tasks])

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
        new = {at: start for at, start in starts.items() if not self._goes_on(at, start)}
        if new:  # the others hold what the ledger has of them
            await self._ledger.read(new)

    def _goes_on(self, partition: TopicPartition, start: Committed) -> bool:
        lane = self._suspended.get(partition)
        return lane is not None and lane.task.can_resume(lane, start)

    def on_assigned(
        self,
        starts: Mapping[TopicPartition, Committed],
        missing: Set[TopicPartition] = frozenset(),
    ) -> Mapping[TopicPartition, tuple[Lane, int]]:
        """A lane for each partition: the one that was suspended if it can go on, else a new one.
        `missing`: ours, and not to be read now; what was suspended of them stays so."""
        if self.draining:
            return {}
        for partition, start in starts.items():
            lane = self._suspended.get(partition)
            if lane is not None and lane.task.resume(lane, start):
                del self._suspended[partition]
            else:
                lane = Lane(partition, start, self._tasks[partition.topic])
                lane.task.open(lane)
            self._lanes[partition] = lane
        gone = self._suspended.keys() - missing
        self._drop({partition: self._suspended.pop(partition) for partition in gone})
        self._handed_back |= not self._suspended
        self.ready = True
        took_s = asyncio.get_running_loop().time() - self._assigned_at
        logger.info("reading %s (%.1f s after the assignment)", _named(self._lanes), took_s)
        return {partition: (lane, lane.next_offset) for partition, lane in self._lanes.items()}

    async def on_revoked(self) -> None:
        """Finish what is in flight for at most `drain_s`, deliver and commit it for as long as the
        group allows, and suspend every lane.

        Nothing is lost: the next owner starts at what was committed.
        """
        if not self._lanes or self._settling is None:
            return
        clock = asyncio.get_running_loop().time
        ends = clock() + REVOKED_WITHIN_S
        self._revoking = True  # what came now would move a watermark past its last commit
        self._arrivals.clear()
        for task in self.tasks:
            task.halt(self.lanes)
        await self._settling.wait(self._drain_s)
        deliver_s = min(self._deliver_within_s, ends - clock() - COMMIT_WITHIN_S)
        if not self.may_write():  # and will not again before this revocation is over
            deliver_s = 0.0
        await self._settling.hold(self.lanes, max(1.0, deliver_s))
        committed = await self._committer.once(min(COMMIT_WITHIN_S, ends - clock()))
        self._handed_back = committed and not self._settling.undelivered()
        self._revoking = False
        for lane in self.lanes:
            lane.task.suspend(lane)
        self._suspended |= self._lanes
        self._lanes.clear()
        self._room.forget()

    def _drop(self, lanes: dict[TopicPartition, Lane]) -> None:
        for lane in lanes.values():
            lane.task.close(lane)
        lanes.clear()

    async def drain(self, within_s: float) -> bool:
        """A graceful stop: start no new call, finish those in flight, commit. True: all that has
        an outcome is committed, by us or by others that took it over; what has none is handed back
        by not being committed."""
        self.draining = True
        held = [*self.lanes, *self._suspended.values()]
        self._arrivals.clear()
        self._committer.stop()
        self._drop(self._suspended)
        if self._consumer is not None:
            self._consumer.close_reader()
        deadline = asyncio.get_running_loop().time() + within_s
        for task in self.tasks:
            task.halt(None)
        if self._settling is None:
            return True  # it has not begun
        await self._settling.wait(within_s * 0.7)
        await self._settling.hold(self.lanes, within_s * 0.1)
        left = deadline - asyncio.get_running_loop().time()
        done = await self._committer.once(max(0.1, left)) and self._handed_back
        if not done:
            left = deadline - asyncio.get_running_loop().time()
            done = await all_committed(held, self.committed, max(0.1, left))
        if unwritten := self._settling.undelivered():
            logger.error("%d outcomes could not be written in time", unwritten)
            done = False
        self._drop(self._lanes)
        self._room.forget()
        return done

    # -- records -------------------------------------------------------------------------------

    def on_records(self, lists: Round) -> None:
        """Take one round, then say how much may come next; what is not taken is read again."""
        if not self.draining and not self._revoking:
            self._arrivals.put(lists)

    def _taken(self) -> None:
        if self._consumer is not None:
            self._consumer.allow(self.allowance())

    def allowance(self) -> dict[Lane, int]:
        """How many records each lane may get next."""
        return {} if self.draining else self._room.allowance(self.lanes, self._sharing)

    def on_room(self, lane: Lane) -> None:
        """Outcomes were delivered: a lane that was full may be read again."""
        if self._consumer is not None and self._room.came_back(lane, self._sharing):
            self._consumer.set_allowance(self.allowance())

    def on_delivered(self, lane: Lane, slots: Sequence[Slot]) -> None:
        lane.task.delivered(lane, slots)

    def on_too_large(self, lane: Lane, slot: Slot, topic: str, record: Record) -> Record | None:
        return lane.task.too_large(lane, slot, topic, record)

    def on_defect(self, error: BaseException) -> None:
        logger.error("a writer failed: %r", error, exc_info=error)
        self._on_fatal(error)

    def on_lost(self, lane: Lane) -> None:
        """Somebody else has committed for the lane's partition: what it holds is not ours."""
        if self._lanes.get(lane.partition) is not lane or self._consumer is None:
            return
        logger.warning("%s/%s is somebody else's; joining the group again", *lane.partition)
        del self._lanes[lane.partition]
        lane.task.close(lane)
        self._consumer.join_again()

    def may_write(self) -> bool:
        """Whether the group must still take this worker for alive."""
        return self._consumer is None or self._consumer.may_write()

    async def committed(self, partition: TopicPartition) -> Committed | None:
        """What the group has committed; None: nothing. Raises KafkaError."""
        assert self._consumer is not None
        return await self._consumer.committed(partition)

    def presses(self, lane: Lane) -> bool:
        """Whether the lane needs back the memory of what waits to be delivered."""
        return self._room.presses(lane, self._sharing)

    def on_reader_error(self, error: BaseException) -> bool:
        if isinstance(error, BrokerError):
            self._on_fatal(error)
        elif isinstance(error, FATAL):
            self._on_fatal(BrokerError(f"reading cannot go on: {error!r}"))
        else:
            self._failing.say(f"reading failed, trying again: {error!r}", SAID_AGAIN_AFTER_S)
            return False
        return True

    def on_rebalance_error(self, error: BaseException) -> None:
        if self.draining:
            logger.debug("a rebalance during the stop: %r", error)
            return
        if not isinstance(error, BrokerError):
            logger.error("a rebalance failed: %r", error, exc_info=error)
        self._on_fatal(error)

    # -- commits -------------------------------------------------------------------------------

    async def _commit(self, moved: Mapping[Lane, Committed]) -> bool:
        """Offsets by themselves. False: nothing was committed, the group has moved on."""
        if self._transactions is not None:
            return await self._transactions.commit(moved)
        assert self._consumer is not None
        offsets = {lane.partition: now for lane, now in moved.items()}
        if not await self._consumer.commit_watermarks(offsets):
            return False
        for lane, now in moved.items():
            lane.committed = now
        return True

    async def close(self) -> None:
        """After the consumer has stopped: end what is left."""
        self._committer.stop()
        for task in self.tasks:
            await task.stop()


def _named(partitions: Iterable[TopicPartition]) -> str:
    return ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(partitions)) or "nothing"
