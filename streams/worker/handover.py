"""Hands back what this worker has: when partitions are revoked, and when it stops.

    halt ─► calls in flight end ─► output closes ─► released outcomes are delivered ─► last commit

Work that cannot be finished in time is not lost: the next owner starts at the last commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from streams.worker.assignment import Assignment
from streams.worker.commits import Committer, FindCommitted, Settling, all_committed

logger = logging.getLogger(__name__)

REVOKE_WITHIN_S = 55.0
"""The group gives up a member that needs more than 60 s (Faust's `broker_rebalance_timeout`)."""

COMMIT_WITHIN_S = 15.0
DELIVER_WITHIN_S = 30.0
"""Delivering what is on its way takes some ms at a revocation, unless a node has just died: new
leaders and coordinators take 10 s and more. What we give up is written twice."""


class Handover:
    """`committed(partition)`: what the group has committed. `drain_s`: how long a revocation waits
    for calls in flight. `deliver_within_s`: how long it waits for outcomes on their way to the
    sink. `may_write()`: whether the group must still treat this worker as alive."""

    def __init__(
        self,
        assignment: Assignment,
        settling: Settling,
        committer: Committer,
        *,
        committed: FindCommitted,
        drain_s: float,
        deliver_within_s: float,
        may_write: Callable[[], bool],
    ) -> None:
        self._assignment = assignment
        self._settling = settling
        self._committer = committer
        self._committed = committed
        self._drain_s = drain_s
        self._deliver_within_s = deliver_within_s
        self._may_write = may_write
        self._complete = True  # whether all outcomes were committed at the revocation

    async def revoke(self) -> None:
        """Finish what is in flight for at most `drain_s`, deliver and commit it for as long as the
        group allows, and suspend every partition."""
        clock = asyncio.get_running_loop().time
        ends = clock() + REVOKE_WITHIN_S
        partitions = self._assignment.partitions
        for task in self._assignment.tasks.values():
            task.halt(partitions)
        await self._settling.wait(self._drain_s)
        deliver_s = min(self._deliver_within_s, ends - clock() - COMMIT_WITHIN_S)
        if not self._may_write():  # and will not again before this revocation is over
            deliver_s = 0.0
        await self._settling.hold(partitions, max(1.0, deliver_s))
        committed = await self._committer.once(min(COMMIT_WITHIN_S, ends - clock()))
        self._complete = committed and not self._settling.undelivered_count()
        self._assignment.suspend()

    def assigned(self) -> None:
        """A new assignment: the remains of an incomplete revocation are ours again, or another
        worker's."""
        self._complete |= not self._assignment.suspended

    async def drain(self, within_s: float) -> bool:
        """A graceful stop: start no new call, finish those in flight, commit. True: all outcomes
        are committed, by us or by workers that took over. Items without an outcome are handed back:
        they are not committed."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within_s
        assignment = self._assignment
        partitions = [*assignment.partitions, *assignment.suspended.values()]
        for task in assignment.tasks.values():
            task.halt(None)
        assignment.close_suspended()
        await self._settling.wait(within_s * 0.7)
        await self._settling.hold(assignment.partitions, within_s * 0.1)
        done = await self._committer.once(max(0.1, deadline - clock())) and self._complete
        if not done:
            done = await all_committed(partitions, self._committed, max(0.1, deadline - clock()))
        if unwritten := self._settling.undelivered_count():
            logger.error("%d outcomes could not be written in time", unwritten)
            done = False
        assignment.close()
        return done
