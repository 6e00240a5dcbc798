"""Whether this worker may still write for its partitions, as far as it can know by itself.

A process that stood still (SIGSTOP, a paused machine) longer than the session was given up by the
group, and does not know it yet when it runs again: somebody else reads its partitions, and what it
writes now would stand before what that one has not written yet. So results are written only as long
as the coordinator must still take this member for alive: its session counted from when the last
heartbeat that was answered had been sent. After that they wait for the next answer.

The same reasoning as in Gray and Cheriton, "Leases" (SOSP 1989): the holder's clock starts earlier
than the grantor's, so it ends earlier. In exactly_once nobody needs it: the broker fences.
"""

from __future__ import annotations

import time
from typing import Any, Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The coordinator's clock goes on while this machine sleeps: so must this one (Linux)."""


def clock_s() -> float:
    """The time that leases are told, in seconds; also of a machine that was suspended."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """`session_timeout_s`: after so long without a heartbeat the group gives a member up."""

    def __init__(self, session_timeout_s: float) -> None:
        self._session_timeout_s = session_timeout_s
        self._until = 0.0

    def heard(self, asked_at: float) -> None:
        """The coordinator took this member for alive when it was asked (`clock_s`)."""
        self._until = asked_at + self._session_timeout_s

    def holds(self) -> bool:
        """Safe in any thread."""
        return clock_s() < self._until

    def watch(self, coordinator: Any) -> None:
        """Learn from the heartbeats of an aiokafka `GroupCoordinator`."""
        beat = coordinator._do_heartbeat

        async def heartbeat() -> bool:
            asked_at = clock_s()
            answered: bool = await beat()
            if answered:
                self.heard(asked_at)
            return answered

        coordinator._do_heartbeat = heartbeat
