"""A worker's first start on a long topic: history is not paid for without a yes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerError, StreamsError
from streams.jobs.replay.range_estimate import estimate_range
from streams.kafka.admin import Admin
from streams.kafka.client import broker_answer, client_arguments, connected
from streams.kafka.extents import Extent, extents_of
from streams.kafka.tail import partitions_of, reading_consumer
from streams.plans import Plan
from streams.providers.addresses import is_loopback
from streams.settings import KafkaSettings, Settings

logger = logging.getLogger(__name__)

PAID: Final = ("anthropic", "voyage")
ASK_SIMULATOR_S: Final = 2.0


async def check_first_start(
    settings: Settings,
    environ: Mapping[str, str],
    kafka: KafkaSettings,
    plans: Sequence[tuple[Plan, Any]],
) -> None:
    """`plans`: with their callers. Raises StreamsError where the group has no offsets in more than
    `confirm_items` records of a source whose task calls a paid provider; says how many and what
    they would cost. A registered provider and a function may be free, and are not asked about."""
    if settings.worker.start != "earliest":
        return
    limit = settings.worker.confirm_items
    for plan, caller in plans:
        is_own = plan.function is not None or plan.pipeline is not None
        if is_own or plan.task.provider not in PAID:
            continue
        unread = await _unread(kafka, settings.worker.id, plan.task.source)
        count = sum(extent.end - extent.first for extent in unread.values())
        if count > limit and not await is_simulated(caller.account[1]):
            raise StreamsError(await _refusal(settings, environ, kafka, plan, unread, count))


async def _unread(kafka: KafkaSettings, group: str, source: str) -> dict[int, Extent]:
    """The partitions in which the group has no offset, with what they hold. Empty where the broker
    does not tell it: the worker will say why."""
    arguments, servers = client_arguments(kafka), kafka.bootstrap_servers
    try:
        admin = Admin(**arguments)
        async with connected(admin, servers):
            where = [TopicPartition(source, n) for n in await partitions_of(admin, source)]
            asking = admin.list_consumer_group_offsets(group, partitions=where)
            found = await broker_answer(asking, admin)
        new = [place for place in where if place not in found or found[place].offset < 0]
        if not new:
            return {}
        consumer = reading_consumer(arguments)
        async with connected(consumer, servers):
            extents = await extents_of(consumer, new)
        return {place.partition: extent for place, extent in extents.items()}
    except (BrokerError, KafkaError) as error:
        logger.debug("whether the group has offsets is not known: %r", error)
        return {}


async def is_simulated(base_url: str) -> bool:
    """Whether our simulator answers at this address of a provider. Loopback alone says nothing: a
    gateway there may lead to the API."""
    parts = urlsplit(base_url)
    if not is_loopback(parts.hostname or ""):
        return False
    timeout = aiohttp.ClientTimeout(total=ASK_SIMULATOR_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{parts.scheme}://{parts.netloc}/simulator/state") as response,
        ):
            state = await response.json()
            return response.status == 200 and {"seed", "answers", "script"} <= set(state)
    except (aiohttp.ClientError, TimeoutError, ValueError, TypeError):
        return False


async def _refusal(
    settings: Settings,
    environ: Mapping[str, str],
    kafka: KafkaSettings,
    plan: Plan,
    unread: Mapping[int, Extent],
    count: int,
) -> str:
    task = plan.task
    found = await estimate_range(settings, environ, plan, unread, kafka=kafka)
    cost = found.summary["live"]["cost_usd"]
    price = "at a price that is not known" if cost is None else f"for about ${cost:,.2f}"
    return (
        f"task {task.name}: the group {settings.worker.id} has no offsets in {task.source}, and"
        f" would begin with {count:,} records that are there already: about"
        f" {found.summary['calls']:,} calls of {task.provider}, {price}. `worker --yes` begins"
        ' them; with worker.start = "latest" only new ones are read'
    )
