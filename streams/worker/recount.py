"""Topics grow while a worker runs: before each assignment their partitions are counted again.

They are counted only there, so that all workers of a group switch at the same moment: the rule of
contract G2 (same partition where counts match, else by key) is one rule for one
generation of the group.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.produce.sink import Sink
from streams.worker.task import TaskShell

logger = logging.getLogger(__name__)

COUNT_WITHIN_S = 5.0
"""The whole group waits meanwhile."""


async def recount(
    tasks: Sequence[TaskShell], sink: Sink, assigned: Iterable[TopicPartition]
) -> None:
    """Route by the current number of partitions; by the last known one if the broker does not
    answer.

    `assigned`: partitions that certainly exist.
    """
    least: dict[str, int] = defaultdict(int)
    for topic, partition in assigned:
        least[topic] = max(least[topic], partition + 1)
    try:
        async with asyncio.timeout(COUNT_WITHIN_S):
            await sink.producers.refresh_metadata()
            for task in tasks:
                await _reroute(task, sink, least[task.parts.source])
    except (KafkaError, TimeoutError) as error:
        logger.warning("partitions could not be counted, old counts are used: %r", error)


async def _reroute(task: TaskShell, sink: Sink, least: int) -> None:
    route, producers = task.route, sink.producers
    counts = (
        max(least, await producers.partitions(task.parts.source)),
        await producers.partitions(route.sink),
        await producers.partitions(route.dead_letter),
    )
    before = route.source_partitions, route.sink_partitions, route.dead_letter_partitions
    route.source_partitions, route.sink_partitions, route.dead_letter_partitions = counts
    if counts != before:
        logger.info(
            "task %s: %d source partitions, %d of the sink, %d of the dead letters",
            task.parts.name, *counts,
        )  # fmt: skip
