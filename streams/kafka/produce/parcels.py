"""Records on their way to a partition, how they fill a batch, and how to react to refusals.

A batch is refused as a whole; the broker does not say for which record (aiokafka 0.14 drops the
field that does). So a refused batch is offered again in halves, down to the single record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from math import inf
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    ProducerClosed,
    RecordListTooLargeError,
    kafka_errors,
)

from streams.codec.record_size import record_bytes
from streams.kafka.produce.any_names import AnyNameBatch
from streams.kafka.produce.quota import Quota

logger = logging.getLogger(__name__)

WARN_AFTER_S = 5.0
WARN_INTERVAL_S = 60.0

SLACK = 0.95
"""A timestamp almost as far from now as a refused one becomes now without trying: otherwise the
records of one wrong clock would be refused one by one, each a little nearer to now."""

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""A batch is above the topic's `max.message.bytes`, or above its `segment.bytes`."""


class InvalidRecordError(BrokerResponseError):
    """The topic refuses a record: without a key where it is compacted, or against its rules."""

    errno = 87
    message = "INVALID_RECORD"
    description = "The topic refuses this record."


# aiokafka takes a code that it does not know for any trouble of the broker.
kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)

REFUSED = (InvalidRecordError, PolicyViolationError)
"""A record of the batch will never be taken."""

STUBBORN = (
    "%s/%s will never take a record that has no other outcome, and what is behind it waits: %r. A "
    "topic for dead letters must take records without a key (cleanup.policy=delete)"
)

NO_HEADERS: list[tuple[str, bytes | None]] = []

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]], int | None]
"""Key, value, headers, timestamp in ms (None: now)."""


class Parcel(NamedTuple):
    """Records for one partition, in order; `slots`: the sender's marks on them, one each.
    `lane.open`: whether they are still to be written."""

    sender: Any
    lane: Any
    slots: Sequence[Any]
    records: Sequence[Record]


class Sender(Protocol):
    """Puts outcomes into an `Outlet`, and is told what happens to them."""

    def delivered(self, lane: Any, slots: Sequence[Any]) -> None:
        """These records are durable; called in the lane's order of records in a partition."""
        ...

    def too_large(self, lane: Any, slot: Any, topic: str, record: Record) -> Record | None:
        """The broker refused this record for its size. Returns a smaller one for the same place;
        None if the slot was put with another outcome; the same record if none is smaller: then it
        is offered until the broker takes it."""
        ...

    def refused(
        self, lane: Any, slot: Any, topic: str, record: Record, error: KafkaError
    ) -> Record | None:
        """The broker will never take this record. Returns None if the slot was put with another
        outcome; the same record if there is none: then it is offered on and on."""
        ...


class Outlet(Protocol):
    """Where outcomes go: `sink.Sink` or `transactions.Transactions`."""

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        """Queue records of one lane behind its earlier ones."""
        ...


def filled(
    producer: AIOKafkaProducer, parcels: Collection[Parcel], first: int, refusals: Refusals
) -> tuple[Any, int]:
    """A batch of the producer with records, from number `first` of the first parcel on, until it is
    full or a parcel's lane is closed; and how many it has."""
    batch = producer.create_batch()
    try:
        return batch, _fill(batch, parcels, first, refusals)
    except UnicodeEncodeError:
        batch = AnyNameBatch(producer)
        return batch, _fill(batch, parcels, first, refusals)


def _fill(batch: Any, parcels: Iterable[Parcel], first: int, refusals: Refusals) -> int:
    """How many records the batch has taken. Raises UnicodeEncodeError where it cannot take the
    first one, because the name of a header is not UTF-8."""
    count, append = 0, batch.append
    limits = refusals if refusals.any else None
    now_ms = time.time() * 1000
    for parcel in parcels:
        if not parcel.lane.open:
            break
        for key, value, headers, timestamp in islice(parcel.records, first, None):
            headers = list(headers) if headers else NO_HEADERS  # the builder takes only lists
            if limits is not None:
                timestamp = limits.timestamp(timestamp, now_ms)
                size = batch.size() + record_bytes(key, value, headers) if count else 0
                if not limits.may_join(count, size):
                    return count
            try:
                taken = append(key=key, value=value, timestamp=timestamp, headers=headers)
            except UnicodeEncodeError:
                if not count:
                    raise
                return count  # the next batch begins with it
            if not taken:
                return count
            count += 1
        first = 0
    return count


