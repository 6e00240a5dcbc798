"""Looks at the live group of the task's source, and holds a replay's calls while it must wait.

The group is only looked at: nothing joins it, and nothing commits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerError
from streams.jobs.replay.range_shell import RangeShell
from streams.jobs.replay.right_of_way import (
    MAX_LOOK_S,
    LiveTraffic,
    Remaining,
    Tenth,
    Way,
    decide,
    undisturbed_s,
)
from streams.jobs.replay.run_context import RunContext
from streams.kafka.admin import Admin
from streams.kafka.client import connected
from streams.kafka.consume.offsets import fetch_committed
from streams.kafka.groups import has_members
from streams.running.logs import RepeatLog

logger = logging.getLogger(__name__)

POLL_S = 0.25
MEMBERS_EVERY_S = 2.0
REPEAT_AFTER_S = 60.0
WAY = "way"


class GivingWay:
    """`on_way(way)`: after each look. `admin`, `group`: connected; `group` is a consumer with the
    live group's id that never joins it."""

    def __init__(
        self,
        context: RunContext,
        shell: RangeShell,
        admin: Admin,
        group: AIOKafkaConsumer,
        on_way: Callable[[Way], None],
    ) -> None:
        self._context, self._shell = context, shell
        self._admin, self._group = admin, group
        self._on_way = on_way
        self._traffic, self._remaining, self._tenth = LiveTraffic(), Remaining(), Tenth()
        self._places: list[TopicPartition] = []
        self._lives, self._asked_at = False, float("-inf")
        self._max_in_flight = shell.parts.limits.max_in_flight
        self._way = Way(False, self._max_in_flight)
        self._trouble = RepeatLog(logger)

    async def watch(self) -> None:
        """Look again and again until cancelled. While the broker does not say, the last decision
        counts, and its tenth."""
        clock = asyncio.get_running_loop().time
        while True:
            # a look ends the replay's second: one that hangs must not make a minute of it
            within_s = MAX_LOOK_S if self._tenth.goes_all_the_same else None
            try:
                async with asyncio.timeout(within_s):
                    self._way = await self._look()
                self._trouble.over()
            except (KafkaError, BrokerError, TimeoutError) as error:
                found = str(error) or "no answer"
                self._trouble.say(f"live traffic cannot be seen: {found}", REPEAT_AFTER_S)
            self._apply(self._tenth.apply(self._way, clock()))
            await asyncio.sleep(POLL_S)

    async def _look(self) -> Way:
        clock = asyncio.get_running_loop().time
        share = self._context.facts.share
        age_s = None
        if share is None and await self._group_lives(clock()):
            age_s = await self._age_s(clock())
        now, shell = clock(), self._shell
        self._remaining.learn(shell.rate_limits, now)
        worker = self._context.settings.worker
        return decide(
            share=share,
            max_in_flight=self._max_in_flight,
            age_s=age_s,
            undisturbed_s=undisturbed_s(
                shell.parts.limits.max_wait_s,
                worker.commit_interval_ms / 1000,
                shell.mean_call_s,
                POLL_S,
            ),
            remaining=self._remaining.share(now),
        )

    def _apply(self, way: Way) -> None:
        shell = self._shell
        shell.limit(WAY, way.max_in_flight)
        if way.hold:
            shell.hold(WAY)
        else:
            shell.go_on(WAY)
        self._on_way(way)

    async def _group_lives(self, now: float) -> bool:
        if now - self._asked_at >= MEMBERS_EVERY_S:
            self._lives = await has_members(self._admin, self._context.settings.worker.id)
            self._asked_at = now
        return self._lives

    async def _age_s(self, now: float) -> float:
        """Both answers are of about the same moment: the commits are asked for after the ends, so
        that what looks uncommitted is."""
        source = self._context.facts.source
        if not self._places:
            count = self._context.topics[source].partitions
            self._places = [TopicPartition(source, number) for number in range(count)]
        ends = await self._group.end_offsets(self._places)
        found = await fetch_committed(self._group._coordinator, self._places)
        commits = {place.partition: committed.offset for place, committed in found.items()}
        self._traffic.observe(now, {at.partition: end for at, end in ends.items()}, commits)
        return self._traffic.age_s(now, commits)


@contextlib.asynccontextmanager
async def giving_way(
    context: RunContext, shell: RangeShell, on_way: Callable[[Way], None]
) -> AsyncIterator[None]:
    """The shell's calls give way while the block runs."""
    arguments: dict[str, Any] = dict(context.arguments)
    servers = context.kafka.bootstrap_servers
    group = AIOKafkaConsumer(
        **arguments,
        group_id=context.settings.worker.id,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    admin = Admin(**arguments)
    async with connected(admin, servers), connected(group, servers):
        watching = asyncio.ensure_future(GivingWay(context, shell, admin, group, on_way).watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
