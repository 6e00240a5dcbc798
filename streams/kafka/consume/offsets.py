"""Reads and writes what a group has committed. aiokafka 0.14 does both, each with a hole:

- Reading takes no notice of an answer that is an error as a whole: a node that is not the group's
  coordinator (any more), or is still loading, looks like a group that has never committed, and
  everything would be done again (held by `tests/faults/test_offsets.py`).
- Writing goes on when the membership was lost, as whoever is no member, which Kafka allows while a
  group is empty: a process that stood still while others did its work, and stopped, would commit
  over theirs (held by `tests/integration/test_rebalances.py`).
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

MOVED = (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError)
GONE = (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

AGAIN_S = 0.1


class Member(NamedTuple):
    """Whom the group has given partitions, and in which generation."""

    generation: int
    id: str


class OffsetsUnknownError(KafkaError):
    """The answer lacks a partition that was asked for."""

    retriable = True


async def fetch_committed(
    coordinator: Any, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, Committed]:
    """What the group of an aiokafka `GroupCoordinator` has committed; partitions that it has not
    committed for are left out. Raises KafkaError where that cannot be known; trying again helps
    where the error is `retriable`."""
    wanted: dict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        wanted[topic].append(partition)
    if not wanted:
        return {}
    await coordinator.ensure_coordinator_known()
    request = OffsetFetchRequest(coordinator.group_id, list(wanted.items()))
    response = await coordinator._send_req(request)
    _raise_for(getattr(response, "error_code", 0), coordinator)
    found: dict[TopicPartition, Committed] = {}
    asked = {TopicPartition(topic, n) for topic, numbers in wanted.items() for n in numbers}
    for topic, answers in response.topics:
        for partition, offset, metadata, code in answers:
            _raise_for(code, coordinator)
            asked.discard(TopicPartition(topic, partition))
            if offset >= 0:
                found[TopicPartition(topic, partition)] = Committed.read(offset, metadata or "")
    if asked:
        raise OffsetsUnknownError(f"no answer about {sorted(asked)}")
    return found


def _raise_for(code: int, coordinator: Any) -> None:
    error = for_code(code)
    if code:
        if issubclass(error, MOVED):
            coordinator.coordinator_dead()
        raise error()


async def commit(
    coordinator: Any, member: Member, committed: Mapping[TopicPartition, Committed]
) -> bool:
    """Commit as this member; tries until the coordinator has answered. False: nothing was
    committed, since the group has moved on. Raises KafkaError where trying again is of no use."""
    wanted: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for (topic, partition), said in committed.items():
        wanted[topic].append((partition, said.offset, said.metadata))
    request = OffsetCommitRequest(
        coordinator.group_id,
        member.generation,
        member.id,
        OffsetCommitRequest.DEFAULT_RETENTION_TIME,
        list(wanted.items()),
    )
    while True:
        await coordinator.ensure_coordinator_known()
        try:
            response = await coordinator._send_req(request)
            for _, answers in response.topics:
                for _, code in answers:
                    _raise_for(code, coordinator)
        except GONE:
            return False
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            return True
