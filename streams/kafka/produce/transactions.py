"""Exactly once: results, dead letters and the source's offset leave in one transaction per group of
outcomes of a source partition.

Rules of this file and of `lane_writer.py`:
1. Each source partition has a producer of its own, with a transactional id that names it
   (`{worker id}/{topic}/{partition}`; "/" is not legal in a topic name). Starting it ends a pending
   transaction of an earlier owner, and fences that owner. It is started before the committed
   offset is read: read earlier, that offset could be one that a pending transaction is about to
   move (aiokafka 0.14 does not ask for stable offsets).
2. A transaction carries outcomes and the commit that they allow, nothing else. Outcomes of one
   `put` leave together.
3. Every failure has the same remedy: a new producer under the same id, which ends the pending
   transaction; then the commit tells what happened to it. The old offset: the same outcomes are
   written again, from memory, without a second call. The new offset: they are durable. Any other:
   another worker owns the partition, and the lane is lost (`on_lost`).
4. Outcomes of a closed lane are dropped, as in the plain sink.
5. Transactions are grouped by time (`interval_s`, longer with many partitions) and by memory
   (`presses`): each costs some 20 ms of waiting and 5 requests, whatever it holds. Those of
   different partitions overlap.
6. The broker ends a transaction after TRANSACTION_TIMEOUT_S, also one that its own quota keeps
   waiting (`quota.py`). So none begins while a connection is mute, and where a quota was met a
   transaction takes no more than a request has room for.

Consumers with `isolation.level=read_committed` see each outcome once, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
    TransactionalIdAuthorizationFailed,
)

from streams.codec.committed import Committed
from streams.errors import BrokerError
from streams.kafka.produce.lane_writer import LaneWriter
from streams.kafka.produce.parcels import Parcel, WarningLog
from streams.kafka.produce.producers import OFFER_INTERVAL_S, make_producer, start_producer
from streams.kafka.produce.quota import Quota
from streams.open_files import OTHER_FILES, raise_limit

logger = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_S = 60.0
"""After so long the broker ends a transaction by itself; usually the next owner ends a dead
worker's transaction sooner."""

TRANSACTIONS_PER_S = 200
"""The limit over all partitions: more would leave no time for other work."""


PERMANENT_ERRORS = (
    ClusterAuthorizationFailedError,
    IncompatibleBrokerVersion,
    TransactionalIdAuthorizationFailed,
)

COORDINATORS = 2
"""A producer has a connection to each node, and one more to the coordinator of its transactions and
that of the group."""

STARTS_AT_ONCE = 32
"""Producers that connect at the same time: hundreds at once are more than a broker accepts."""

STOP_WITHIN_S = 2.0
"""How long a stop waits for producers to close their connections."""


