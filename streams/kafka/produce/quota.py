"""Waits where a broker throttles us: a quota of the client id or the user (KIP-219).

The broker answers a request at once, says for how long it is muted, and reads nothing more from
that connection until then. aiokafka does not look: its next request would wait for an answer until
its time limit, as if the broker were dead. So the next request to that node is sent only after that
time, and the time does not count as silence.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

TELL_EVERY_S = 60.0


class Quota:
    """What the brokers allow a set of producers. `tell`: says that they are throttled, at once and
    then once a minute."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told_at = self._free_at = -math.inf

    def obey(self, client: Any) -> None:
        """Let an `AIOKafkaClient` wait before each request until its connection is free."""
        send, update = client.send, client._metadata_update
        free_at: dict[Any, float] = {}  # by node and group of connections

        async def send_when_free(node: Any, request: Any, **keywords: Any) -> Any:
            connection, clock = (node, keywords.get("group")), asyncio.get_running_loop().time
            mute_s = free_at.get(connection, -math.inf) - clock()
            if mute_s > 0:
                await asyncio.sleep(mute_s)
            answer = await send(node, request, **keywords)
            if (throttled_ms := getattr(answer, "throttle_time_ms", 0)) > 0:
                free_at[connection] = clock() + throttled_ms / 1000
                self.note(throttled_ms / 1000)
            return answer

        async def update_when_free(*arguments: Any) -> Any:
            """It takes any node, and no group of connections."""
            if self.left_s:
                await asyncio.sleep(self.left_s)
            return await update(*arguments)

        client.send, client._metadata_update = send_when_free, update_when_free

    @property
    def left_s(self) -> float:
        """How long until no connection is mute."""
        return max(0.0, self._free_at - asyncio.get_running_loop().time())

    def met(self, within_s: float) -> bool:
        """Whether a connection was mute at any time in the last so many seconds."""
        return self._free_at > asyncio.get_running_loop().time() - within_s

    def note(self, throttled_s: float) -> None:
        """From now on a connection is mute for so long."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now + throttled_s)
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._tell(
                "throttled: the broker has a quota for this client and takes nothing more for"
                f" {throttled_s:.1f} s; it goes on at the rate of the quota"
            )
