"""Notices that a source topic was deleted under the worker.

aiokafka and the group do not notice: the partitions stay assigned, nothing comes, and a new topic
of that name would be read from the old positions. A missing source is exit code 1 at the start, and
it is the same here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams.errors import BrokerError

LOOK_EVERY_S = 2.0
MISSING_AFTER_S = 10.0
"""A broker that has just started may not know every topic yet."""


async def watch_sources(
    consumer: AIOKafkaConsumer, sources: Iterable[str], on_missing: Callable[[BrokerError], None]
) -> None:
    """Call `on_missing` once when one of these topics has been missing for `MISSING_AFTER_S`; until
    then, run until cancelled. Costs no request while all topics exist."""
    names = sorted(sources)
    missing_since: dict[str, float] = {}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        missing = [name for name in names if consumer.partitions_for_topic(name) is None]
        if missing:
            try:
                there = await consumer.topics()
            except KafkaError:
                continue  # no broker answers
            missing = [name for name in missing if name not in there]
        now = time.monotonic()
        missing_since = {name: missing_since.get(name, now) for name in missing}
        for name, since in missing_since.items():
            if now - since >= MISSING_AFTER_S:
                on_missing(BrokerError(f"the source topic {name} was deleted: create it again"))
                return
