"""Members that wait for the same thing, and whose turn it is.

The highest priority goes first; of equals, who has waited the longest. Where lower ones wait, every
tenth turn is theirs: of who has waited the longest of them. So together they have a tenth of the
calls where there are more to make than there may be, and no one starves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

TURNS: Final = 10
"""Of so many turns one belongs to those of lower priority."""


class Ranked(Protocol):
    """What the line knows of a member. `priority`: the higher goes first."""

    @property
    def priority(self) -> int: ...


M = TypeVar("M", bound=Ranked)


class Line(Generic[M]):
    """Iterates over those who wait, from the longest on."""

    def __init__(self) -> None:
        self._waiting: dict[M, None] = {}  # an ordered set
        self._passes = 0  # turns of the highest, while lower ones waited, since one of these

    def __iter__(self) -> Iterator[M]:
        return iter(self._waiting)

    def __contains__(self, member: object) -> bool:
        return member in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def stand(self, member: M) -> None:
        """It waits, and keeps its place where it does already."""
        self._waiting.setdefault(member)

    def leave(self, member: M) -> None:
        """It does not wait any more."""
        self._waiting.pop(member, None)

    def turns(self, asking: M | None = None) -> list[M]:
        """All who wait, and who asks, in the order of their turns."""
        members = list(self._waiting)
        if asking is not None and asking not in self._waiting:
            members.append(asking)
        turns = sorted(members, key=_rank)
        if self._passes == TURNS - 1:
            lower = [each for each in members if each.priority < turns[0].priority]
            if lower:
                turns.remove(lower[0])
                turns.insert(0, lower[0])
        return turns

    def serve(self, member: M) -> None:
        """It has its turn now, and does not wait any more."""
        self.leave(member)
        priorities = [each.priority for each in self._waiting]
        if any(priority > member.priority for priority in priorities):
            self._passes = 0
        elif any(priority < member.priority for priority in priorities):
            self._passes = min(self._passes + 1, TURNS - 1)


def _rank(member: Ranked) -> int:
    return -member.priority
