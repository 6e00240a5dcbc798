"""Reads a topic without a consumer group, on and on or up to its end.

Partitions are read side by side, each in its order; between partitions there is none. Records of
aborted transactions do not show. The embedded broker looks times up by its own clock and in whole
batches, so times are refused there; and it misreports where a partition ends, so that `latest` asks
a fetch instead.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from streams.codec.moments import iso_ms
from streams.errors import BrokerError, UsageError
from streams.kafka.broker.tansu import refuse_on_embedded
from streams.kafka.client import LEADER_WITHIN_S, broker_answer, client_arguments, connected

if TYPE_CHECKING:
    from streams.settings import KafkaSettings

POLL_MS = 500
EMBEDDED_CLUSTER_ID = "embedded"
QUIET_S = 5.0
"""After so long without a record, check that the broker still answers."""
_AGO = re.compile(r"-(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Start(NamedTuple):
    """Where to begin in every partition: `at` is an offset or ms since the epoch. With "offsets"
    each partition has its own; partitions without one begin at the earliest."""

    kind: Literal["earliest", "latest", "offset", "offsets", "time"]
    at: int = 0
    offsets: Mapping[int, int] = {}


def parse_start(text: str, now: datetime, option: str = "--from") -> Start:
    """`earliest`, `latest`, an offset, an ISO 8601 time (UTC where it names no zone), or how long
    ago: `-90s`, `-15m`, `-2h`, `-1d12h`. Raises UsageError, which names the option, for anything
    else."""
    if text in {"earliest", "latest"}:
        return Start(text)  # type: ignore[arg-type]
    if text.isascii() and text.isdigit() and len(text) < 19:
        return Start("offset", int(text))
    try:
        return Start("time", parse_time(text, now))
    except ValueError:
        raise UsageError(
            f"{option} must be earliest, latest, an offset, a time as 2026-11-23T10:00:00Z, or how"
            f" long ago as -2h, not {text!r}"
        ) from None


def parse_time(text: str, now: datetime) -> int:
    """Milliseconds since the epoch of an ISO 8601 time, or of how long ago. Raises ValueError."""
    ago = _AGO.fullmatch(text)
    if ago is None or not any(ago.groups()):
        return max(0, int(iso_ms(text)))
    days, hours, minutes, seconds = (int(part or 0) for part in ago.groups())
    try:
        moment = now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return max(0, int(moment.timestamp() * 1000))
    except OverflowError as error:
        raise ValueError(str(error)) from None


async def tail(
    kafka: KafkaSettings,
    topic: str,
    start: Start,
    *,
    count: int | None = None,
    to_end: bool = False,
    uncommitted: bool = False,
) -> AsyncGenerator[list[Any], None]:
    """Records as they come (`PlacedRecord`), in lists; first an empty list, when reading is at its
    start and misses nothing from then on. `count`: ends after so many, None: never. `to_end`: ends
    where the topic ended when reading began. `uncommitted`: also what a transaction under way has
    written. Raises BrokerError: no answer, now or later; no such topic; we may not read it; a
    record that cannot be read, when all before it is handed over."""
    from streams.kafka.admin import Admin
    from streams.kafka.consume.taking import Taking

    arguments = {**client_arguments(kafka), "request_timeout_ms": int(LEADER_WITHIN_S * 1000)}
    admin, consumer = Admin(**arguments), reading_consumer(arguments, uncommitted)
    clock, servers = asyncio.get_running_loop().time, kafka.bootstrap_servers
    async with connected(admin, servers), connected(consumer, servers):
        places = await partitions_of(admin, topic)
        embedded = await broker_answer(is_embedded(admin), admin)
        if embedded and start.kind == "time":
            refuse_on_embedded("time_lookup", "--from")
        ends = await broker_answer(assign(consumer, topic, places, start), consumer)
        if embedded and (to_end or start.kind == "latest"):
            ends = await broker_answer(high_watermarks(consumer, start), consumer)
        yield []
        taking, remaining, quiet_since = Taking(consumer), count, clock()
        while remaining is None or remaining > 0:
            if to_end and await broker_answer(_reached(consumer, ends), consumer):
                return
            if records := await taking.take(remaining, POLL_MS / 1000):
                quiet_since = clock()
                remaining = remaining and remaining - len(records)
                yield records
            elif clock() - quiet_since >= QUIET_S:  # Does the topic still exist?
                await partitions_of(admin, topic)
                quiet_since = clock()


def reading_consumer(
    arguments: Mapping[str, Any], uncommitted: bool = False, **keywords: Any
) -> Any:
    """A consumer without a group, not started. `uncommitted`: as of `tail`."""
    from aiokafka import AIOKafkaConsumer

    from streams.kafka.consume.fetched_records import allow_any_record

    allow_any_record()
    return AIOKafkaConsumer(
        **arguments,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_uncommitted" if uncommitted else "read_committed",
        fetch_max_wait_ms=POLL_MS,
        **keywords,
    )


async def partitions_of(admin: Any, topic: str) -> list[int]:
    """The topic's partitions. Raises BrokerError if there is no such topic, or no answer."""
    return await broker_answer(_partitions(admin, topic), admin)


