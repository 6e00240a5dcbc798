"""The Faust transport `streams://`: the tasks' source topics as lists, all else as Faust does it.

Faust keeps the group, the assignor, the consumer thread, agents and tables. For the topics of the
tasks (`RecordHost.sources`) this subclass replaces the per-message path: `LaneReader` reads them,
`RecordHost` gets lists, and offsets are committed from the host's watermarks, never from Faust's
acks (Faust 0.15.3 commits past an item in flight, issue faust-streaming/faust#606).

Order of a rebalance, all of it awaited by the coordinator (in the consumer thread unless said):
1. revoked: the reader is closed at once, in the same synchronous step; worker loop: the host drains
   for at most `drain_s`, commits, drops its lanes; then Faust's own handling.
2. assigned: Faust's own handling; the committed offsets of our partitions are read and checked;
   worker loop: the host makes new lanes; the reader seeks and opens them.

Private names of Faust, mode and aiokafka that this file leans on are held by
`tests/contract/test_faust_private_names.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence, Set
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.committed import Committed
from streams.errors import BrokerError
from streams.kafka.host import RecordHost
from streams.kafka.reader import LaneReader
from streams.kafka.sources import watch_sources

logger = logging.getLogger(__name__)

NOT_COMMITTED = OffsetAndMetadata(-1, "")
"""What the broker says of a partition that nobody has committed for."""

MAX_POLL_INTERVAL_S = 2_000_000
"""Client-side only: a pause longer than aiokafka's poll interval makes it leave the group and never
come back (facts measured on 0.14.0). Stuck partitions are found by watermark age instead."""


class RebalanceListener(driver.ConsumerRebalanceListener):
    """Closes the reader in the first synchronous step of a rebalance."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> Awaitable[None]:
        self._thread.close_reader()
        awaitable: Awaitable[None] = super().on_partitions_revoked(revoked)
        return awaitable


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread plus the reader."""

    mundane_level = "debug"
    _reader: LaneReader | None = None
    _under_way: Sequence[asyncio.Task[None]] = ()

    @property
    def host(self) -> RecordHost:
        host: RecordHost = self.app.record_host
        return host

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        tables = bool(self.app.tables.changelog_topics) or conf.table_standby_replicas > 0
        self._assignor = self.app.assignor if tables else driver.RoundRobinPartitionAssignor
        keywords: dict[str, Any] = {
            "client_id": conf.broker_client_id,
            "group_id": conf.id,
            "partition_assignment_strategy": [self._assignor],
            "enable_auto_commit": False,
            "auto_offset_reset": conf.consumer_auto_offset_reset,
            "max_poll_interval_ms": MAX_POLL_INTERVAL_S * 1000,
            "rebalance_timeout_ms": int(conf.broker_rebalance_timeout * 1000),
            "metadata_max_age_ms": conf.consumer_metadata_max_age_ms,
        }
        return AIOKafkaConsumer(**{**keywords, **self.host.consumer_keywords})

    async def on_start(self) -> None:
        await super().on_start()
        host, loop = self.host, self.parent_loop
        consumer = self._ensure_consumer()
        self._reader = LaneReader(consumer, loop, host.on_records, host.on_reader_error)

        def gone(error: BrokerError) -> None:
            loop.call_soon_threadsafe(host.on_reader_error, error)

        self._under_way = (
            asyncio.ensure_future(self._reader.run()),
            asyncio.ensure_future(watch_sources(consumer, host.sources, gone)),
        )

    async def on_thread_stop(self) -> None:
        for task in self._under_way:
            task.cancel()
        await super().on_thread_stop()

    def close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def close(self) -> None:
        """Faust calls this from the worker's loop when a rebalance meets a stop, and closes the
        client there; the client belongs to this thread, whose own stop closes it."""

    def in_thread(self, name: str, *args: Any) -> None:
        """Call a method of the reader in its thread, in order; nothing happens after the stop."""
        reader = self._reader
        if reader is not None and not self.thread_loop.is_closed():
            self.thread_loop.call_soon_threadsafe(getattr(reader, name), *args)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Faust's recovery seeks everything; the partitions of tasks are the reader's."""
        consumer = self._ensure_consumer()
        others = [tp for tp in consumer.assignment() if tp.topic not in self.host.sources]
        if not others:
            return {}
        offsets: Mapping[TP, int] = await self.call_thread(consumer.seek_to_committed, *others)
        return offsets

    async def starts(self, partitions: Set[TopicPartition]) -> dict[TopicPartition, Committed]:
        """Where each partition's lane begins. Raises BrokerError for an offset out of range."""
        consumer = self._ensure_consumer()
        ordered = sorted(partitions)
        committed = await consumer._coordinator.fetch_committed_offsets(ordered)
        first = await consumer.beginning_offsets(ordered)
        end = await consumer.end_offsets(ordered)
        starts = {}
        for tp in ordered:
            offset, metadata = committed.get(tp, NOT_COMMITTED)
            if offset < 0:
                offset = first[tp] if self.host.start == "earliest" else end[tp]
                starts[tp] = Committed(offset)
                continue
            beyond = self.host.checks_log_end and offset > end[tp]
            if offset < first[tp] or beyond:
                raise BrokerError(
                    f"the committed offset {offset} of {tp.topic}/{tp.partition} is out of range: "
                    f"the log holds {first[tp]} to {end[tp]}. Records may be lost. Reset the "
                    f"offsets of group {self.app.conf.id} on purpose, or use a new [worker] id"
                )
            start = Committed.read(offset, metadata or "")
            starts[tp] = start.below(end[tp]) if self.host.checks_log_end else start
        return starts

    async def commit(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Commit; False where the group has moved on, and nothing was committed."""
        consumer = self._ensure_consumer()
        wanted = {tp: OffsetAndMetadata(c.offset, c.metadata) for tp, c in committed.items()}
        try:
            await consumer.commit(wanted)
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: Set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        sources = self.host.sources
        others = {tp for tp in active_partitions if tp.topic not in sources}
        if not others:  # an empty set would mean all of them to aiokafka
            return {}
        return await super()._fetch_records(consumer, others, timeout, max_records)


class Consumer(driver.Consumer):
    """Hands lists to the host; Faust's own messages go on to the conductor."""

    RebalanceListener: ClassVar[type[RebalanceListener]] = RebalanceListener
    mundane_level = "debug"
    _thread: ConsumerThread

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
        await self.host.on_revoked()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: Set[TP], generation_id: int = 0) -> None:
        await super().on_partitions_assigned(assigned, generation_id)
        starts: dict[TopicPartition, Committed] = {}
        if ours := self._ours(assigned):
            await self.host.before_assigned(ours)
            starts = await self._starts(ours)
        lanes = self.host.on_assigned(starts)
        self._thread.in_thread("open", lanes)
        first = {lane: FIRST_ALLOWANCE for lane, _ in lanes.values()}
        self._thread.in_thread("allow", first)

    async def _starts(self, ours: set[TopicPartition]) -> dict[TopicPartition, Committed]:
        while True:
            try:
                starts: dict[TopicPartition, Committed] = await self._call(
                    self._thread.starts(ours)
                )
                return starts
            except BrokerError as error:
                self.host.on_reader_error(error)
                return {}
            except KafkaError as error:
                if not error.retriable:
                    self.host.on_reader_error(error)
                    return {}
                logger.warning("reading the committed offsets again: %s", error)
                await asyncio.sleep(0.5)

    async def _call(self, coroutine: Any) -> Any:
        """Run a coroutine of the consumer thread's loop, without Faust's two-worker queue."""
        loop = self._thread.thread_loop
        if loop.is_closed():
            coroutine.close()
            raise KafkaError("the consumer is closed")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    async def commit_watermarks(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Commit the hosts' watermarks; False: nothing committed. Raises KafkaError."""
        done: bool = await self._call(self._thread.commit(committed))
        return done

    def allow(self, allowance: Mapping[Any, int]) -> None:
        """Answer a round."""
        self._thread.in_thread("allow", allowance)

    def set_allowance(self, allowance: Mapping[Any, int]) -> None:
        """Tell the reader of room that came back between rounds."""
        self._thread.in_thread("set_allowance", allowance)

    def position_of(self, partition: TopicPartition) -> int | None:
        """How far the reader has read; None: it does not read this partition."""
        reader = self._thread._reader
        return None if reader is None else reader.position_of(partition)

    def end_of(self, partition: TopicPartition) -> int | None:
        """How far the partition could be read when it was last fetched; None: not fetched yet.
        Where a transaction is pending that is its beginning, not the end of the log."""
        try:
            consumer = self._thread._ensure_consumer()
            end: int | None = consumer.highwater(partition)
            stable: int | None = consumer.last_stable_offset(partition)
        except (AssertionError, AttributeError, KeyError, ConsumerNotStarted):
            return None  # between two assignments, or before the first
        return end if stable is None or stable < 0 else stable

    def close_reader(self) -> None:
        """Stop reading for good (a graceful stop began)."""
        self._thread.in_thread("close")

    async def _getmany(self, active_partitions: Set[TP] | None, timeout: float) -> Any:
        if active_partitions and all(tp.topic in self.host.sources for tp in active_partitions):
            await self.sleep(timeout)  # ends at once when the service stops
            return {}
        return await super()._getmany(active_partitions, timeout)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock alarm knows nothing of watermarks; ours is `watermark_age`."""
        if tp.topic not in self.host.sources:
            super().verify_event_path(now, tp)


FIRST_ALLOWANCE = 100
"""Records each lane may get before its average size is known."""


class Transport(driver.Transport):
    """`streams://host:port`: Faust's aiokafka transport with list consumption."""

    Consumer: ClassVar[type[Consumer]] = Consumer
