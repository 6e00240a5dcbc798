"""One process at a time: who does a job is the only member of a group that stands for it.

    alone in the group ─► send a chunk ─► commit as this member, which Kafka checks

Each member offers a protocol of its own, and Kafka takes a member only where all have one in
common: a second one is refused at once, and the first is not disturbed. A process that is killed
leaves the group when its session ends; one that stood still for longer finds out by its lease
before it sends, or by the broker when it commits. aiokafka joins again by itself, as a new member:
a claim is the right of the member that took it alone, since another process may have sent and
committed between the two.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import InconsistentGroupProtocolError

from streams.errors import StreamsError
from streams.kafka.client import SILENCE_S, broker_answer
from streams.kafka.consume.lease import Lease, clock_s
from streams.kafka.consume.offsets import Member

TRY_AGAIN_S = 0.25
NEVER_MS = 2**31 - 1

NOBODY = Member(-1, "")
"""Commits as no member, which Kafka allows while a group has none."""


def claimant(
    arguments: Mapping[str, Any], group: str, session_timeout_s: float
) -> AIOKafkaConsumer:
    """A consumer for a `Claim`; not started. It reads no records."""
    unshared = type(
        "Unshared", (RangePartitionAssignor,), {"name": f"streams-claim-{uuid.uuid4().hex}"}
    )
    return AIOKafkaConsumer(
        **arguments,
        group_id=group,
        enable_auto_commit=False,
        partition_assignment_strategy=[unshared],
        session_timeout_ms=int(session_timeout_s * 1000),
        heartbeat_interval_ms=int(session_timeout_s * 1000 / 3),
        max_poll_interval_ms=NEVER_MS,  # nobody polls it
        fetch_max_bytes=1,
    )


class Claim:
    """The right to do a job; see the top of this file. `topic`: any that exists, to join the group
    with. `job`: as people call it: "redrive of reviews.dead"."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        session_timeout_s: float,
        tell: Callable[[str], None],
        job: str,
    ) -> None:
        self._consumer, self._topic, self._tell, self._job = consumer, topic, tell, job
        self._session_timeout_s = session_timeout_s
        self._lease = Lease(session_timeout_s)
        self._lease.watch(consumer._coordinator)
        self.member = NOBODY
        """Who took the claim, the last time."""

    def holds(self) -> bool:
        """Whether the group surely still has the member that took the claim."""
        return self._lease.holds() and self.member == self._current()

    async def take(self, commits: Callable[[], Awaitable[Any]]) -> None:
        """Join the group, again if need be; return when we are its only member. Raises StreamsError
        while another one lives, and BrokerError. `commits`: reads what tells of its progress. Where
        that changes, the other one is alive for sure; else it may have been killed, and its
        session be not over yet."""
        if not self._consumer.subscription():
            self._consumer.subscribe([self._topic])
        if await self._joins():
            return
        until = time.monotonic() + self._session_timeout_s + SILENCE_S / 2
        before = await commits()
        self._tell(
            f"another {self._job} is under way, or was killed in the last"
            f" {self._session_timeout_s:g} s: waiting for it to end"
        )
        while time.monotonic() < until and await commits() == before:
            await asyncio.sleep(TRY_AGAIN_S)
            if await self._joins():
                return
        raise StreamsError(
            f"another {self._job} is under way; run this one again when it has ended"
        )

    async def _joins(self) -> bool:
        """Whether the group takes us. We ask for it anew: that aiokafka has joined by itself
        says nothing about now."""
        asked_at = clock_s()
        self._consumer._coordinator.request_rejoin()
        try:
            self.member = await broker_answer(self._assigned(), self._consumer)
        except _RefusedError:
            return False
        self._lease.extend(asked_at)
        return True

    def _current(self) -> Member:
        """What we are to the group, as far as aiokafka knows."""
        coordinator = self._consumer._coordinator
        return Member(coordinator.generation, coordinator.member_id)

    async def _assigned(self) -> Member:
        """What the group has made of us, as soon as it has. Raises _RefusedError, or KafkaError."""
        coordinator, subscription = self._consumer._coordinator, self._consumer._subscription
        try:
            coordinator.check_errors()
            while coordinator.need_rejoin(subscription.subscription):
                await subscription.wait_for_assignment()
                coordinator.check_errors()
        except InconsistentGroupProtocolError:
            raise _RefusedError from None
        return self._current()


class _RefusedError(Exception):
    """The group has another member."""
