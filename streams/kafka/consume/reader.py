"""Reads the source partitions of the tasks as lists, inside Faust's consumer thread.

Rules of this file:
1. Everything here runs in the consumer thread; the worker's loop calls in with
   `loop.call_soon_threadsafe`, in order: `open`, `allow`, `close`.
2. A partition is read only between `open` and `close`. `close` happens in the first synchronous
   step of a rebalance, `open` after it with an explicit seek: no record of an older assignment gets
   through.
3. The reader keeps its own position per partition and seeks back to it when anything else moves the
   fetcher (Faust's recovery seeks all partitions): a gap can only be a gap of the log.
4. One round of lists is on its way to the worker's loop at a time; the next starts when the worker
   has answered with `allow`. Partitions are taken in rotation, each at most its share of the
   allowance, so that a backlog in one never starves another. If a round has no room for all of
   them, the next one goes on from there.
5. An error of one partition costs the others neither records nor time (`failed_reads.py`).
6. While the reader runs the consumer counts as in use: aiokafka measures idleness by its own
   `getmany`, and would leave the group for ever after its poll interval, busy or paused.
7. Every turn checks aiokafka's own tasks for errors (`health.py`): its coordination stops at an
   error until somebody checks, which its own `getmany` would do.
8. Records that are fetched and not taken use memory too: `prefetch.py` limits them.

Why not Faust's `getmany`: it drains one partition after the other, sleeps a second when all are
paused, and builds an object per message (90 times slower).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError

from streams.errors import BrokerError
from streams.kafka.consume.failed_reads import FailedReads
from streams.kafka.consume.health import check_health, explained
from streams.kafka.consume.open_batches import Share
from streams.kafka.consume.prefetch import Prefetch

Round = list[tuple[Any, Sequence[Any], int]]
"""Lists of records, each with its lane and the offset up to which the lane is read. Offsets below
that without a record are transactions' marks, aborted, or compacted. A list may be empty."""


class Allowance(NamedTuple):
    """What the next round may bring. `shares`: of the lanes with room. `round_bytes`: once the
    round has so many, it reads no further lane. `waiting_bytes`: the limit between two rounds for
    records that are fetched or inflated, and not taken."""

    shares: Mapping[Any, Share]
    round_bytes: int
    waiting_bytes: int


CLOSED = Allowance({}, 0, 0)

IDLE_CHECK_S = 1.0

MAX_SEEKS = 10
"""How often to seek back to the same place without a record in between; Faust's recovery costs
one."""