class Refusals:
    """What the broker has refused of one partition, so that the same is not offered again. `any`:
    whether there was a refusal."""

    def __init__(self) -> None:
        self.any = False
        self._max_bytes: float = inf  # limit of a batch with more than one record
        self._max_records: float = inf  # limit of a batch while `_suspects` are in the queue
        self._suspects = 0  # records of a batch that failed for one of them, not yet durable
        self._ahead_ms: float = inf
        self._behind_ms: float = inf

    def may_join(self, count: int, size: int) -> bool:
        """Whether a record may join the `count` of a batch that would have this size then."""
        return not count or (count < self._max_records and size <= self._max_bytes)

    def timestamp(self, timestamp_ms: int | None, now_ms: float) -> int | None:
        """The timestamp to send; None: now."""
        if timestamp_ms is None or not (-self._behind_ms < timestamp_ms - now_ms < self._ahead_ms):
            return None
        return timestamp_ms

    def refused_size(self, count: int, size: int) -> bool:
        """A batch was too large. False: it had a single record, and no smaller batch is
        possible."""
        if count == 1:
            return False
        self.any = True
        self._max_bytes = size // 2
        return True

    def refused_record(self, count: int) -> bool:
        """A batch will never be taken for one of its records. False: it had no other."""
        if count == 1:
            return False
        self._suspect(count)
        return True

    def _suspect(self, count: int) -> None:
        self.any = True
        self._suspects = max(self._suspects, count)
        self._max_records = count // 2

    def refused_timestamp(self, count: int, timestamp_ms: int | None, now_ms: float) -> bool:
        """A timestamp in a batch was refused; `timestamp_ms`: the first record's, as it was sent.
        False: it was the current time, and no other can be tried."""
        self.any = True
        if count > 1:
            self._suspect(count)
            return True
        self._suspects, self._max_records = 0, inf
        if timestamp_ms is None:
            return False
        if timestamp_ms > now_ms:
            self._ahead_ms = min(self._ahead_ms, (timestamp_ms - now_ms) * SLACK)
        else:
            self._behind_ms = min(self._behind_ms, (now_ms - timestamp_ms) * SLACK)
        return True

    def passed(self, count: int) -> None:
        """`count` records left the queue at its front: twice as many are tried next."""
        if self._suspects:
            self._suspects = max(0, self._suspects - count)
            self._max_records = max(self._max_records, 2 * count) if self._suspects else inf


async def acknowledgement(
    acknowledged: asyncio.Future[Any], silent: Callable[[float], None], quota: Quota
) -> Any:
    """The broker's answer about a batch, however long it takes. Raises KafkaError.
    `silent(waited_s)` is called every WARN_AFTER_S; an error raised there ends the wait. Time in
    which the quota may keep the batch from being sent does not count."""
    waited_s = 0.0
    while True:
        done, _ = await asyncio.wait((acknowledged,), timeout=WARN_AFTER_S)
        if acknowledged.cancelled():
            raise ProducerClosed  # else it would look like a cancellation of the caller
        if done:
            return acknowledged.result()
        if quota.met(WARN_AFTER_S):
            continue
        waited_s += WARN_AFTER_S
        silent(waited_s)


def mark_retrieved(acknowledged: asyncio.Future[Any]) -> None:
    """For a done callback, in case nobody waits for the result any more."""
    if not acknowledged.cancelled():
        acknowledged.exception()


def warn_of_silence(where: TopicPartition, waited_s: float) -> None:
    """Log that results wait: after WARN_AFTER_S, and then once a minute."""
    if waited_s == WARN_AFTER_S or waited_s % WARN_INTERVAL_S == 0:
        logger.error(
            "%s/%s has not acknowledged results for %.0f s; the task waits. Check the "
            "topic and the brokers",
            *where,
            waited_s,
        )


class WarningLog:
    """Logs each message once a minute: the same error comes twice a second, in every partition."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}

    def say(self, message: str, where: TopicPartition, error: BaseException) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(message, -WARN_INTERVAL_S) >= WARN_INTERVAL_S:
            self._logged_at[message] = now
            logger.warning(message, *where, error)
