"""Finds errors of the tasks inside an `AIOKafkaConsumer`, which does not report them by itself.

Its coordination (joining, heartbeats) stops at an error until `check_errors` is called, and then
tries again; if it or the fetcher has ended with an error, nothing will ever be read again.
"""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from streams.errors import BrokerError

FINAL = (
    GroupAuthorizationFailedError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    TopicAuthorizationFailedError,
)
"""These errors stay until a person changes something."""


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
        if isinstance(error, FINAL) or coordinator._coordination_task.done():
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
