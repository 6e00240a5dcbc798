"""The door of a run in batch mode: where its items come from, and where their outcomes go.

    door.slots ─► chunks ─► batches ─► door.again (the same slots) + results ─► door.emit

A chunk's items are let go while its batch is under way, and read again when it has ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from streams.core.call import Slot


class Cursor(NamedTuple):
    """A place in the input: the item of this lane and sequence number, or the one before where it
    has vanished."""

    lane: int
    seq: int


class LaneRange(NamedTuple):
    """Items of one lane: from sequence number `first` to `last`, both included; gaps allowed."""

    lane: int
    first: int
    last: int


Ranges = Sequence[LaneRange]
"""In the order of `BatchDoor.slots`, apart from each other."""


class BatchDoor(Protocol):
    """A partition is a lane, numbered by itself, its offsets are the sequence numbers; a list or a
    file is lane 0, its rows are.

    Slots come with `item` (what the task's requests are made from), `tokens`, `size` and `memory`,
    and with their `outcome` where no call is needed (undecodable, a tombstone, filtered out:
    DROP). Both ways of reading give the same of an item, every time.
    """

    @property
    def count(self) -> int | None:
        """How many items there are from the beginning to the end, about, on the high side; None:
        not known."""
        ...

    def slots(self, after: Cursor | None) -> AsyncIterator[list[Slot]]:
        """All items behind `after` (None: from the beginning) to the frozen end: lane by lane, in
        order, in lists of any length within one lane."""
        ...

    def again(self, ranges: Ranges) -> AsyncIterator[list[Slot]]:
        """The items of these ranges once more, in the same order. One that has vanished since is
        left out."""
        ...

    async def emit(self, slots: list[Slot]) -> None:
        """Takes outcomes, in order; they are durable when it returns. It leaves out what it has
        already from an earlier process. The slots are its own from now on."""
        ...
