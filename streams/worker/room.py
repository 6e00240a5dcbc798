"""How much each lane may be read: memory bounded by a budget and shared evenly (contract G8).

Each lane may hold its share of unsettled items; one without room is not read, and is read again
when half its share is free. A backlog in one lane takes nothing from another.
"""

from __future__ import annotations

from collections.abc import Sequence

from streams.worker.partition import Lane

FIRST_ALLOWANCE = 100
MAX_ALLOWANCE = 1000
"""Records a lane gets in one round at most; the first while their average size is unknown."""


PRESSING_SHARE = 0.75
"""What a lane may hold before it wants to be delivered at once. The rest is for what arrives while
that is under way."""


class Room:
    """`budget_bytes`: what all lanes may hold together."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._full: set[Lane] = set()

    def allowance(self, lanes: Sequence[Lane], sharing: int) -> dict[Lane, int]:
        """How many records each lane with room may get next; `sharing`: how many share."""
        self._full.clear()
        allowance: dict[Lane, int] = {}
        for lane in lanes:
            room = self._budget_bytes // sharing - lane.task.held(lane)
            if room > 0:
                most = MAX_ALLOWANCE if lane.measured else FIRST_ALLOWANCE
                allowance[lane] = max(1, min(most, int(room / lane.mean_bytes)))
            else:
                self._full.add(lane)
        return allowance

    def came_back(self, lane: Lane, lanes: int) -> bool:
        """Whether a full lane has half its share free again; `lanes`: how many share."""
        share = self._budget_bytes // max(1, lanes)
        return lane in self._full and lane.task.held(lane) <= share // 2

    def presses(self, lane: Lane, lanes: int) -> bool:
        """Whether a lane has used up most of its share; `lanes`: how many share."""
        return lane.task.held(lane) > self._budget_bytes // max(1, lanes) * PRESSING_SHARE

    def has(self, lane: Lane) -> bool:
        """Whether more of the lane may be read."""
        return lane not in self._full

    def forget(self) -> None:
        """All lanes are gone."""
        self._full.clear()
