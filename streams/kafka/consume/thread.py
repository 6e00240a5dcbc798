"""Faust's consumer thread plus the reader: what runs beside the worker's loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.kafka.client import pace_metadata
from streams.kafka.consume.fetched_records import allow_any_record
from streams.kafka.consume.health import explained
from streams.kafka.consume.host import RecordHost
from streams.kafka.consume.joining import leave_at_once, wait_of
from streams.kafka.consume.lease import clock_s
from streams.kafka.consume.offsets import Member, commit, fetch_committed
from streams.kafka.consume.reader import LaneReader
from streams.kafka.consume.refused_fetches import report_refused_fetches
from streams.kafka.consume.sources import watch_sources
from streams.kafka.extents import Extent, extents_of
from streams.kafka.nodes import adopt

logger = logging.getLogger(__name__)

MAX_POLL_INTERVAL_S = 2_000_000
"""Client-side only: a pause longer than aiokafka's poll interval makes it leave the group and never
come back (facts measured on 0.14.0). Stuck partitions are found by watermark age instead."""


MIN_FETCH_BYTES = 250_000
"""The fetch limit of one node. A larger batch comes all the same."""

LOOKS = 4
LOOK_WITHIN_S = 2.0
RETRY_INTERVAL_S = 0.5
"""The other members wait meanwhile."""

TAKEOVER_S = 0.5
"""How long a coordinator that took over may lack recent commits."""


class DaemonThread(WorkerThread):
    """Keeps no process whose loop has ended: a stop in order joins it anyway."""

    def __init__(self, service: Any, **keywords: Any) -> None:
        super().__init__(service, **keywords)
        self.daemon = True


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread plus the reader."""

    Worker = DaemonThread
    mundane_level = "debug"
    _reader: LaneReader | None = None
    _member: Member | None = None
    _reader_tasks: Sequence[asyncio.Task[None]] = ()
    _initial_sources: Set[str] = frozenset()
    _initial_partitions: Set[TopicPartition] = frozenset()

    @property
    def host(self) -> RecordHost:
        host: RecordHost = self.app.record_host
        return host

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        tables = bool(self.app.tables.changelog_topics) or conf.table_standby_replicas > 0
        # Sticky: after a rebalance a member keeps its partitions, and what their lanes hold.
        # Faust's own assignor is sticky too, and knows where tables are.
        self._assignor = self.app.assignor if tables else StickyPartitionAssignor
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
        allow_any_record()
        consumer = AIOKafkaConsumer(**{**keywords, **self.host.consumer_keywords})
        adopt(consumer)
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        host, loop = self.host, self.parent_loop
        consumer = self._ensure_consumer()
        pace_metadata(consumer._client)
        report_refused_fetches(consumer)
        host.lease.watch(consumer._coordinator)
        self._reader = LaneReader(consumer, loop, host.on_records, host.on_reader_error)

        def on_missing(error: BrokerError) -> None:
            loop.call_soon_threadsafe(host.on_reader_error, error)

        self._reader_tasks = (
            asyncio.ensure_future(self._reader.run()),
            asyncio.ensure_future(watch_sources(consumer, host.sources, on_missing)),
        )

    async def on_thread_stop(self) -> None:
        for task in self._reader_tasks:
            task.cancel()
        if self._consumer is not None and self._consumer._coordinator is not None:
            await leave_at_once(self._consumer._coordinator)
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            # aiokafka's fetcher cancels its requests and waits for them: without a broker, their
            # cancellation arrives here and would end the thread in its last step.
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            await self._ensure_consumer()._client.close()

    def joined(self) -> None:
        """The group has assigned partitions. Heartbeats begin at once: aiokafka would begin only
        after the assignment is handled, which takes as long as the broker does."""
        coordinator = self._ensure_consumer()._coordinator
        self._member = Member(coordinator.generation, coordinator.member_id)
        self._share_fetches()
        self.host.lease.extend(clock_s())
        coordinator._start_heartbeat_task()

    def _share_fetches(self) -> None:
        """All nodes are fetched from at the same time: together they bring the limit of one
        fetch."""
        consumer = self._ensure_consumer()
        nodes = len(consumer._client.cluster.brokers())
        bytes_in_all = self.host.consumer_keywords["fetch_max_bytes"]
        consumer._fetcher._fetch_max_bytes = max(MIN_FETCH_BYTES, bytes_in_all // max(1, nodes))

    def is_closed(self) -> bool:
        """Whether the thread has ended."""
        return bool(self.thread_loop.is_closed())

    def must_rejoin(self) -> bool:
        """Whether the group waits for this member to join again. Safe in any thread."""
        consumer = self._ensure_consumer()
        subscription = consumer._subscription.subscription
        if subscription is None:
            return False
        needed: bool = consumer._coordinator.need_rejoin(subscription)
        return needed

    def waits_for(self) -> str:
        """What joining the group waits for. Safe in any thread."""
        consumer = self._consumer
        if consumer is None or consumer._coordinator is None:
            return "no broker has answered yet"
        return wait_of(consumer._coordinator)

    def close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def close(self) -> None:
        """Faust calls this from the worker's loop when a rebalance meets a stop, and closes the
        client there; the client belongs to this thread, whose own stop closes it."""

    def in_thread(self, name: str, *args: Any) -> None:
        """Call a method of the reader in its thread, in order; nothing happens after the stop."""
        reader = self._reader
        if reader is not None and not self.is_closed():
            self.thread_loop.call_soon_threadsafe(getattr(reader, name), *args)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Faust's recovery seeks everything; the partitions of tasks are the reader's."""
        consumer = self._ensure_consumer()
        others = [tp for tp in consumer.assignment() if tp.topic not in self.host.sources]
        if not others:
            return {}
        offsets: Mapping[TP, int] = await self.call_thread(consumer.seek_to_committed, *others)
        return offsets

    async def committed(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        """What the group has committed; partitions without a commit are left out. Raises KafkaError
        where the coordinator does not say."""
        return await fetch_committed(self._ensure_consumer()._coordinator, partitions)

    async def stable_committed(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        """The same for transactions, which must not begin from an outdated answer: a coordinator
        that just took over from a lost node may for a moment lack commits that its predecessor
        acknowledged (seen on three nodes). A single node cannot."""
        found = await self.committed(partitions)
        while len(self._ensure_consumer()._client.cluster.brokers()) > 1:
            await asyncio.sleep(TAKEOVER_S)
            before, found = found, await self.committed(partitions)
            if found == before:
                break
        return found

    async def starts(
        self, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        """Where each partition's lane begins; partitions whose leader does not answer are left out.
        Raises BrokerError for an offset out of range, KafkaError."""
        consumer = self._ensure_consumer()
        ordered = sorted(partitions)
        try:
            committed = await self._find_committed(ordered)
            extents = await extents_of(consumer, ordered)
        except KafkaError as error:
            raise await explained(error, consumer) from error
        return {tp: self._start(tp, committed.get(tp), extent) for tp, extent in extents.items()}

    def _start(self, tp: TopicPartition, committed: Committed | None, log: Extent) -> Committed:
        if committed is None:
            is_new = tp.topic in self._initial_sources and tp not in self._initial_partitions
            latest = self.host.start == "latest" and not is_new
            return Committed(log.end if latest else log.first, is_committed=False)
        beyond = self.host.checks_log_end and committed.offset > log.end
        if committed.offset < log.first or beyond:
            raise BrokerError(
                f"the committed offset {committed.offset} of {tp.topic}/{tp.partition} is out of "
                f"range: the log holds {log.first} to {log.end}. Records may be lost. Reset the "
                f"offsets of group {self.app.conf.id} on purpose, or use a new [worker] id"
            )
        return committed.below(log.end) if self.host.checks_log_end else committed

    async def before_joining(self) -> None:
        """With `start = "latest"`, find out which sources the group has commits for: a partition of
        these sources without a commit was added later, and begins with its first record. Ask before
        joining: after it, commits of other members for this same assignment look the same."""
        if self.host.start != "latest" or self._initial_sources >= self.host.sources:
            return
        for _ in range(LOOKS):
            try:
                async with asyncio.timeout(LOOK_WITHIN_S):
                    partitions = await self._of_sources()
                    found = await self.committed(partitions)
            except (KafkaError, TimeoutError) as error:
                logger.debug("what the group has begun with: %r", error)
                await asyncio.sleep(RETRY_INTERVAL_S)
            else:
                self._initial_sources |= {topic for topic, _ in found}
                # A partition that had no leader, or whose member died before its first commit, may
                # get its lane later; it is not new.
                self._initial_partitions |= {
                    tp for tp in partitions if tp.topic not in self._initial_sources
                }
                return
        logger.warning(
            "the broker does not say what the group has committed: partitions without an offset "
            "begin at their end, also those that are new"
        )

    async def _of_sources(self) -> list[TopicPartition]:
        """All partitions of the sources."""
        consumer, sources = self._ensure_consumer(), sorted(self.host.sources)
        if any(consumer.partitions_for_topic(source) is None for source in sources):
            await consumer._client.force_metadata_update()
        return [
            TopicPartition(source, number)
            for source in sources
            for number in sorted(consumer.partitions_for_topic(source) or ())
        ]

    async def _find_committed(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        if self.host.transactional:
            return await self.stable_committed(partitions)
        return await self.committed(partitions)

    async def commit(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        """Commit as the member that was assigned these partitions; False: nothing was committed,
        since the group has moved on."""
        if self._member is None:
            return False
        return await commit(self._ensure_consumer()._coordinator, self._member, committed)

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: Set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        sources = self.host.sources
        others = {tp for tp in active_partitions if tp.topic not in sources}
        if not others:  # an empty set would mean all partitions to aiokafka
            return {}
        return await super()._fetch_records(consumer, others, timeout, max_records)
