"""How many items a stage that expands may have in it, so that there is room for their parts.

    taken ─► waits ─► in a call ─► measured: its parts have gone on, or wait for their turn

Rules:
1. What becomes of an item is known when its call has ended. Until then it counts as much as those
   before it grew: what the stages hold and what these grow by stays within the limit.
2. Nobody knows what the first become: few are taken, in small calls, and more for each that was
   measured. So the first of any size take little, and a slow one among them holds no other back.
3. Where there is no room, some are taken all the same, once nothing is in the stage or behind it
   that could make room: so an item that is larger than all room passes alone.

Sizes may rise at any moment. Then what is taken already grows beyond the limit, at most `ROUNDS`
times what the calls of the stage hold; what comes after it waits.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from streams.core.limits import Limits
from streams.running.parts import Element
from streams.running.trips import Load

FIRST_ITEMS: Final = 8
MORE_ITEMS: Final = 2
"""Items in the stage at first, and how many more for each that was measured."""

ROUNDS: Final = 2
"""Limit of items in the stage, as a multiple of what its calls hold: one round waits. Whose fault a
failure is, the stage tells by others that wait."""

CALL_SHARE: Final = 0.1
"""Weight of the newest call in the moving average of growth; a higher growth counts at once."""

ALONE_SHARE: Final = 0.25
"""What rule 3 lets pass, as a share of the limit."""


class Intake:
    """Of one stage. `load`: of the whole run. `limits`: of its calls, as they are now: small ones
    at first."""

    def __init__(self, load: Load, limits: Limits) -> None:
        self._load = load
        self._calls = ROUNDS * limits.max_in_flight
        self._most = self._calls * limits.max_items
        self._inside: set[Element] = set()  # not measured
        self._growth = 0.0
        self.limits = limits
        self._allow(FIRST_ITEMS)

    def _allow(self, items: int) -> None:
        """So many in the stage, if there is room."""
        self._limit = min(self._most, items)
        max_items = max(1, self._limit // self._calls)
        if max_items != self.limits.max_items:
            self.limits = replace(self.limits, max_items=max_items)

    @property
    def room(self) -> int:
        """How many more items it takes now."""
        return self._room(self._load.free_bytes)

    @property
    def room_alone(self) -> int:
        """The same while nothing is in the stage or behind it: at least 1."""
        return max(1, self._room(ALONE_SHARE * self._load.limit_bytes))

    def _room(self, free_bytes: float) -> int:
        limit, free_bytes = self._limit, max(0, free_bytes)
        if self._growth * limit > free_bytes:
            limit = int(free_bytes / self._growth)
        return max(0, limit - len(self._inside))

    def take(self, elements: Iterable[Element]) -> None:
        """These are in the stage now."""
        self._inside.update(elements)

    def measure(self, elements: Sequence[Element], size: int) -> None:
        """What these became takes so many bytes. Those that were measured before count no more."""
        known = len(self._inside)
        self._inside.difference_update(elements)
        if known == len(self._inside):
            return
        if self._limit < self._most:
            self._allow(self._limit + MORE_ITEMS * (known - len(self._inside)))
        growth = (size - sum(each.memory for each in elements)) / len(elements)
        self._growth = max(growth, self._growth + CALL_SHARE * (growth - self._growth))

    def close_lane(self, lane: Hashable) -> None:
        """All that is of this lane was dropped."""
        self._inside = {each for each in self._inside if each.lane is not lane}