class Transactions:
    """The transactional writers of a worker, one per source partition.

    `committed(partition)`: what the group has committed. `progress(lane, slots)`: what may be
    committed when these slots are durable too. `presses(lane)`: the lane needs its memory back.
    `on_lost(lane)`: another worker owns its partition. `nodes`: of the cluster. The others as in
    `sink.py`.
    """

    def __init__(
        self,
        producer_keywords: Mapping[str, Any],
        *,
        worker_id: str,
        interval_s: float,
        committed: Callable[[TopicPartition], Awaitable[Committed | None]],
        progress: Callable[[Any, Collection[Any]], Committed],
        presses: Callable[[Any], bool],
        on_lost: Callable[[Any], None],
        on_defect: Callable[[BaseException], None],
        nodes: Callable[[], int] = lambda: 1,
    ) -> None:
        self._keywords = dict(producer_keywords)
        self._interval_s = interval_s
        self._nodes = nodes
        self.worker_id = worker_id
        self.committed = committed
        self.progress = progress
        self.presses = presses
        self.on_lost = on_lost
        self.on_defect = on_defect
        self.warning_log = WarningLog()
        self.quota = Quota(logger.warning)
        self._writers: dict[TopicPartition, LaneWriter] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)

    @property
    def interval_s(self) -> float:
        """Seconds between the beginnings of two transactions of one partition."""
        return max(self._interval_s, len(self._writers) / TRANSACTIONS_PER_S)

    async def prepare(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are assigned: fence their earlier owners, end their pending
        transactions, and close the writers of all other partitions. Returns when that is done,
        however long the broker takes. Raises BrokerError where this process may not open as many
        connections."""
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.retire()
        new = [LaneWriter(self, partition) for partition in partitions]
        await self._make_room(len(new))
        await asyncio.gather(*(writer.start() for writer in new))
        self._writers = {writer.partition: writer for writer in new}

    async def _make_room(self, producers: int) -> None:
        """Raise the limit of open files for so many producers, beside those that still close."""
        nodes = self._nodes()
        each = nodes + min(COORDINATORS, nodes)
        closing = len(self._closing)
        files = raise_limit((producers + closing) * each + OTHER_FILES)
        needed = producers * each + OTHER_FILES
        if files < needed:
            raise BrokerError(
                f"exactly_once needs {needed} open files for {producers} partitions, and this"
                f" process may open {files}: raise its hard limit (ulimit -Hn, LimitNOFILE), share"
                ' the partitions among more workers, or use guarantee = "at_least_once"'
            )
        if closing and files < needed + closing * each:
            await asyncio.wait(self._closing, timeout=STOP_WITHIN_S)

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        """Queue outcomes of a lane; they leave in this order."""
        writer = self._writers.get(parcel.lane.where)
        if writer is not None:  # else an assignment is in progress, and the lane is closed
            writer.put(TopicPartition(topic, partition), parcel)

    async def commit(self, lanes: Iterable[Any]) -> bool:
        """Commit offsets that move without outcomes. False: not for all lanes; lanes with outcomes
        in the queue commit by themselves."""
        done = await asyncio.gather(*(self._commit(lane) for lane in lanes))
        return all(done)

    async def _commit(self, lane: Any) -> bool:
        writer = self._writers.get(lane.where)
        return writer is not None and not writer.pending() and await writer.commit(lane)

    def pending(self) -> int:
        """Outcomes that are queued or in a transaction."""
        return sum(writer.pending() for writer in self._writers.values())

    def hurry(self) -> None:
        """Begin the next transactions at once, because a stop or a revocation waits for them."""
        for writer in self._writers.values():
            writer.hurry()

    async def stop(self) -> None:
        """Close without waiting for the queues."""
        for writer in self._writers.values():
            writer.retire()
        self._writers.clear()
        if self._closing:
            _, left = await asyncio.wait(self._closing, timeout=STOP_WITHIN_S)
            for retired in left:
                retired.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    # -- producers -----------------------------------------------------------------------------

    async def connect(self, partition: TopicPartition) -> AIOKafkaProducer:
        """A new producer that owns this partition's id; repeats until it has started. Raises
        BrokerError where trying again does not help."""
        while True:
            producer = make_producer(
                {
                    **self._keywords,
                    "transactional_id": f"{self.worker_id}/{partition.topic}/{partition.partition}",
                    "transaction_timeout_ms": int(TRANSACTION_TIMEOUT_S * 1000),
                }
            )
            try:
                async with self._starting:
                    await start_producer(producer, idempotent=True, quota=self.quota)
                return producer
            except PERMANENT_ERRORS as error:
                self.retire(producer)
                raise BrokerError(
                    f"exactly_once is refused by the broker: {error!r}. The worker's user needs "
                    f"Write and Describe on transactional ids that begin with {self.worker_id}/"
                ) from error
            except KafkaError as error:
                self.retire(producer)
                self.warning_log.say("no transactions of %s/%s yet: %r", partition, error)
                await asyncio.sleep(OFFER_INTERVAL_S)
            except BaseException:
                self.retire(producer)
                raise

    def retire(self, producer: AIOKafkaProducer) -> None:
        """Close it in the background; its results do not count any more."""
        retired = asyncio.ensure_future(_close(producer))
        self._closing.add(retired)
        retired.add_done_callback(self._closing.discard)


async def _close(producer: AIOKafkaProducer) -> None:
    _retrieve_all(producer)
    try:
        # `stop` would wait until the broker takes what is queued; nothing in the queue is needed.
        sender = producer._sender.sender_task
        if sender is not None and not sender.done():
            sender.cancel()
        await producer.stop()
    except Exception as error:
        logger.debug("closing a producer: %r", error)
    finally:
        _retrieve_all(producer)


def _retrieve_all(producer: AIOKafkaProducer) -> None:
    """Read the results of its last transaction and batches: otherwise asyncio would log at length
    that nobody did."""
    accumulator = producer._message_accumulator
    left = [*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches]
    waiters = [producer._txn_manager.wait_for_transaction_end()]
    waiters += [waiter for batch in left for waiter in (batch.future, batch._drain_waiter)]
    for ended in waiters:
        if ended is not None and ended.done() and not ended.cancelled():
            ended.exception()
