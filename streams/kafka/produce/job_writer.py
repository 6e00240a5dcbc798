"""Writes for a command that ends: every record is acknowledged or reported, or the command fails.

Policy: a record that its topic will never take is reported, and the others go on. A partition
that takes nothing, or acknowledges nothing for SILENCE_S (LEADER_WITHIN_S while others answer),
ends all of it with a `BrokerError`: the user of the command sees it and can decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
)

from streams.errors import BrokerError
from streams.kafka.client import LEADER_WITHIN_S, SILENCE_S
from streams.kafka.produce.ordered_queue import OrderedQueue
from streams.kafka.produce.parcels import Parcel, Record
from streams.kafka.produce.producers import BATCH_BYTES, NO_IDEMPOTENCE, Producers
from streams.kafka.produce.waiting import Changes
from streams.kafka.remedies import missing_permission


def job_producers(
    keywords: Mapping[str, Any],
    tell: Callable[[str], None],
    batch_bytes: int = BATCH_BYTES,
    may_send: Callable[[], bool] | None = None,
) -> Producers:
    """Idempotent, or plain where the broker cannot (the embedded one) or may not let us, which is
    told. `batch_bytes`: what the topic takes. `may_send`: see `Producers`."""
    return Producers(
        {**keywords, "request_timeout_ms": int(SILENCE_S * 1000)},
        batch_bytes=min(BATCH_BYTES, batch_bytes),
        fallback_errors=(*NO_IDEMPOTENCE, ClusterAuthorizationFailedError),
        tell=tell,
        may_send=may_send,
    )


class JobWriter:
    """`explain(where, reason)`: the line for the user, of a partition that does not take records;
    reason None: it stopped answering. `on_refused(mark, reason)`: the record with this mark will
    never be taken; may raise an error that ends all. `on_sent(count)`: so many more are
    acknowledged. `queued_bytes`: of the keys and values that are not. `open`: False once it has
    failed or stopped."""

    lookup_timeout_s = SILENCE_S

    def __init__(
        self,
        producers: Producers,
        explain: Callable[[TopicPartition, str | None], str],
        on_refused: Callable[[Any, str], None],
        on_sent: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.producers = producers
        self.open = True
        self.queued_bytes = 0
        self._explain = explain
        self._on_refused = on_refused
        self._on_sent = on_sent
        self._queues: dict[TopicPartition, OrderedQueue] = {}
        self._changes = Changes()
        self._error: BaseException | None = None

    def put(self, where: TopicPartition, records: Sequence[Record], marks: Sequence[Any]) -> None:
        """Queue records behind those of this partition that were put before. `marks`: one each, by
        which the caller knows it."""
        queue = self._queues.get(where)
        if queue is None:
            queue = self._queues[where] = OrderedQueue(self, where)
        self.queued_bytes += _bytes(records)
        queue.put(Parcel(None, self, marks, records))

    async def room(self, limit_bytes: int) -> None:
        """Return when no more than so much is queued. Raises what writing raised."""
        await self._until(lambda: self.queued_bytes <= limit_bytes)

    async def finish(self) -> None:
        """Return when everything is acknowledged. Raises what writing raised."""
        await self._until(lambda: not any(queue.pending() for queue in self._queues.values()))

    async def stop(self) -> None:
        """Write nothing more; what is under way may still be written."""
        self.open = False
        await asyncio.gather(*(queue.stop() for queue in self._queues.values()))

    async def _until(self, true: Callable[[], bool]) -> None:
        await self._changes.until(lambda: self._error is not None or true())
        if self._error is not None:
            raise self._error

    # -- policy --------------------------------------------------------------------------------

    def may_write(self) -> bool:
        return True

    def delivered(self, where: TopicPartition, first: int, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            self.queued_bytes -= _bytes(parcel.records)
            self._on_sent(len(parcel.records))
        self._changes.note()

    def dropped(self, parcel: Parcel) -> None:
        """Only after a failure: nobody waits for these records."""

    def too_large(self, where: TopicPartition, parcel: Parcel, place: int) -> Record | None:
        self._give_up(where, parcel, place, "it is too large")
        return None

    def refused(
        self, where: TopicPartition, parcel: Parcel, place: int, error: KafkaError
    ) -> Record | None:
        keyless = parcel.records[place][0] is None
        hint = ", and a compacted topic takes no record without a key" if keyless else ""
        self._give_up(where, parcel, place, f"{type(error).__name__}{hint}")
        return None

    def _give_up(self, where: TopicPartition, parcel: Parcel, place: int, reason: str) -> None:
        self.queued_bytes -= _bytes([parcel.records[place]])
        self._on_refused(parcel.slots[place], f"the topic {where.topic} refuses it: {reason}")
        self._changes.note()

    def failed(self, where: TopicPartition, message: str, error: KafkaError) -> None:
        if isinstance(error, KafkaTimeoutError | RequestTimedOutError):
            raise BrokerError(self._explain(where, None)) from error
        reason = missing_permission(error, self.producers.entry)
        reason = reason or f"{type(error).__name__} {error}".strip()
        raise BrokerError(self._explain(where, reason)) from error

    def silent(self, where: TopicPartition, waited_s: float) -> None:
        """The leader may be silent for longer than the cluster: others take over from it."""
        if waited_s >= SILENCE_S and not self.producers.answered_within(SILENCE_S):
            raise BrokerError(self._explain(where, None))
        if waited_s >= LEADER_WITHIN_S:
            raise BrokerError(self._explain(where, self.producers.silent_nodes()))

    def ended(self, queue: OrderedQueue, error: BaseException) -> None:
        self._error = self._error or error
        self.open = False
        self._changes.note()


def _bytes(records: Sequence[Record]) -> int:
    return sum(len(key or b"") + len(value or b"") for key, value, _, _ in records)
