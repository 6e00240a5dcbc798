"""The Faust transport `streams://`: the tasks' source topics as lists, all else as Faust does it.

Faust keeps the group, the assignor, the consumer thread, agents and tables. For the topics of the
tasks (`RecordHost.sources`) this subclass replaces the per-message path: `LaneReader` reads them,
`RecordHost` gets lists, and offsets are committed from the host's watermarks, never from Faust's
acks (Faust 0.15.3 commits past an item in flight, issue faust-streaming/faust#606).

Order of a rebalance; the coordinator awaits all of it (in the consumer thread, if not stated):
1. revoked: the reader is closed at once, in the same synchronous step; worker loop: the host drains
   for at most `drain_s`, commits, suspends its lanes; then Faust's own handling; what the group has
   committed is looked at where `start` needs it.
2. assigned: Faust's own handling; the committed offsets of our partitions are read and checked;
   worker loop: the host resumes or makes lanes; the reader seeks and opens them. Partitions whose
   leader does not answer get no lane; once it does, the group is joined again (`_await_leaders`).
Faust and aiokafka log an error of a rebalance, and go on with nothing assigned: here it ends the
worker.

This file uses private names of Faust, mode and aiokafka;
`tests/contract/test_faust_private_names.py` checks that they exist.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping, Set
from typing import Any, ClassVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.kafka.consume.host import RecordHost
from streams.kafka.consume.reader import Allowance
from streams.kafka.consume.thread import ConsumerThread
from streams.kafka.nodes import adopt

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S = 0.5
LEADERS_EVERY_S = 5.0
"""How often to ask for the offsets of a partition without a leader."""


class RebalanceListener(driver.ConsumerRebalanceListener):
    """Closes the reader in the first synchronous step of a rebalance, and begins heartbeats in the
    last."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> Awaitable[None]:
        self._thread.close_reader()
        awaitable: Awaitable[None] = super().on_partitions_revoked(revoked)
        return awaitable

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> Awaitable[None]:
        self._thread.joined()
        awaitable: Awaitable[None] = super().on_partitions_assigned(assigned)
        return awaitable


