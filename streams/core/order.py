"""One lane: its slots in arrival order, which of them may be released, and how far it is settled.

`unsettled` holds every slot from its arrival until it and all before it are settled; its head is
the watermark. What may be released is the order's question, answered by one of three classes:

    partition   the gapless prefix of arrivals that have outcomes
    key         per order key, the gapless prefix of its arrivals; without a key, at once
    none        at once

In the last two much may be settled beyond the watermark. Commits name it, and `beyond.py` keeps it
so small that they can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Sequence
from itertools import takewhile
from typing import Protocol

from streams.core.beyond import Gate
from streams.core.call import Slot, State
from streams.core.limits import Order
from streams.core.ranges import Range, Ranges, Runs, joined

ANSWERED = State.ANSWERED
RELEASED = State.RELEASED
SETTLED = State.SETTLED
DROPPED = State.DROPPED
GONE = (SETTLED, DROPPED)


class Sequencer(Protocol):
    """Decides which answered slots may leave."""

    def arrive(self, slots: Sequence[Slot]) -> None: ...
    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        """What may leave now that these slots have outcomes, in order; each slot once."""
        ...


class PartitionOrder:
    def __init__(self) -> None:
        self._waiting: deque[Slot] = deque()

    def arrive(self, slots: Sequence[Slot]) -> None:
        self._waiting.extend(slots)

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        return _answered_prefix(self._waiting)


class KeyOrder:
    def __init__(self) -> None:
        # Lists, since most keys have one slot, and an empty deque takes 600 bytes.
        self._waiting: dict[Hashable, list[Slot]] = {}

    def arrive(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            if slot.order_key is not None:
                self._waiting.setdefault(slot.order_key, []).append(slot)

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        released: list[Slot] = []
        for slot in answered:
            key = slot.order_key
            if key is None:
                slot.state = RELEASED
                released.append(slot)
            elif slot.state is ANSWERED:  # else it left with an earlier one of its key
                waiting = self._waiting[key]
                ready = list(takewhile(_is_answered, waiting))
                del waiting[: len(ready)]
                if not waiting:
                    del self._waiting[key]
                for each in ready:
                    each.state = RELEASED
                released += ready
        return released


class NoOrder:
    def arrive(self, slots: Sequence[Slot]) -> None:
        pass

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        for slot in answered:
            slot.state = RELEASED
        return list(answered)


def _is_answered(slot: Slot) -> bool:
    return slot.state is ANSWERED


def _answered_prefix(waiting: deque[Slot]) -> list[Slot]:
    released: list[Slot] = []
    while waiting and waiting[0].state is ANSWERED:
        slot = waiting.popleft()
        slot.state = RELEASED
        released.append(slot)
    return released


ORDERS: dict[Order, type[Sequencer]] = {
    "partition": PartitionOrder,
    "key": KeyOrder,
    "none": NoOrder,
}


def by_lane(slots: Sequence[Slot]) -> dict[Lane, list[Slot]]:
    """Slots of several lanes, lane by lane, each lane's in the order given."""
    groups: dict[Lane, list[Slot]] = {}
    lane = None
    for slot in slots:
        if slot.home is not lane:
            lane = slot.home
            group = groups.setdefault(lane, [])
        group.append(slot)
    return groups


COMPACT_ABOVE = 1000
"""Compact above 1,000 settled slots and half the queue."""


