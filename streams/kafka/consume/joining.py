"""A member that has not joined its group yet: what it waits for, and how it leaves.

aiokafka 0.14 leaves a group only after a first assignment, and waits before that for the answer to
its request to join, which comes when all other members have joined again: that may take a minute,
for them too, because they wait for us.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from streams.kafka.remedies import reason

logger = logging.getLogger(__name__)

LEAVE_WITHIN_S = 1.0


async def leave_at_once(coordinator: Any) -> None:
    """If this aiokafka `GroupCoordinator` is about to join, give that up and leave the group."""
    joining = coordinator._coordination_task
    if joining.done() or not _is_joining(coordinator):
        return
    joining.cancel()
    await asyncio.gather(joining, return_exceptions=True)
    node, member = coordinator.coordinator_id, coordinator.member_id
    if node is None or not member:
        return
    request = LeaveGroupRequest(coordinator.group_id, member)
    try:
        async with asyncio.timeout(LEAVE_WITHIN_S):
            # Not on the coordinator's connection: there the broker works at the other request.
            await coordinator._client.send(node, request)
    except (KafkaError, TimeoutError) as error:
        logger.debug("leaving the group: %r", error)
    coordinator.reset_generation()


def _is_joining(coordinator: Any) -> bool:
    subscription = coordinator._subscription.subscription
    if subscription is None:
        return False
    needed: bool = coordinator.need_rejoin(subscription)
    return needed


def wait_of(coordinator: Any) -> str:
    """What the first assignment waits for."""
    group = coordinator.group_id
    if coordinator.coordinator_id is None:
        unreachable = dict(getattr(coordinator._client, "unreachable", {}))
        if unreachable:
            places = "; ".join(f"{at}: {reason(error)}" for at, error in unreachable.items())
            return f"the coordinator of group {group} is not reached ({places})"
        error = getattr(coordinator._client, "lookup_error", None)
        why = "" if error is None else f" ({type(error).__name__})"
        return (
            f"no node coordinates group {group}{why}: check that the topic __consumer_offsets can"
            " be created (offsets.topic.replication.factor) and has leaders"
        )
    return f"group {group} has not assigned any partition: other members may still have to join"