async def _partitions(admin: Any, topic: str) -> list[int]:
    """The topic's partitions. Raises BrokerError if there is no such topic."""
    from streams.kafka.nodes import entry_of
    from streams.kafka.remedies import or_hidden

    # Ask for all topics: a request for one name may create it, if the broker is set so.
    topics = {found["topic"]: found["partitions"] for found in await admin.describe_topics()}
    if topics.get(topic):
        return sorted(partition["partition"] for partition in topics[topic])
    near = get_close_matches(topic, topics, n=1)
    guess = f'did you mean "{near[0]}"?' if near else "check its name, and --broker"
    hidden = or_hidden(entry_of(admin))
    raise BrokerError(f"the topic {topic} does not exist; {guess}{hidden}")


async def is_embedded(admin: Any) -> bool:
    """Whether the embedded broker is at the other end. Raises KafkaError."""
    return bool((await admin.describe_cluster()).get("cluster_id") == EMBEDDED_CLUSTER_ID)


async def _reached(consumer: Any, ends: Mapping[Any, int]) -> bool:
    return all([await consumer.position(place) >= end for place, end in ends.items()])


async def high_watermarks(consumer: Any, start: Start) -> Mapping[Any, int]:
    """The ends that a fetch reports; with "latest" reading goes on from there. Records that this
    fetch brings count as older."""
    starts = {place: await consumer.position(place) for place in consumer.assignment()}
    while any(consumer.highwater(place) is None for place in starts):
        await consumer.getmany(timeout_ms=100)
    ends = {place: consumer.highwater(place) for place in starts}
    for place, at in (ends if start.kind == "latest" else starts).items():
        consumer.seek(place, at)
    return ends


async def assign(
    consumer: Any, topic: str, partitions: list[int], start: Start
) -> Mapping[Any, int]:
    """Seek to the start in every partition; returns where each ends."""
    from aiokafka import TopicPartition

    where = [TopicPartition(topic, partition) for partition in partitions]
    consumer.assign(where)
    first = await consumer.beginning_offsets(where)
    last = await consumer.end_offsets(where)
    for place, at in (await offsets_at(consumer, start, first, last)).items():
        consumer.seek(place, at)
    return dict(last)


async def offsets_at(
    consumer: Any, start: Start, first: Mapping[Any, int], last: Mapping[Any, int]
) -> dict[Any, int]:
    """The offset of a start in each of these partitions, whose logs begin at `first` and end at
    `last`. Raises KafkaError."""
    where = list(first)
    at = dict(first)
    if start.kind == "latest":
        at = dict(last)
    elif start.kind == "offset":
        at = {place: min(max(start.at, first[place]), last[place]) for place in where}
    elif start.kind == "offsets":
        offsets = {place: start.offsets.get(place.partition, 0) for place in where}
        at = {place: min(max(offsets[place], first[place]), last[place]) for place in where}
    elif start.kind == "time":
        found = await consumer.offsets_for_times(dict.fromkeys(where, start.at))
        at = {
            place: last[place] if found.get(place) is None else found[place].offset
            for place in where
        }
    return at