class Lane:
    """One incarnation of a lane; compared by identity, so that an old one is never the new one.

    `next_seq`: the least sequence number that may arrive next. `done`: ranges from there on that
    an earlier incarnation settled; they never arrive. `buffered_bytes`: memory of its slots that
    are not settled. `reordering`: slots that have their outcome and wait for their turn, or for the
    gate. `delivering`: released slots that are not settled. `parked`: waiting slots that stay out
    of the windows while the lane is halted (`halted`).

    `limit`: bytes that the ranges of what is settled beyond the watermark may take in order "key"
    and "none"; None: any.
    """

    def __init__(
        self,
        key: Hashable,
        next_seq: int,
        order: Order,
        *,
        done: Ranges = (),
        limit: int | None = None,
    ) -> None:
        self.key = key
        self.next_seq = next_seq
        self.unsettled: deque[Slot] = deque()
        self.buffered_bytes = 0
        self.reordering = 0
        self.delivering = 0
        self.halted = False
        self.parked: list[Slot] = []
        self._done = list(done)
        self._settled = 0  # slots in `unsettled` that are settled
        self._arrived = 0
        self._runs = None if order == "partition" else Runs()
        self._sequencer = ORDERS[order]()
        self.gate = None if limit is None or order == "partition" else Gate(self, limit)

    @property
    def watermark(self) -> int:
        """The sequence number below which every slot is settled, and all that never arrives."""
        return self.unsettled[0].seq if self.unsettled else self._end()

    def _end(self) -> int:
        """The watermark when all that arrived is settled."""
        mark = self.next_seq
        for first, last in self._done:
            if first <= mark <= last:
                mark = last + 1
        return mark

    @property
    def waits_for_watermark(self) -> bool:
        """Whether slots whose turn it is wait for the watermark to move."""
        return self.gate is not None and not self.gate.is_empty

    @property
    def unfinished(self) -> int:
        """Slots that are not settled."""
        return len(self.unsettled) - self._settled

    def progress(self, also: Collection[Slot] = ()) -> tuple[int, list[Range]]:
        """The watermark, and what a commit has to name beside it: runs of numbers beyond it that
        need not come again. `also`: as it will be when these slots are settled, too. In partition
        order that is only what was `done` before: of its own there is little, and order must hold
        from the watermark on."""
        watermark = self._end()
        for slot in self.unsettled:
            if slot.state not in GONE and slot not in also:
                watermark = slot.seq
                break
        return watermark, joined(watermark, self._done, self._ranges(also))

    def _ranges(self, also: Collection[Slot]) -> Ranges:
        if self._runs is None:
            return ()
        more = [slot for slot in also if slot.state is not SETTLED]
        return self._runs.with_(more).ranges if more else self._runs.ranges

    def arrive(self, slots: Sequence[Slot]) -> None:
        """Takes slots in; `ValueError`, and nothing taken, if they are not in sequence."""
        least = self.next_seq
        for slot in slots:
            if slot.seq < least:
                raise ValueError(f"lane {self.key}: {slot.seq} arrived, but {least} is due")
            least = slot.seq + 1
        self.next_seq = least
        memory = 0
        for slot in slots:
            slot.home = self
            memory += slot.memory
        self.buffered_bytes += memory
        self.unsettled.extend(slots)
        if self._runs is not None:
            for place, slot in enumerate(slots, self._arrived):
                slot.place = place
            self._arrived += len(slots)
        self._sequencer.arrive(slots)

    def pass_to(self, next_seq: int) -> None:
        """Nothing below `next_seq` arrives any more."""
        self.next_seq = max(self.next_seq, next_seq)

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        """What may go to the sink now that these slots are answered, or others settled."""
        released = self._sequencer.release(answered)
        if self.gate is not None:
            released = self.gate.release(released)
        self.reordering += len(answered) - len(released)
        self.delivering += len(released)
        return released

    def settle(self, slots: Sequence[Slot]) -> int:
        """These slots' outcomes are durable; returns the bytes of memory they took.

        Ignores slots that do not await delivery (another incarnation's, or delivered before).
        """
        delivered = [slot for slot in slots if slot.state is RELEASED]
        memory = 0
        for slot in delivered:
            slot.state = SETTLED
            memory += slot.memory
        self.delivering -= len(delivered)
        self.buffered_bytes -= memory
        self._forget(delivered)
        if self.gate is not None:
            self.gate.settled += len(delivered)
        return memory

    def withdraw(self, slots: Sequence[Slot]) -> int:
        """Drops slots without an outcome, in order "none"; returns the bytes that they took."""
        memory = 0
        for slot in slots:
            slot.state = DROPPED
            memory += slot.memory
        self.parked = [slot for slot in self.parked if slot.state is not DROPPED]
        self.buffered_bytes -= memory
        self._forget(slots)
        return memory

    def _forget(self, gone: Sequence[Slot]) -> None:
        """These slots are settled or withdrawn: the watermark may move."""
        unsettled = self.unsettled
        before = len(unsettled)
        while unsettled and unsettled[0].state in GONE:
            unsettled.popleft()
        self._settled += len(gone) - (before - len(unsettled))
        if self._runs is not None:
            self._runs.drop(unsettled[0] if unsettled else None)
        if unsettled:
            self._compact(gone)
        if self._done and self._done[-1][1] < self.watermark:
            self.pass_to(self.watermark)
            self._done.clear()

    def _compact(self, settled: Sequence[Slot]) -> None:
        """Slots that settled beyond the watermark lose their payload, and many of them also their
        place: behind a slow head memory must not grow with all that overtakes it."""
        head = self.unsettled[0].seq
        beyond = [slot for slot in settled if slot.seq > head]
        for slot in beyond:
            slot.item = slot.outcome = slot.call = None
        if self._runs is not None:
            self._runs.add(beyond)
        if self._settled > max(COMPACT_ABOVE, len(self.unsettled) // 2):
            self.unsettled = deque(slot for slot in self.unsettled if slot.state not in GONE)
            self._settled = 0

    def drop(self) -> set[Slot]:
        """The lane is closed: nothing of it is anyone's any more. Returns its slots."""
        for slot in self.unsettled:
            slot.state = DROPPED
        self.parked.clear()
        return set(self.unsettled)
