"""Outcomes wait here while what may be settled beyond a lane's watermark could outgrow a commit.

In order "key" and "none" a crash must not repeat what was settled beyond the watermark, so a commit
names it, as ranges (`streams.core.ranges`) that have so many bytes and no more. A released slot may
settle before or after any other: what has to fit is the worst choice among them. No choice takes
more than

    the ranges that are settled, counted
  + for each piece of released slots in sequence: its slots + the bytes of its distance

A slot makes at most one more range: a number in front of it, not above its distance from the
watermark, and one byte of length. The next range within the piece takes no more bytes than there
are slots in it and in front of it. As the watermark moves, all of it only shrinks. So twenty slots
in sequence cost 22 bytes until they are settled and 2 from then on: behind a slow head there is
room for more than a thousand such ranges.

Rules of this file:
1. The lane's first slot may always leave: it settles into the watermark.
2. What waits is ANSWERED, and leaves in sequence, so that equal keys keep their order.
3. The last tenth of the room is for slots that have none in front of them that must still leave. A
   full gate then moves on by lists, not by one slot for each answer of the sink.
4. The bound grows as slots leave. It is recomputed only once it blocks: when nothing is on its way
   to the sink, or after 64 settlements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from operator import attrgetter
from typing import Protocol

from streams.core.call import Slot, State
from streams.core.ranges import Range, number_bytes, packed_bytes

ANSWERED = State.ANSWERED
RELEASED = State.RELEASED
SETTLED = State.SETTLED

SEQ = attrgetter("seq")

RECOMPUTE_AFTER = 64
"""Settled slots after which a bound that blocks is recomputed though more are on their way."""


class Backlog(Protocol):
    """What the gate reads of its lane."""

    unsettled: deque[Slot]
    delivering: int

    @property
    def watermark(self) -> int: ...

    def progress(self) -> tuple[int, list[Range]]: ...


class Gate:
    """`limit`: bytes that the ranges beyond the lane's watermark may take. `room`: their part for
    slots that have others in front of them. `bound`: what they take at most. `settled`: slots of
    the lane that settled since the bound was computed."""

    def __init__(self, lane: Backlog, limit: int) -> None:
        self._lane = lane
        self.limit = limit
        self.room = limit - limit // 10
        self._queue: list[tuple[int, Slot]] = []
        self.bound = bound(lane)
        self._computed_at = lane.watermark
        self.settled = 0

    @property
    def is_empty(self) -> bool:
        """Whether no slot waits here."""
        return not self._queue

    def queue(self) -> list[Slot]:
        """The slots that wait here, in sequence."""
        return [slot for _, slot in sorted(self._queue) if slot.state is ANSWERED]

    def release(self, turn: list[Slot]) -> list[Slot]:
        """What may leave now, in sequence. `turn`: slots whose turn it is, RELEASED already."""
        if not self._queue:
            turn.sort(key=SEQ)
            cost = self._cost(turn)
            if self.bound + cost <= self.room:
                self.bound += cost
                return turn
        for slot in turn:
            slot.state = ANSWERED
            heappush(self._queue, (slot.seq, slot))
        if self.settled > RECOMPUTE_AFTER or not self._lane.delivering:
            self._recompute()
        return [*self._from_queue(), *self._from_head()]

    def _from_queue(self) -> Iterator[Slot]:
        queue, after = self._queue, -1
        while queue:
            slot = queue[0][1]
            if slot.state is ANSWERED:  # else it has left already, by rule 3
                if not self._leaves(slot, after, self.room):
                    return
                after = slot.seq + 1
                yield slot
            heappop(queue)

    def _from_head(self) -> Iterator[Slot]:
        """The lane's first slots as far as they have left or may leave now."""
        if not self._queue:
            return
        after = -1
        for slot in self._lane.unsettled:
            if slot.state is ANSWERED:
                if not self._leaves(slot, after, self.limit):
                    return
                after = slot.seq + 1
                yield slot
            elif slot.state is not RELEASED and slot.state is not SETTLED:
                return

    def _leaves(self, slot: Slot, after: int, room: int) -> bool:
        """Releases a slot for which there is room. `after`: one above the last that left."""
        watermark = self._lane.watermark
        if slot.seq != watermark:
            bound = self.bound + slot_bytes(slot.seq, after, watermark)
            if bound > room:
                return False
            self.bound = bound
        slot.state = RELEASED
        return True

    def _recompute(self) -> None:
        if self.settled or self._computed_at != self._lane.watermark:
            self.bound = min(self.bound, bound(self._lane))
            self.settled, self._computed_at = 0, self._lane.watermark

    def _cost(self, slots: list[Slot]) -> int:
        watermark = self._lane.watermark
        if slots and slots[-1].seq - slots[0].seq == len(slots) - 1:
            return len(slots) + number_bytes(slots[0].seq - watermark)
        return _bytes(slots, watermark)


def bound(lane: Backlog) -> int:
    """Bytes that what is settled beyond the watermark takes at most, whichever of the released
    slots settle next."""
    return packed_bytes(*lane.progress()) + _bytes(_released_beyond(lane), lane.watermark)


def slot_bytes(seq: int, after: int, watermark: int) -> int:
    """What one slot adds at most; `after`: one above the slot before it. The lane's first slot is
    in no piece."""
    return 1 if seq == after != watermark + 1 else 1 + number_bytes(seq - watermark)


def _bytes(slots: Iterable[Slot], watermark: int) -> int:
    """What these slots add at most, given in sequence order."""
    total, after = 0, -1
    for slot in slots:
        total += slot_bytes(slot.seq, after, watermark)
        after = slot.seq + 1
    return total


def _released_beyond(lane: Backlog) -> Iterator[Slot]:
    """The released slots but for the lane's first."""
    left, watermark = lane.delivering, lane.watermark
    for slot in lane.unsettled:
        if not left:
            return
        if slot.state is RELEASED:
            left -= 1
            if slot.seq != watermark:
                yield slot
