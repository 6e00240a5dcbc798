"""The open windows of a task, one per call key, and the microbatches cut from them.

1. Late binding: there is no queue of closed microbatches. As long as no call may start, a window
   goes on filling, so the next microbatch is as full as it can be.
2. A cut is fair: lanes take turns, each gives an equal share per round, and the next microbatch
   begins at the next lane. A backlog of 100,000 in one lane delays another lane's new item by one
   round at most.
3. Of the windows that close now, the one that is due the longest is cut first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from streams.core.call import Call, Slot, State
from streams.core.cut import Cut
from streams.core.limits import Limits
from streams.core.order import Lane

COMPACT_ABOVE = 1000
"""Compact a window's queues above 1,000 withdrawn slots, and more of them than wait."""

WAITING = State.WAITING


class Windows:
    """`flushing`: the input has ended; windows close without waiting for more."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[Hashable, Window] = {}  # none is empty
        self.flushing = False

    def __iter__(self) -> Iterator[Window]:
        return iter(self._open.values())

    @property
    def count(self) -> int:
        """How many slots wait."""
        return sum(window.count for window in self._open.values())

    def add(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """Slots of one lane, in order; each run of equal call keys goes to its window, or stays
        out of them while the lane is halted."""
        if lane.halted:
            lane.parked += slots
            return
        start = 0
        for end in range(1, len(slots) + 1):
            if end == len(slots) or slots[end].call_key != slots[start].call_key:
                key = slots[start].call_key
                window = self._open.get(key)
                if window is None:
                    window = self._open[key] = Window(self._limits, key)
                window.add(lane, slots[start:end])
                start = end

    def halt(self, lane: Lane) -> None:
        """What waits of the lane stays out of the windows until `resume`."""
        if not lane.halted:
            lane.halted = True
            lane.parked = self.remove(lane)

    def resume(self, lane: Lane) -> None:
        lane.halted = False
        parked, lane.parked = lane.parked, []
        self.add(lane, parked)

    def remove(self, lane: Lane) -> list[Slot]:
        """Takes a lane out; returns its waiting slots, those of each call key in order."""
        slots: list[Slot] = []
        for key, window in list(self._open.items()):
            slots += window.remove(lane)
            if not window.count:
                del self._open[key]
        return slots

    def withdraw(self, slots: Sequence[Slot]) -> None:
        """These slots waited here, and are DROPPED now."""
        for key, group in _by_call_key(slots).items():
            window = self._open[key]
            window.withdraw(group)
            if not window.count:
                del self._open[key]

    def expedite(self, slots: Sequence[Slot], now: float) -> None:
        """The windows of those that wait close now, or as soon as their lanes resume."""
        for slot in slots:
            if slot.state is not WAITING:
                continue
            slot.deadline_at = now if slot.deadline_at is None else min(now, slot.deadline_at)
            if not slot.home.halted:
                self._open[slot.call_key].expedite(slot, slot.deadline_at)

    def change(self, limits: Limits) -> None:
        """Other limits: what waits is cut by them from now on."""
        self._limits = limits
        for window in self._open.values():
            window.change(limits)

    def due(self, now: float) -> Window | None:
        """Of the windows that close now the one that is due the longest; None: none closes."""
        due: Window | None = None
        for window in self._open.values():
            if window.closes(now, self.flushing) and (due is None or window.due_at < due.due_at):
                due = window
        return due

    def cut(self, window: Window, now: float, limit: int) -> Call:
        """A microbatch of `limit` items or fewer of a window that closes now."""
        reason = window.closes(now, self.flushing)
        assert reason is not None
        call = Call(window.cut(now, limit), "new", reason)
        if not window.count:
            del self._open[window.key]
        return call

    def next_at(self) -> float:
        """When the next window closes as things stand; -inf: one would now; inf: none is open."""
        next_at = inf
        for window in self._open.values():
            if window.closes(-inf, self.flushing):
                return -inf
            next_at = min(next_at, window.due_at)
        return next_at


class Window:
    """`key`: the call key. `count`, `tokens`, `bytes`: of what waits. `due_at`: when it closes by
    time; inf: empty."""

    def __init__(self, limits: Limits, key: Hashable) -> None:
        self.limits = limits
        self.key = key
        self.max_tokens = inf if limits.max_tokens is None else limits.max_tokens
        self.max_bytes = inf if limits.max_bytes is None else limits.max_bytes
        # A slot taken out of turn (deadline) stays in its queue, one taken in turn stays in
        # _deadlines, until it is seen there; its state tells that it no longer waits.
        self._queues: dict[Lane, deque[Slot]] = {}
        self._rotation: deque[Lane] = deque()  # the keys of _queues; the next cut starts at [0]
        self._deadlines: list[tuple[float, int, Slot]] = []  # a heap
        self._tie = count()
        self._withdrawn = 0  # since the queues were compact
        self.count = 0
        self.tokens = 0
        self.bytes = 0
        self.due_at = inf

    def add(self, lane: Lane, slots: Sequence[Slot]) -> None:
        """Slots of one lane, at least one, after those that the lane already has here."""
        queue = self._queues.get(lane)
        if queue is None:
            queue = self._queues[lane] = deque()
            self._rotation.append(lane)
        queue.extend(slots)
        self.count += len(slots)
        tokens = size = 0
        due_at = min(self.due_at, slots[0].arrived_at + self.limits.max_wait_s)
        for slot in slots:
            tokens += slot.tokens
            size += slot.size
            if slot.deadline_at is not None:
                heappush(self._deadlines, (slot.deadline_at, next(self._tie), slot))
                due_at = min(due_at, slot.deadline_at)
        self.tokens += tokens
        self.bytes += size
        self.due_at = due_at

    def remove(self, lane: Lane) -> list[Slot]:
        """Takes a lane out; returns its waiting slots, in order."""
        queue = self._queues.pop(lane, None)
        if queue is None:
            return []
        self._rotation.remove(lane)
        slots = [slot for slot in queue if slot.state is WAITING]
        self._deadlines = [entry for entry in self._deadlines if entry[2].home is not lane]
        heapify(self._deadlines)
        self._subtract(slots)
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
        self._subtract(slots)

    def expedite(self, slot: Slot, deadline_at: float) -> None:
        heappush(self._deadlines, (deadline_at, next(self._tie), slot))
        self.due_at = min(self.due_at, deadline_at)

    def change(self, limits: Limits) -> None:
        self.limits = limits
        self._subtract([])

    def waiting(self) -> list[Slot]:
        """Every slot that waits here, lane by lane, in order."""
        return [slot for queue in self._queues.values() for slot in queue if slot.state is WAITING]

    def closes(self, now: float, flush: bool) -> str | None:
        """Why the window closes now (the call's flush reason); None: it stays open."""
        if self.count >= self.limits.max_items:
            return "count"
        if self.tokens >= self.max_tokens:
            return "tokens"
        if self.bytes >= self.max_bytes:
            return "bytes"
        if self.due_at <= now:
            return "deadline" if self._deadlines and self._deadlines[0][0] <= now else "time"
        return "flush" if flush and self.count else None

    def next_cut(self, limit: int) -> tuple[float, float]:
        """About how many items, and tokens of theirs, the next microbatch of `limit` items or fewer
        has."""
        if self.count <= limit and self.tokens <= self.max_tokens:
            return self.count, self.tokens
        part = min(1.0, limit / self.count, self.max_tokens / max(1, self.tokens))
        return max(1.0, part * self.count), part * self.tokens

    def cut(self, now: float, limit: int) -> list[Slot]:
        """Takes out the next microbatch, of `limit` items or fewer; never empty where something
        waits."""
        cut = Cut(limit, self.max_tokens, self.max_bytes)
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now and not cut.full:
            slot = deadlines[0][2]
            if slot.state is not WAITING or cut.take(deque((slot,)), 1):
                heappop(deadlines)
        left = self.count - len(cut.slots)
        while left and not cut.full:
            left -= self._take_round(cut, left)
        self._subtract(cut.slots)
        return cut.slots

    def _take_round(self, cut: Cut, left: int) -> int:
        """Every lane's equal share of the room; how many slots were taken."""
        before = len(cut.slots)
        share = max(1, cut.room_for(left, self.tokens, self.bytes) // len(self._rotation))
        for _ in range(len(self._rotation)):
            lane = self._rotation[0]
            queue = self._queues[lane]
            took = cut.take(queue, share)
            if not queue:
                self._rotation.popleft()
                del self._queues[lane]
            elif took:  # one whose head did not fit and that gave nothing begins the next cut
                self._rotation.rotate(-1)
            if cut.full:
                break
        return len(cut.slots) - before

    def _subtract(self, slots: list[Slot]) -> None:
        self.count -= len(slots)
        for slot in slots:
            self.tokens -= slot.tokens
            self.bytes -= slot.size
        due_at = self._next_deadline() if self._deadlines else inf
        for queue in self._queues.values():
            while queue and queue[0].state is not WAITING:
                queue.popleft()
            if queue:
                due_at = min(due_at, queue[0].arrived_at + self.limits.max_wait_s)
        self.due_at = due_at

    def _next_deadline(self) -> float:
        """The earliest deadline of what waits; forgets those of slots that were taken."""
        deadlines = self._deadlines
        if len(deadlines) > 2 * self.count + 16:
            deadlines[:] = [entry for entry in deadlines if entry[2].state is WAITING]
            heapify(deadlines)
        while deadlines and deadlines[0][2].state is not WAITING:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else inf


def _by_call_key(slots: Sequence[Slot]) -> dict[Hashable, list[Slot]]:
    groups: dict[Hashable, list[Slot]] = {}
    for slot in slots:
        groups.setdefault(slot.call_key, []).append(slot)
    return groups
