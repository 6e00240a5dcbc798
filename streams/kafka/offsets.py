"""Reads what a group has committed. aiokafka 0.14 has a method for that, too, which takes no notice
of an answer that is an error as a whole: a node that is not the group's coordinator (any more), or
is still loading, then looks like a group that has never committed, and everything would be done
again (held by `tests/faults/test_offsets.py`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from streams.committed import Committed

MOVED = (NotCoordinatorForGroupError, GroupCoordinatorNotAvailableError)


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
