"""Reads and writes what a group has committed. aiokafka 0.14 does both, each with a hole:

- Reading ignores an error of the whole answer: a node that is not the group's coordinator (any
  more), or is still loading, looks like a group that has never committed, and everything would be
  done again (test: `tests/faults/test_offsets.py`).
- Writing goes on after the membership is lost, without a member id, which Kafka allows while a
  group is empty: a process that stood still while others did its work and stopped would overwrite
  their commits (test: `tests/integration/test_rebalances.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IllegalGenerationError,
    KafkaError,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from streams.codec.committed import Committed

COORDINATOR_MOVED = (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError)
NOT_A_MEMBER = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

RETRY_INTERVAL_S = 0.1


class Member(NamedTuple):
    """The member that the group has assigned partitions to, and in which generation."""

    generation: int
    id: str


class OffsetsUnknownError(KafkaError):
    """The answer lacks a requested partition."""

    retriable = True


async def fetch_committed(
    coordinator: Any, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, Committed]:
    """What the group of an aiokafka `GroupCoordinator` has committed; partitions without a commit
    are left out. Raises KafkaError where the coordinator does not say; trying again helps where the
    error is `retriable`."""
    numbers_by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        numbers_by_topic[topic].append(partition)
    if not numbers_by_topic:
        return {}
    await coordinator.ensure_coordinator_known()
    request = OffsetFetchRequest(coordinator.group_id, list(numbers_by_topic.items()))
    response = await coordinator._send_req(request)
    _raise_for(getattr(response, "error_code", 0), coordinator)
    found: dict[TopicPartition, Committed] = {}
    unanswered = {
        TopicPartition(topic, n) for topic, numbers in numbers_by_topic.items() for n in numbers
    }
    for topic, answers in response.topics:
        for partition, offset, metadata, code in answers:
            _raise_for(code, coordinator)
            unanswered.discard(TopicPartition(topic, partition))
            if offset >= 0:
                found[TopicPartition(topic, partition)] = Committed.read(offset, metadata or "")
    if unanswered:
        raise OffsetsUnknownError(f"no answer about {sorted(unanswered)}")
    return found


def _raise_for(code: int, coordinator: Any) -> None:
    error = for_code(code)
    if code:
        if issubclass(error, COORDINATOR_MOVED):
            coordinator.coordinator_dead()
        raise error()


async def commit(
    coordinator: Any, member: Member, committed: Mapping[TopicPartition, Committed]
) -> bool:
    """Commit as this member; repeat until the coordinator answers. False: nothing was committed,
    since the group has moved on. Raises KafkaError where trying again does not help."""
    numbers_by_topic: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for (topic, partition), entry in committed.items():
        numbers_by_topic[topic].append((partition, entry.offset, entry.metadata))
    request = OffsetCommitRequest(
        coordinator.group_id,
        member.generation,
        member.id,
        OffsetCommitRequest.DEFAULT_RETENTION_TIME,
        list(numbers_by_topic.items()),
    )
    while True:
        await coordinator.ensure_coordinator_known()
        try:
            response = await coordinator._send_req(request)
            for _, answers in response.topics:
                for _, code in answers:
                    _raise_for(code, coordinator)
        except NOT_A_MEMBER:
            return False
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(RETRY_INTERVAL_S)
        else:
            return True