class Consumer(driver.Consumer):
    """Hands lists to the host; Faust's own messages go on to the conductor."""

    RebalanceListener: ClassVar[type[RebalanceListener]] = RebalanceListener
    mundane_level = "debug"
    _thread: ConsumerThread
    _leaders: asyncio.Task[None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app.record_host.attach(self)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def host(self) -> RecordHost:
        host: RecordHost = self.app.record_host
        return host

    def _ours(self, partitions: Iterable[TP]) -> set[TopicPartition]:
        sources = self.host.sources
        return {TopicPartition(tp.topic, tp.partition) for tp in partitions if tp.topic in sources}

    async def on_partitions_revoked(self, revoked: Set[TP]) -> None:
        if self._leaders is not None:
            self._leaders.cancel()
        try:
            await self.host.on_revoked()
            await super().on_partitions_revoked(revoked)
            await self._before_joining()
        except Exception as error:
            self.host.on_rebalance_error(error)

    async def _before_joining(self) -> None:
        if not self.host.draining and not self._thread.is_closed():
            await self._call(self._thread.before_joining())

    async def on_partitions_assigned(self, assigned: Set[TP], generation_id: int = 0) -> None:
        try:
            await super().on_partitions_assigned(assigned, generation_id)
            await self._assign(self._ours(assigned))
        except Exception as error:
            self.host.on_rebalance_error(error)

    async def _assign(self, ours: set[TopicPartition]) -> None:
        if ours:
            await self.host.before_assigned(ours)
        starts = await self._starts(ours) if ours else {}
        missing = ours - starts.keys()
        await self.host.before_lanes(starts)
        lanes = self.host.on_assigned(starts, missing)
        self._thread.in_thread("open", lanes)
        self._thread.in_thread("allow", self.host.allowance())
        if missing and not self._is_over():
            self._leaders = asyncio.ensure_future(self._await_leaders(missing))

    async def _starts(self, ours: set[TopicPartition]) -> dict[TopicPartition, Committed]:
        """Where the lanes begin, for the partitions whose leader answers; empty if the host was
        told of a fatal error, or if the next rebalance has begun."""
        while True:
            try:
                starts: dict[TopicPartition, Committed] = await self._call(
                    self._thread.starts(ours)
                )
                return starts
            except (BrokerError, KafkaError) as error:
                if self.host.on_reader_error(error) or self._is_over():
                    return {}
                await asyncio.sleep(RETRY_INTERVAL_S)

    def _is_over(self) -> bool:
        """Whether this assignment is useless: the reader is closed, or the group must be joined
        again, which waits for us."""
        return self.host.draining or self._thread.is_closed() or self._thread.must_rejoin()

    async def _await_leaders(self, missing: Collection[TopicPartition]) -> None:
        """Join the group again when a partition without a leader has one; the other partitions are
        read in the meantime. A second assignment beside the first would save little: this is
        rare."""
        names = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(missing))
        logger.warning("%s: not read, the leader does not answer; asking on", names)
        while not self._is_over():
            await asyncio.sleep(LEADERS_EVERY_S)
            try:
                answered = await self._call(self._thread.starts(missing))
                if self._is_over():
                    return
                if answered:
                    self.join_again()
                    return
            except (BrokerError, KafkaError) as error:
                if self.host.on_reader_error(error):
                    return
            except Exception as error:
                self.host.on_rebalance_error(error)
                return

    async def _call(self, coroutine: Any) -> Any:
        """Run a coroutine of the consumer thread's loop, without Faust's two-worker queue."""
        if self._thread.is_closed():
            coroutine.close()
            raise KafkaError("the consumer is closed")
        loop = self._thread.thread_loop
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    async def commit_watermarks(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Commit the hosts' watermarks; False: nothing was committed. Raises KafkaError."""
        done: bool = await self._call(self._thread.commit(committed))
        return done

    async def committed(self, partition: TopicPartition) -> Committed | None:
        """What the group has committed for a partition; None: nothing. Raises KafkaError."""
        found: dict[TopicPartition, Committed] = await self._call(
            self._thread.stable_committed([partition])
        )
        return found.get(partition)

    def join_again(self) -> None:
        """Ask for a new assignment."""
        self._thread.in_thread("join_again")

    def allow(self, allowance: Allowance) -> None:
        """Answer a round."""
        self._thread.in_thread("allow", allowance)

    def set_allowance(self, allowance: Allowance) -> None:
        """Tell the reader of new room between rounds."""
        self._thread.in_thread("set_allowance", allowance)

    def inflated_bytes(self) -> int:
        """The size of the largest recent batch after decompression, in bytes."""
        reader = self._thread._reader
        return 0 if reader is None else reader.inflated_bytes

    def position_of(self, partition: TopicPartition) -> int | None:
        """How far the reader has read; None: it does not read this partition."""
        reader = self._thread._reader
        return None if reader is None else reader.position_of(partition)

    def end_of(self, partition: TopicPartition) -> int | None:
        """The partition's end at its last fetch; None: not fetched yet. With a pending transaction
        this is where the transaction begins, not the end of the log."""
        try:
            consumer = self._thread._ensure_consumer()
            end: int | None = consumer.highwater(partition)
            stable: int | None = consumer.last_stable_offset(partition)
        except (AssertionError, AttributeError, KeyError, ConsumerNotStarted):
            return None  # between two assignments, or before the first
        return end if stable is None or stable < 0 else stable

    def waits_for(self) -> str:
        """What the first assignment waits for."""
        return self._thread.waits_for()

    def close_reader(self) -> None:
        """Stop reading for good (a graceful stop began)."""
        self._thread.in_thread("close")

    async def _getmany(self, active_partitions: Set[TP] | None, timeout: float) -> Any:
        if active_partitions and all(tp.topic in self.host.sources for tp in active_partitions):
            await self.sleep(timeout)  # ends at once when the service stops
            return {}
        return await super()._getmany(active_partitions, timeout)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock alarm does not know watermarks; ours is `watermark_age`."""
        if tp.topic not in self.host.sources:
            super().verify_event_path(now, tp)


class Producer(driver.Producer):
    """Faust's own, for agents and topics: one silent node does not hold it up."""

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        adopt(producer)
        return producer


class Transport(driver.Transport):
    """`streams://host:port`: Faust's aiokafka transport with list consumption."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer
