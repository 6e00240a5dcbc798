"""The one factory of aiokafka producers, and the producer that a set of queues shares.

What every producer gets, each a fact measured on aiokafka 0.14.0:
1. `acks=all`, no linger: later records go into the next batch.
2. It asks for metadata at most every METADATA_EVERY_S (`pace_metadata`).
3. A batch may fail while it waits to be sent again (`forgive_failed_batches`).
4. It waits where a broker throttles it (`quota.py`), and sends nothing that it may not
   (`send_guard.py`).
5. An idempotent batch has no time to live. aiokafka repeats it for ever under its sequence number,
   but gives it up after 40 s where its partition has no leader. It may have been written before the
   leader fell, and another producer would write it again.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownError

from streams.kafka.client import pace_metadata
from streams.kafka.nodes import adopt, entry_of
from streams.kafka.produce.quota import Quota
from streams.kafka.produce.send_guard import guard
from streams.kafka.remedies import Entry, partly

logger = logging.getLogger(__name__)

BATCH_BYTES = 256 * 1024
OFFER_INTERVAL_S = 0.5
STOP_WITHIN_S = 2.0
"""How long a stop waits for producers to close: a batch without a leader never ends, and TLS waits
30 s for a broker that does not answer."""

NO_IDEMPOTENCE = (UnknownError,)
"""The error of a broker that gives out no producer ids (the embedded one)."""


class _Pending(set[Any]):
    def remove(self, batch: Any) -> None:
        self.discard(batch)


def forgive_failed_batches(producer: Any) -> None:
    """Let a batch of an `AIOKafkaProducer` fail while it waits for a retry: aiokafka removes it
    from the batches in flight, where it is not, and asyncio would log the KeyError."""
    producer._message_accumulator._pending_batches = _Pending()


def make_producer(keywords: Mapping[str, Any], batch_bytes: int = BATCH_BYTES) -> AIOKafkaProducer:
    """A producer that is not started yet."""
    keywords = {"acks": "all", "linger_ms": 0, **keywords}
    producer = AIOKafkaProducer(**keywords, max_batch_size=batch_bytes)
    adopt(producer)
    return producer


async def start_producer(
    producer: AIOKafkaProducer,
    *,
    idempotent: bool,
    quota: Quota,
    may_send: Callable[[], bool] | None = None,
) -> None:
    """Connect it. Raises KafkaError; even then it must be stopped."""
    await producer.start()
    if may_send is not None:
        guard(producer.client, may_send)  # first: a wait for the quota comes before the check
    if idempotent:
        producer._message_accumulator._batch_ttl = math.inf
    quota.obey(producer.client)
    pace_metadata(producer.client)
    forgive_failed_batches(producer)


async def _close(producer: AIOKafkaProducer) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(producer.stop(), STOP_WITHIN_S)


class Producers:
    """The producer in use and those that are closing; a client to `connect` as any other.

    `batch_bytes`: limit of a batch. `fallback_errors`: after these errors of a start, a producer
    without idempotence is tried: a batch that it acknowledges late may be written twice. `tell`:
    reports that, and that a broker throttles. `quota`: what the brokers allow. `may_send()`: asked
    before each batch goes into the socket (`send_guard`); None: always.
    """

    def __init__(
        self,
        keywords: Mapping[str, Any],
        *,
        batch_bytes: int = BATCH_BYTES,
        fallback_errors: tuple[type[KafkaError], ...] = NO_IDEMPOTENCE,
        tell: Callable[[str], None] = logger.warning,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        self._may_send = may_send
        self._keywords = {"enable_idempotence": True, **keywords}
        self._batch_bytes = batch_bytes
        self._fallback_errors = fallback_errors
        self._tell = tell
        self.quota = Quota(tell)
        self._current: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._offers: Counter[Any] = Counter()
        self._unused: dict[Any, asyncio.Event] = {}

    async def start(self) -> None:
        """Connect. Raises KafkaError where no broker answers."""
        try:
            self._current = await self._connect()
        except self._fallback_errors:
            if not self.idempotent:
                raise
            self._tell("this broker has no idempotent producers: a retry may write a record twice")
            self._keywords["enable_idempotence"] = False
            self._current = await self._connect()

    @property
    def idempotent(self) -> bool:
        """Whether a repeated batch is written once; certain after `start`."""
        return bool(self._keywords["enable_idempotence"])

    async def _connect(self) -> AIOKafkaProducer:
        producer = make_producer(self._keywords, self._batch_bytes)
        try:
            await start_producer(
                producer, idempotent=self.idempotent, quota=self.quota, may_send=self._may_send
            )
        except BaseException:
            await _close(producer)
            raise
        return producer

    async def stop(self) -> None:
        """Close without waiting for the queues. No queue may be offering a batch any more."""
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        producer, self._current = self._current, None
        if producer is not None:
            await _close(producer)

    async def refresh_metadata(self) -> None:
        """Ask the broker again for the topics' partitions. Raises KafkaError."""
        await (await self.current()).client.force_metadata_update()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic had at the last request to the broker. Raises KafkaError."""
        return len(await (await self.current()).partitions_for(topic))

    async def current(self) -> AIOKafkaProducer:
        """The producer in use; while another queue renews it, the new one."""
        async with self._renewing:
            assert self._current is not None
            return self._current

    @property
    def nodes(self) -> int:
        """How many nodes the cluster had at the last request to the broker."""
        assert self._current is not None
        return max(1, len(self._current.client.cluster.brokers()))

    @property
    def entry(self) -> Entry:
        """How they ask to come in."""
        return entry_of(self._current)

    def answered_within(self, seconds: float) -> bool:
        """Whether any node of the cluster has answered in this time."""
        nodes = adopt(self._current)
        return nodes is not None and nodes.answered_within(seconds)

    def silent_nodes(self) -> str:
        """Which nodes do not answer while others do."""
        nodes = adopt(self._current)
        return partly({} if nodes is None else nodes.unreachable)

    async def renew(self, failed: Any, on_failure: Callable[[KafkaError], None]) -> None:
        """Retire this producer, unless another queue already did; its other batches still finish.
        `on_failure(error)`: called for each failed start of the new one; an error raised there ends
        the tries."""
        async with self._renewing:
            if self._current is not failed:
                return
            while True:
                try:
                    self._current = await self._connect()
                    break
                except KafkaError as error:
                    on_failure(error)
                    await asyncio.sleep(OFFER_INTERVAL_S)
            closing = asyncio.ensure_future(self._stop_unused(failed))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    @contextmanager
    def offering(self, producer: Any) -> Iterator[None]:
        """A queue gives the producer a batch: do not stop the producer before it has the batch.
        (aiokafka would leave the queue waiting for metadata that nobody fetches any more.)"""
        self._offers[producer] += 1
        try:
            yield
        finally:
            self._offers[producer] -= 1
            if not self._offers[producer]:
                del self._offers[producer]
                if producer in self._unused:
                    self._unused.pop(producer).set()

    async def _stop_unused(self, producer: AIOKafkaProducer) -> None:
        if self._offers[producer]:
            unused = self._unused[producer] = asyncio.Event()
            await unused.wait()
        await producer.stop()
