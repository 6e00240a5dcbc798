"""Whether this worker may still write for its partitions, as far as it can know by itself.

The group removes a process that stands still (SIGSTOP, a paused machine) longer than the session.
When it runs again it does not know that: another member reads its partitions, and a result that it
writes now would stand before results that the other one still has to write. So results are written
only while the coordinator must still treat this member as alive: for one session after the sending
of the last heartbeat that was answered. After that they wait for the next answer.

The same reasoning as in Gray and Cheriton, "Leases" (SOSP 1989): the holder's clock starts earlier
than the grantor's, so it ends earlier. exactly_once does not need it: the broker fences.
"""

from __future__ import annotations

import time
from typing import Any, Final

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The coordinator's clock goes on while this machine sleeps: so must this one (Linux)."""


def clock_s() -> float:
    """The leases' clock, in seconds; it also counts while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """`session_timeout_s`: after so long without a heartbeat the group removes a member."""

    def __init__(self, session_timeout_s: float) -> None:
        self._session_timeout_s = session_timeout_s
        self._until = 0.0

    def extend(self, sent_at: float) -> None:
        """The coordinator answered a heartbeat that was sent at `sent_at` (`clock_s`)."""
        self._until = sent_at + self._session_timeout_s

    def holds(self) -> bool:
        """Safe in any thread."""
        return clock_s() < self._until

    def watch(self, coordinator: Any) -> None:
        """Extend the lease with each heartbeat of an aiokafka `GroupCoordinator`."""
        beat = coordinator._do_heartbeat

        async def heartbeat() -> bool:
            sent_at = clock_s()
            alive: bool = await beat()
            if alive:
                self.extend(sent_at)
            return alive

        coordinator._do_heartbeat = heartbeat
