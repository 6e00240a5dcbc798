"""One open window: what waits for a call with others of its call key, lane by lane.

1. A cut is fair: lanes take turns, each gives an equal share per round, and the next microbatch
   begins at the next lane. A backlog of 100,000 in one lane delays another lane's new item by one
   round at most.
2. What has to leave now to be back by its `flush_by` is taken out of turn, the earliest first. It
   gets half of a microbatch at most, so that rule 1 holds where every item of a lane is urgent.
3. What waits is counted in tokens by script, never weighed: factors change with each reply, and
   nothing is counted anew (`streams.policies.packing`).
4. Where the next slot does not fit for its size, smaller ones behind it may, a few places far; it
   begins the next cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count, islice
from math import inf

from streams.core.call import Slot, State, tokens_by_script
from streams.core.cut import Cut
from streams.core.lead import Lead
from streams.core.limits import Limits
from streams.core.order import Lane
from streams.policies.packing import SCRIPTS, Packing

COMPACT_ABOVE = 1000
"""Compact a window's queues above 1,000 withdrawn slots, and more of them than wait."""

LOOK_AHEAD = 16
"""Slots behind one that does not fit, of all lanes, that may."""

WAITING = State.WAITING


class Window:
    """`key`: the call key. `count`, `tokens` (by script), `bytes`: of what waits. `wait_until`:
    when its oldest item has waited long enough; `flush_by`: when its first outcome is to be back.
    Both inf where nothing waits for that."""

    def __init__(self, limits: Limits, key: Hashable, packing: Packing, lead: Lead) -> None:
        self.limits = limits
        self.key = key
        self._packing, self._lead = packing, lead
        self.max_bytes = inf if limits.max_bytes is None else limits.max_bytes
        # A slot taken out of turn stays in its queue, one taken in turn stays in _deadlines, until
        # it is seen there; its state tells that it no longer waits. The head of a queue waits.
        self._queues: dict[Lane, deque[Slot]] = {}
        self._rotation: deque[Lane] = deque()  # the keys of _queues; the next cut starts at [0]
        self._deadlines: list[tuple[float, int, Slot]] = []  # a heap
        self._tie = count()
        self._is_odd = False  # where a call has one item, every second is for an urgent one
        self._withdrawn = 0  # since the queues were compact
        self.count = 0
        self.tokens = [0] * SCRIPTS
        self.bytes = 0
        self.wait_until = inf
        self.flush_by = inf

    def add(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """Slots of one lane, at least one, after those that the lane already has here."""
        queue = self._queues.get(lane)
        if queue is None:
            queue = self._queues[lane] = deque()
            self._rotation.append(lane)
        queue.extend(slots)
        self.count += len(slots)
        tokens, size = self.tokens, 0
        self.wait_until = min(self.wait_until, slots[0].arrived_at + self.limits.max_wait_s)
        for slot in slots:
            tokens[slot.script] += slot.tokens
            size += slot.size
            if slot.flush_by is not None:
                self.expedite(slot)
        self.bytes += size

    def remove(self, lane: Lane) -> list[Slot]:
        """Takes a lane out; returns its waiting slots, in order."""
        queue = self._queues.get(lane)
        if queue is None:
            return []
        self._forget(lane)
        slots = [slot for slot in queue if slot.state is WAITING]
        self._deadlines = [entry for entry in self._deadlines if entry[2].home is not lane]
        heapify(self._deadlines)
        self._leave(slots)
        return slots

    def withdraw(self, slots: list[Slot]) -> None:
        """These slots waited here, and are DROPPED now: their places in the queues are passed by,
        or go when they are more than what waits."""
        self._withdrawn += len(slots)
        if self._withdrawn > COMPACT_ABOVE and self._withdrawn > self.count:
            self._withdrawn = 0
            for queue in self._queues.values():
                waiting = [slot for slot in queue if slot.state is WAITING]
                queue.clear()
                queue.extend(waiting)
        self._leave(slots)

    def expedite(self, slot: Slot) -> None:
        """The slot has a `flush_by`. One before its arrival is no more urgent than that: else old
        ones of a lane or a key would always go first."""
        assert slot.flush_by is not None
        flush_by = max(slot.flush_by, slot.arrived_at)
        heappush(self._deadlines, (flush_by, next(self._tie), slot))
        self.flush_by = min(self.flush_by, flush_by)

    def change(self, limits: Limits) -> None:
        self.limits = limits
        self._set_due()

    def waiting(self) -> list[Slot]:
        """Every slot that waits here, lane by lane, in order."""
        return [slot for queue in self._queues.values() for slot in queue if slot.state is WAITING]

    @property
    def full(self) -> str | None:
        """The limit that closes it at once; None: there is room."""
        if self.count >= self.limits.max_items:
            return "count"
        weight = self.weight
        if weight >= self._packing.room:
            return "tokens"
        if self.bytes >= self.max_bytes:
            return "bytes"
        return "answers" if self.count and self._packing.answers_fill(weight, self.count) else None

    def closes(self, now: float) -> str:
        """Why a window that closes now does (the call's flush reason)."""
        if full := self.full:
            return full
        if self.flush_by < inf and self.flush_by - self._lead.s <= now:
            return "deadline"
        return "time" if self.wait_until <= now else "flush"

    @property
    def weight(self) -> float:
        """Of what waits, as things stand."""
        return self._packing.weight(self.tokens, self.count)

    def next_cut(self, limit: int) -> tuple[float, float]:
        """About how many items, and weight of theirs, the next microbatch of `limit` items or fewer
        has."""
        weight = self.weight
        items, max_weight = self._packing.bounds(weight, self.count, limit)
        if self.count <= items and weight <= max_weight:
            return self.count, weight
        part = min(1.0, items / self.count, max_weight / max(1, weight))
        return max(1.0, part * self.count), part * weight

    def cut(self, now: float, limit: int) -> Cut:
        """Takes out the next microbatch, of `limit` items or fewer; never empty where something
        waits."""
        weight = self.weight
        bounds = self._packing.bounds(weight, self.count, limit)
        cut = Cut(self._packing, bounds, self.max_bytes)
        if self.flush_by < inf and self.flush_by - self._lead.s <= now:
            self._take_urgent(cut, now)
        left = self.count - len(cut.slots)
        while left and not cut.full:
            left -= self._take_round(cut, left, weight)
        if left and len(cut.slots) < bounds.items:
            self._take_smaller(cut)
        self._take_out(len(cut.slots), cut.tokens, cut.bytes)
        return cut

    def _take_urgent(self, cut: Cut, now: float) -> None:
        """Those whose time has come, as rule 2 has it."""
        self._is_odd = not self._is_odd
        deadlines, most = self._deadlines, (cut.max_items + self._is_odd) // 2
        while deadlines and deadlines[0][0] - self._lead.s <= now:
            slot = deadlines[0][2]
            has_room = len(cut.slots) < most
            if slot.state is WAITING and not (has_room and cut.take(deque((slot,)), 1)):
                return
            heappop(deadlines)

    def _take_smaller(self, cut: Cut) -> None:
        """As rule 4 has it."""
        look_at = max(1, LOOK_AHEAD // len(self._rotation))
        for lane in islice(self._rotation, LOOK_AHEAD):
            cut.take_smaller(self._queues[lane], look_at)

    def _take_round(self, cut: Cut, left: int, weight: float) -> int:
        """Every lane's equal share of the room; how many slots were taken."""
        before = len(cut.slots)
        share = max(1, cut.room_for(left, weight, self.bytes) // len(self._rotation))
        for _ in range(len(self._rotation)):
            lane = self._rotation[0]
            queue = self._queues[lane]
            took = cut.take(queue, share)
            if not queue:
                self._forget(lane)
            elif took:  # one whose head did not fit and that gave nothing begins the next cut
                self._rotation.rotate(-1)
            if cut.full:
                break
        return len(cut.slots) - before

    def _leave(self, slots: list[Slot]) -> None:
        """These no longer wait here, uncalled."""
        self._take_out(len(slots), tokens_by_script(slots), sum(slot.size for slot in slots))

    def _take_out(self, count: int, tokens: Sequence[int], size: int) -> None:
        self.count -= count
        self.bytes -= size
        for script, number in enumerate(tokens):
            self.tokens[script] -= number
        self._set_due()

    def _set_due(self) -> None:
        """After slots have left."""
        self.flush_by = self._next_deadline() if self._deadlines else inf
        wait_until = inf
        for lane in list(self._rotation):
            queue = self._queues[lane]
            while queue and queue[0].state is not WAITING:
                queue.popleft()
            if queue:
                wait_until = min(wait_until, queue[0].arrived_at + self.limits.max_wait_s)
            else:
                self._forget(lane)
        self.wait_until = wait_until

    def _forget(self, lane: Lane) -> None:
        """Nothing of the lane waits."""
        self._rotation.remove(lane)
        del self._queues[lane]

    def _next_deadline(self) -> float:
        """The earliest `flush_by` of what waits; forgets those of slots that were taken."""
        deadlines = self._deadlines
        if len(deadlines) > 2 * self.count + 16:
            deadlines[:] = [entry for entry in deadlines if entry[2].state is WAITING]
            heapify(deadlines)
        while deadlines and deadlines[0][2].state is not WAITING:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else inf
