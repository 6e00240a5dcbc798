"""A creation whose outcome nobody knows: killed after it was planned, no answer, a reset, a 5xx.

1. `SETTLE_MS` after that became known, the list is read: the request may still be on its way.
2. A candidate was created since the plan (less `SKEW_MS`: the clocks differ), has the planned
   number of requests, and belongs to no other round of the run.
3. Once a candidate has ended, the names of its requests prove whose it is. Until then the chunk
   waits; other chunks go on.
4. Where no candidate is left there is no batch: it is created again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from streams.batches.core.chunk_record import Round
from streams.batches.core.polling import PollTimes
from streams.providers.batch_port import BatchStatus

SETTLE_MS: Final = 15_000
SKEW_MS: Final = 600_000


class Doubt:
    """About one round. `next_at_ms`: when to read the list (again). `candidate`: to be proved now;
    None: there is none that has ended."""

    def __init__(self, now_ms: int) -> None:
        self.next_at_ms = now_ms + SETTLE_MS
        self.candidate: BatchStatus | None = None
        self._others: set[str] = set()

    def listed(
        self,
        found: Sequence[BatchStatus],
        asked: Round,
        known: Collection[str],
        now_ms: int,
        times: PollTimes,
    ) -> bool:
        """The list was read. False: there is no such batch. `known`: those of the run's rounds."""
        earliest_ms = asked.planned_at_ms - SKEW_MS
        candidates = [
            status
            for status in found
            if status.requests == asked.requests
            and status.created_at_ms >= earliest_ms
            and status.id not in known
            and status.id not in self._others
        ]
        self.candidate = next((each for each in candidates if each.ended), None)
        self.next_at_ms = now_ms + (times.last_ms if self.candidate is None else 0)
        return bool(candidates)

    def disproved(self, now_ms: int) -> None:
        """The candidate is another's: look for the next one."""
        assert self.candidate is not None
        self._others.add(self.candidate.id)
        self.candidate = None
        self.next_at_ms = now_ms
