"""Records on their way to a sink partition, and what every writer does with them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from streams.codec.results import record_bytes
from streams.kafka.produce.refusals import Refusals

logger = logging.getLogger(__name__)

BATCH_BYTES = 256 * 1024
OFFER_AGAIN_S = 0.5
COMPLAIN_AFTER_S = 5.0
SAID_AGAIN_AFTER_S = 60.0

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""A batch is above the topic's `max.message.bytes`, or above its `segment.bytes`."""

NO_HEADERS: list[tuple[str, bytes | None]] = []

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int | None]
"""Key, value, headers, timestamp in ms (None: now)."""


class Parcel(NamedTuple):
    """Records of one lane for one partition, in order; `slots` are the sender's marks on them."""

    sender: Sender
    lane: Any
    slots: Sequence[Any]
    records: Sequence[Record]


class Sender(Protocol):
    """Who put a parcel, and hears what became of it."""

    def delivered(self, lane: Any, slots: Sequence[Any]) -> None:
        """These records are durable; told in order."""
        ...

    def too_large(self, lane: Any, slot: Any, topic: str, record: Record) -> Record | None:
        """The broker refused this record for its size. Returns a smaller one for the same place;
        None where the slot was put with another outcome; the same one where nothing is smaller:
        then it is offered for as long as it takes."""
        ...


class Outlet(Protocol):
    """Where outcomes go: `sink.Sink` or `transactions.Transactions`."""

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        """Queue records of one lane behind those that it has put before."""
        ...


def fill(batch: Any, parcels: Iterable[Parcel], first: int, refusals: Refusals) -> int:
    """Append records, from number `first` of the first parcel on, until the batch is full or a
    parcel's lane is not open; how many were taken."""
    taken, append = 0, batch.append
    known = refusals if refusals.any else None
    now_ms = time.time() * 1000
    for parcel in parcels:
        if not parcel.lane.open:
            break
        for key, value, headers, timestamp in islice(parcel.records, first, None):
            headers = list(headers) if headers else NO_HEADERS  # the builder takes lists only
            if known is not None:
                timestamp = known.timestamp(timestamp, now_ms)
                size = batch.size() + record_bytes(key, value, headers) if taken else 0
                if not known.may_join(taken, size):
                    return taken
            if not append(key=key, value=value, timestamp=timestamp, headers=headers):
                return taken
            taken += 1
        first = 0
    return taken


async def acknowledgement(acknowledged: asyncio.Future[Any], where: TopicPartition) -> None:
    """Return when the broker has it, however long that takes. Raises KafkaError."""
    waited = 0.0
    while True:
        done, _ = await asyncio.wait((acknowledged,), timeout=COMPLAIN_AFTER_S)
        if done:
            acknowledged.result()
            return
        waited += COMPLAIN_AFTER_S
        if waited.is_integer() and (waited == COMPLAIN_AFTER_S or waited % 60 == 0):
            logger.error(
                "%s/%s has not acknowledged results for %.0f s; the task waits. Check the "
                "topic and the brokers",
                *where,
                waited,
            )


def retrieved(acknowledged: asyncio.Future[Any]) -> None:
    """For a done callback: nobody may wait for it any more."""
    if not acknowledged.cancelled():
        acknowledged.exception()


class Complaints:
    """Says each thing once in a minute: the same goes wrong twice a second, in every partition."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}

    def say(self, message: str, where: TopicPartition, error: BaseException) -> None:
        now = time.monotonic()
        if now - self._said_at.get(message, -SAID_AGAIN_AFTER_S) >= SAID_AGAIN_AFTER_S:
            self._said_at[message] = now
            logger.warning(message, *where, error)
