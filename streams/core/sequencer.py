"""One lane: its slots in arrival order, which of them may be released, and how far it is settled.

`unsettled` holds every slot from its arrival until it and all before it are settled; its head is
the watermark. What may be released is the order's question, answered by one of three classes:

    partition   the gapless prefix of arrivals that have outcomes
    key         per order key, the gapless prefix of its arrivals; without a key, at once
    none        at once
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Sequence
from typing import Protocol

from streams.core.limits import Order
from streams.core.slot import Slot, State

ANSWERED = State.ANSWERED
RELEASED = State.RELEASED
SETTLED = State.SETTLED
DROPPED = State.DROPPED


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
        self._waiting: dict[Hashable, deque[Slot]] = {}

    def arrive(self, slots: Sequence[Slot]) -> None:
        for slot in slots:
            if slot.order_key is not None:
                self._waiting.setdefault(slot.order_key, deque()).append(slot)

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        released: list[Slot] = []
        for slot in answered:
            key = slot.order_key
            if key is None:
                slot.state = RELEASED
                released.append(slot)
            elif slot.state is ANSWERED:  # else it left with an earlier one of its key
                released += _answered_prefix(self._waiting[key])
                if not self._waiting[key]:
                    del self._waiting[key]
        return released


class NoOrder:
    def arrive(self, slots: Sequence[Slot]) -> None:
        pass

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        for slot in answered:
            slot.state = RELEASED
        return list(answered)


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


class Lane:
    """One incarnation of a lane; compared by identity, so that an old one is never the new one.

    `next_seq`: the least sequence number that may arrive next. `held`: bytes of memory of its
    slots that are not settled. `reordering`: slots that have their outcome and wait for their turn.
    `delivering`: released slots that are not settled. `parked`: waiting slots kept out of the
    windows while the lane is halted (`halted`).
    """

    def __init__(self, key: Hashable, next_seq: int, order: Order) -> None:
        self.key = key
        self.next_seq = next_seq
        self.unsettled: deque[Slot] = deque()
        self.held = 0
        self.reordering = 0
        self.delivering = 0
        self.halted = False
        self.parked: list[Slot] = []
        self._sequencer = ORDERS[order]()

    @property
    def watermark(self) -> int:
        """The sequence number below which every slot is settled."""
        return self.unsettled[0].seq if self.unsettled else self.next_seq

    def progress(self, also: Collection[Slot] = ()) -> tuple[int, list[tuple[int, int]]]:
        """The watermark, and first and last sequence number of each run of slots beyond it that are
        settled; `also`: as it will be when these are. Numbers that no slot has lie within a run or
        between two."""
        watermark = self.next_seq
        runs: list[tuple[int, int]] = []
        going_on = headless = True
        for slot in self.unsettled:
            if slot.state is not SETTLED and slot not in also:
                if headless:
                    watermark, headless = slot.seq, False
                going_on = False
            elif headless:
                continue
            elif going_on:
                runs[-1] = (runs[-1][0], slot.seq)
            else:
                runs.append((slot.seq, slot.seq))
                going_on = True
        return watermark, runs

    def arrive(self, slots: Sequence[Slot]) -> None:
        """Takes slots in; `ValueError`, and nothing taken, if they are not in sequence."""
        least = self.next_seq
        for slot in slots:
            if slot.seq < least:
                raise ValueError(f"lane {self.key}: {slot.seq} arrived, but {least} is due")
            if slot.parts != 1:
                raise ValueError(f"lane {self.key}: {slot.seq} awaits {slot.parts} outcomes, not 1")
            least = slot.seq + 1
        self.next_seq = least
        memory = 0
        for slot in slots:
            slot.home = self
            memory += slot.memory
        self.held += memory
        self.unsettled.extend(slots)
        self._sequencer.arrive(slots)

    def release(self, answered: Sequence[Slot]) -> list[Slot]:
        """What may go to the sink now that these slots are answered."""
        released = self._sequencer.release(answered)
        self.reordering += len(answered) - len(released)
        self.delivering += len(released)
        return released

    def settle(self, slots: Sequence[Slot]) -> int:
        """These slots' outcomes are durable; returns the bytes of memory they held.

        Slots that are not awaiting delivery (another incarnation's, or said twice) are left alone.
        """
        memory = 0
        for slot in slots:
            if slot.state is RELEASED:
                slot.state = SETTLED
                memory += slot.memory
                self.delivering -= 1
        unsettled = self.unsettled
        while unsettled and unsettled[0].state is SETTLED:
            unsettled.popleft()
        if unsettled:
            # Those that settled beyond the watermark keep their place, but not their payload.
            head = unsettled[0].seq
            for slot in slots:
                if slot.state is SETTLED and slot.seq > head:
                    slot.item = slot.outcome = slot.batch = None
        self.held -= memory
        return memory

    def drop(self) -> None:
        """The lane is closed: nothing of it is anyone's any more."""
        for slot in self.unsettled:
            slot.state = DROPPED
        self.parked.clear()
