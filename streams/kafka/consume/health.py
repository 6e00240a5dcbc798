"""Finds errors of the tasks inside an `AIOKafkaConsumer`, which does not report them by itself.

Its coordination (joining, heartbeats) stops at an error until `check_errors` is called, and then
tries again; if it or the fetcher has ended with an error, nothing will ever be read again.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.admin import DescribeGroupsRequest

from streams.errors import BrokerError
from streams.kafka.nodes import entry_of
from streams.kafka.remedies import missing_permission, refusal

FINAL = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    TopicAuthorizationFailedError,
)
"""These errors stay until a person changes something."""

OUR_PROTOCOLS = {"", "consumer"}
DESCRIBED_WITHIN_S = 3.0


class AnotherProtocolError(KafkaError):
    """The group's members use another way to assign partitions."""


def check_health(consumer: AIOKafkaConsumer) -> None:
    """Raises BrokerError where reading cannot go on, `AnotherProtocolError` where the group will be
    joined as soon as it can, and any other KafkaError that may pass."""
    coordinator, fetching = consumer._coordinator, consumer._fetcher.error_future
    try:
        coordinator.check_errors()
    except InconsistentGroupProtocolError as error:
        raise AnotherProtocolError(
            f"group {coordinator.group_id} cannot be joined: members of it assign partitions in "
            "another way (another program, or another version of this one). It is tried until they "
            "are gone; if they are to stay, use another [worker] id"
        ) from error
    except KafkaError as error:
        if isinstance(error, FINAL):
            raise _final(error, consumer) from error
        if coordinator._coordination_task.done():
            raise BrokerError(
                f"this worker cannot go on in group {coordinator.group_id}: {error!r}"
            ) from error
        # aiokafka does not handle this code; the broker is in trouble. Heartbeats may have ended
        # with it, and begin again with the next generation.
        coordinator.request_rejoin()
        raise
    ended = fetching.exception() if fetching.done() and not fetching.cancelled() else None
    if ended is not None:
        raise BrokerError(f"nothing can be fetched any more: {ended!r}") from ended


async def explained(error: Exception, consumer: AIOKafkaConsumer) -> Exception:
    """The error as a BrokerError with what to do, where it stays until a person changes something;
    else as it is."""
    if isinstance(error, FINAL):
        return _final(error, consumer)
    if isinstance(error, AnotherProtocolError) and (kind := await _protocol_type(consumer)):
        return BrokerError(
            f"group {consumer._coordinator.group_id} belongs to another kind of program (its "
            f"protocol is {kind!r}, not 'consumer'): use another [worker] id"
        )
    return error


def _final(error: Exception, consumer: AIOKafkaConsumer) -> BrokerError:
    coordinator, entry = consumer._coordinator, entry_of(consumer)
    group = coordinator.group_id
    if isinstance(error, InvalidSessionTimeoutError):
        session_s = coordinator._session_timeout_ms / 1000
        return BrokerError(
            f"the broker does not take kafka.session_timeout_s = {session_s:g} for group {group}:"
            " choose one between its group.min.session.timeout.ms and group.max.session.timeout.ms,"
            " or change these"
        )
    if isinstance(error, InvalidGroupIdError):
        return BrokerError(f"the broker takes no group of the name {group}: change [worker] id")
    line = missing_permission(error, entry, group=group) or refusal(error, "", entry)
    return BrokerError(line or f"this worker cannot go on in group {group}: {error!r}")


async def _protocol_type(consumer: AIOKafkaConsumer) -> str | None:
    """The kind of the group's members, if it is not ours; None: it is, or nobody says."""
    coordinator = consumer._coordinator
    request = DescribeGroupsRequest([coordinator.group_id])
    try:
        async with asyncio.timeout(DESCRIBED_WITHIN_S):
            answer = (await coordinator._send_req(request)).to_object()
    except (KafkaError, TimeoutError):
        return None
    kind: str = answer["groups"][0]["protocol_type"]
    return kind if kind not in OUR_PROTOCOLS else None