class LaneReader:
    """`deliver(round)` and `fail(error)` are called in the worker's loop."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        worker_loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Round], None],
        fail: Callable[[BaseException], object],
    ) -> None:
        self._consumer = consumer
        self._worker_loop = worker_loop
        self._deliver = deliver
        self._fail = fail
        self._lanes: dict[TopicPartition, Any] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._allowance = CLOSED
        self._round_open = False
        self._changed = asyncio.Event()
        self._next: TopicPartition | None = None  # where the next round begins
        self._prefetch = Prefetch(consumer)
        self._openings = 0
        self._seek_counts: dict[TopicPartition, int] = {}
        self._failed = FailedReads(time.monotonic)

    def open(self, lanes: Mapping[TopicPartition, tuple[Any, int]]) -> None:
        """Start reading these partitions at the given offsets; replaces what was open."""
        self.close()
        assigned = self._consumer.assignment()
        for partition, (lane, offset) in lanes.items():
            if partition in assigned:
                self._lanes[partition] = lane
                self._positions[partition] = offset
                self._prefetch.begin(partition, offset)

    def close(self) -> None:
        """Read nothing until the next `open`."""
        self._openings += 1
        self._lanes.clear()
        self._positions.clear()
        self._seek_counts.clear()
        self._failed.clear()
        self._allowance = CLOSED
        self._changed.set()

    def allow(self, allowance: Allowance) -> None:
        """The worker took the last round; `allowance`: what the next may bring."""
        self._allowance = allowance
        self._round_open = False
        self._changed.set()

    def set_allowance(self, allowance: Allowance) -> None:
        """Room changed without a round in between."""
        self._allowance = allowance
        self._changed.set()

    def join_again(self) -> None:
        """Make the group assign its partitions again."""
        self._consumer._coordinator.request_rejoin()

    def position_of(self, partition: TopicPartition) -> int | None:
        """The offset that is read next; None: the partition is not open. Safe in any thread."""
        return self._positions.get(partition)

    @property
    def inflated_bytes(self) -> int:
        """The size of the largest recent batch after decompression. Safe in any thread."""
        return self._prefetch.inflated_bytes

    async def run(self) -> None:
        """Read until cancelled or the consumer is stopped; errors of a partition go to `fail`."""
        with self._consumer._subscription.fetch_context():  # rule 6
            await self._run()

    async def _run(self) -> None:
        while True:
            try:
                check_health(self._consumer)
                self._changed.clear()
                self._limit_prefetch()
                if self._round_open or not await self._round():
                    await self._wait()
            except ConsumerStoppedError:
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self._worker_loop.is_closed():
                    return
                told = await explained(_explain(error), self._consumer)
                self._worker_loop.call_soon_threadsafe(self._fail, told)
                await asyncio.sleep(IDLE_CHECK_S)

    def _limit_prefetch(self) -> None:
        """Rule 8."""
        if self._consumer._subscription.reassignment_in_progress:
            return
        shares = self._allowance.shares
        rests = self._failed.rests
        room = {tp for tp, lane in self._lanes.items() if lane in shares and not rests(tp)}
        self._prefetch.limit(self._positions, room, self._allowance.waiting_bytes)

    async def _round(self) -> bool:
        """Send one round; False: there is nothing to read."""
        lists: Round = []
        opening = self._openings
        try:
            await self._take(lists)
        finally:  # rule 5: their positions have moved on
            if self._openings != opening:  # rule 2: a rebalance during an await
                lists.clear()
            if lists:
                self._round_open = True
                self._worker_loop.call_soon_threadsafe(self._deliver, lists)
        return bool(lists)

    async def _take(self, lists: Round) -> None:
        allowance = self._allowance
        if not allowance.shares or self._consumer._subscription.reassignment_in_progress:
            return
        for partition in [each for each in self._lanes if not self._failed.rests(each)]:
            async with self._watched(partition):
                # Also where nothing is fetched: at the log's end nothing will be.
                self._seek_back(partition)
        room = allowance.round_bytes
        for partition in self._in_turn():
            if room <= 0:
                self._next = partition
                return
            lane = self._lanes[partition]
            async with self._watched(partition):
                room -= await self._take_from(partition, lane, allowance.shares[lane], lists)
            if self._lanes.get(partition) is not lane:  # a rebalance during an await
                return

    async def _take_from(
        self, partition: TopicPartition, lane: Any, share: Share, lists: Round
    ) -> int:
        """Add what the partition has; returns its bytes."""
        if self._seek_back(partition):
            return 0
        before = self._positions[partition]
        records, size = await self._prefetch.take(partition, share)
        if self._lanes.get(partition) is not lane:
            return 0
        now = self._positions[partition] = self._position(partition)
        if records:
            self._seek_counts.pop(partition, None)
        if records or now > before:
            self._failed.over(partition)
            lists.append((lane, records, now))
        return size

    @asynccontextmanager
    async def _watched(self, partition: TopicPartition) -> AsyncIterator[None]:
        """Rule 5."""
        try:
            yield
        except ConsumerStoppedError:
            raise
        except Exception as error:
            if partition not in self._lanes:
                return
            if self._failed.add(partition, error):
                told = await explained(_explain(error), self._consumer)
                self._worker_loop.call_soon_threadsafe(self._fail, told)

    def _in_turn(self) -> list[TopicPartition]:
        """The partitions that have records to take, in this round's order; the next round begins
        with the next one."""
        lanes, shares = list(self._lanes), self._allowance.shares
        first = lanes.index(self._next) if self._next in self._lanes else 0
        turn = [
            partition
            for partition in lanes[first:] + lanes[:first]
            if partition in self._prefetch
            and self._lanes[partition] in shares
            and not self._failed.rests(partition)
        ]
        if turn:
            self._next = turn[1 % len(turn)]
        return turn

    def _position(self, partition: TopicPartition) -> int:
        state = self._consumer._subscription.subscription.assignment.state_value(partition)
        position: int = state._position
        return position

    def _seek_back(self, partition: TopicPartition) -> bool:
        """Whether anything else moved the fetcher; if so, seek back to where this reader was.

        Raises OffsetOutOfRangeError where the log no longer has that offset: with agents in the app
        aiokafka resets the position by itself, again and again.
        """
        expected = self._positions[partition]
        if self._position(partition) == expected:
            return False
        times = self._seek_counts[partition] = self._seek_counts.get(partition, 0) + 1
        if times > MAX_SEEKS:
            raise OffsetOutOfRangeError({partition: expected})
        self._consumer.seek(partition, expected)
        return True

    async def _wait(self) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waiters = {changed, self._consumer._fetcher._create_fetch_waiter()}
        try:
            done, _ = await asyncio.wait(
                waiters, timeout=IDLE_CHECK_S, return_when=asyncio.FIRST_COMPLETED
            )
            check_health(self._consumer)  # gives a clearer error than its waiter
            for waiter in done:
                waiter.result()
        finally:
            for waiter in waiters:
                waiter.cancel()


def _explain(error: Exception) -> Exception:
    """An offset out of range, explained for a person; other errors unchanged."""
    if not isinstance(error, OffsetOutOfRangeError):
        return error
    ((partition, offset),) = error.args[0].items()
    return BrokerError(
        f"offset {offset} of {partition.topic}/{partition.partition}, to be read next, is out of "
        "range: the log no longer holds it. Records may be lost. Reset the group's offsets on "
        "purpose, or use a new [worker] id"
    )
