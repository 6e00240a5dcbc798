"""The first and the end offsets of logs, also while some partitions have no leader.

aiokafka asks for all partitions together and waits 40 s for the slowest: one without a leader would
keep all others waiting, and then fail them with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

WITHIN_S = 5.0
"""A leader answers within some ms; one that was just elected within a second or two."""


class Extent(NamedTuple):
    """The log holds offsets from `first` on, below `end`."""

    first: int
    end: int


async def extents_of(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], within_s: float = WITHIN_S
) -> dict[TopicPartition, Extent]:
    """The extents of these partitions, without those whose leader does not answer within
    `within_s`. Raises KafkaError where asking again does not help."""
    try:
        return await _in_time(consumer, partitions, within_s)
    except TopicAuthorizationFailedError:
        raise
    except (KafkaError, TimeoutError):
        pass  # one partition is enough to cause it: ask each one alone
    alone = [_in_time(consumer, [partition], within_s) for partition in partitions]
    found: dict[TopicPartition, Extent] = {}
    for answer in await asyncio.gather(*alone, return_exceptions=True):
        if isinstance(answer, dict):
            found |= answer
        elif isinstance(answer, TopicAuthorizationFailedError) or not isinstance(
            answer, KafkaError | TimeoutError
        ):
            raise answer
    return found


async def whole(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, Extent]:
    """The extents of all these partitions, however long that takes. Raises KafkaError."""
    first = await consumer.beginning_offsets(partitions)
    end = await consumer.end_offsets(partitions)
    return {tp: Extent(first[tp], end[tp]) for tp in partitions}


async def _in_time(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], within_s: float
) -> dict[TopicPartition, Extent]:
    async with asyncio.timeout(within_s):
        return await whole(consumer, partitions)
