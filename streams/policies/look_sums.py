"""What calls took between two looks at the buckets of a `Rate` (its rule 8), by kind."""

from __future__ import annotations

from streams.policies.demand import KINDS, Demand


class Sums:
    """`started`: what calls were expected to take when they began; `expected`, `took`: of those
    that are over. `room`: what calls may take before the buckets are to be asked; 0: not at full
    pace."""

    __slots__ = ("expected", "room", "started", "took")

    def __init__(self) -> None:
        self.started, self.expected, self.took = ([0.0] * len(KINDS) for _ in range(3))
        self.room = [0.0] * len(KINDS)

    def fits(self, demand: Demand) -> bool:
        """Whether there is surely enough; then it is taken."""
        (room_0, room_1, room_2), (need_0, need_1, need_2) = self.room, demand
        if need_0 > room_0 or need_1 > room_1 or need_2 > room_2:
            return False
        self.room = [room_0 - need_0, room_1 - need_1, room_2 - need_2]
        started = self.started
        started[0] += need_0
        started[1] += need_1
        started[2] += need_2
        return True

    def amend(self, before: Demand, demand: Demand) -> None:
        """A call that fitted will take this, by a better estimate."""
        for n in range(len(KINDS)):
            more = demand[n] - before[n]
            self.started[n] += more
            self.room[n] -= more

    def correct(self, expected: Demand, took: Demand) -> None:
        """A call is over."""
        for n in range(len(KINDS)):
            self.expected[n] += expected[n]
            self.took[n] += took[n]
