"""The last check before a batch goes into the socket: does its owner still have the right to write?

The queues ask before they offer a batch. But a process may stand still between that and the socket
(SIGSTOP, a frozen machine), and aiokafka sends again by itself what the broker has not
acknowledged: what another process has written in the meantime would be written twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.produce import ProduceRequest


def guard(client: Any, may_send: Callable[[], bool]) -> None:
    """Let an `AIOKafkaClient` refuse produce requests while `may_send()` is False; aiokafka tries
    them again until it is True, or the producer stops."""
    send = client.send

    async def send_if_allowed(node: Any, request: Any, **keywords: Any) -> Any:
        if isinstance(request, ProduceRequest):
            await client.ready(node, **keywords)  # connects; from here on nothing is waited for
            if not may_send():
                raise NodeNotReadyError("this process may not write now")
        return await send(node, request, **keywords)

    client.send = send_if_allowed
