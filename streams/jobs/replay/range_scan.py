"""Where a range lies in its topic, and reading it from one end to the other, a partition at a time.

Live mode reads all partitions side by side (`range_reader`); this is for what needs one after the
other: the count at the end, and batch mode.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.errors import UsageError
from streams.jobs.replay.range_choice import RangeChoice, bounded
from streams.kafka.broker.tansu import refuse_on_embedded
from streams.kafka.client import broker_answer
from streams.kafka.consume.taking import Taking
from streams.kafka.extents import Extent, whole
from streams.kafka.tail import POLL_MS, high_watermarks, offsets_at


async def extents_of_choice(
    consumer: AIOKafkaConsumer,
    topic: str,
    partitions: list[int],
    choice: RangeChoice,
    *,
    embedded: bool,
) -> dict[int, Extent]:
    """The range in each chosen partition, as the logs are now: what comes later is not part of it.

    Raises ConfigError for a time on the embedded broker, UsageError for partitions that do not
    exist, BrokerError.
    """
    if embedded and choice.by_time:
        refuse_on_embedded("time_lookup", choice.by_time)
    chosen = sorted(choice.partitions or partitions)
    if unknown := sorted(set(chosen) - set(partitions)):
        raise UsageError(
            f"--partitions: {topic} has {len(partitions)} partitions, from 0; not {unknown[0]}"
        )
    where = [TopicPartition(topic, number) for number in chosen]
    consumer.assign(where)
    logs = await broker_answer(whole(consumer, where), consumer)
    if embedded:
        for place, log in logs.items():
            consumer.seek(place, log.first)
        ends = await broker_answer(high_watermarks(consumer, choice.first), consumer)
        logs = {place: Extent(log.first, ends[place]) for place, log in logs.items()}
    first = {place: log.first for place, log in logs.items()}
    last = {place: log.end for place, log in logs.items()}
    begins, untils = [
        await broker_answer(offsets_at(consumer, start, first, last), consumer)
        for start in (choice.first, choice.until)
    ]
    return bounded(_by_number(begins), _by_number(untils), _by_number(logs))


def _by_number(found: Mapping[TopicPartition, Any]) -> dict[int, Any]:
    return {place.partition: value for place, value in found.items()}


class RangeScanner:
    """Reads ranges of a topic, one at a time, over a started consumer without a group."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._taking = Taking(consumer)

    async def scan(self, partition: int, extent: Extent) -> AsyncGenerator[list[Any], None]:
        """The records of the range (`PlacedRecord`), in lists, in order. Raises BrokerError."""
        if extent.first >= extent.end:
            return
        consumer, where = self._consumer, TopicPartition(self._topic, partition)
        consumer.assign([where])
        consumer.seek(where, extent.first)
        while await broker_answer(consumer.position(where), consumer) < extent.end:
            records = await self._taking.take(None, POLL_MS / 1000)
            inside = [record for record in records if record.offset < extent.end]
            if inside:
                yield inside
            if len(inside) < len(records):
                return
