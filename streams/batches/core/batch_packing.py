"""Packs items into requests, and requests into chunks.

1. A request is a microbatch of the task: greedy, in order, within its limits, of one lane and call
   key. It is a run of items, since a chunk is remembered as ranges.
2. A chunk ends before the item that would pass one of its bounds, so it is never above them, except
   that it has one item at least.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf

from streams.core.call import Call, Slot, State
from streams.core.limits import Limits


@dataclass(frozen=True, slots=True)
class ChunkBounds:
    """What one chunk may take: requests, bytes of its batch's body, and bytes of memory of its
    slots. `ValueError` where one is below 1. The API takes 100,000 requests or 256 MB; 5,000 and 16
    MB keep a creation short, and are few enough to be in memory twice."""

    max_requests: int = 5_000
    max_body_bytes: int = 16_000_000
    max_memory_bytes: int = 32_000_000

    def __post_init__(self) -> None:
        for name in ("max_requests", "max_body_bytes", "max_memory_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


class ChunkBuilder:
    """Takes slots in order until the chunk is full. `frame_bytes`: of a request beside its items.

    `slots`: all that it took. `requests`: how many `packed` makes of them.
    """

    def __init__(self, limits: Limits, bounds: ChunkBounds, frame_bytes: int) -> None:
        self._limits, self._bounds, self._frame_bytes = limits, bounds, frame_bytes
        self._max_tokens = inf if limits.max_tokens is None else limits.max_tokens
        self._max_bytes = inf if limits.max_bytes is None else limits.max_bytes
        self._memory = self._body = 0
        self._count = self._tokens = self._bytes = 0  # of the request that is open
        self._whose: object = None
        self._is_empty = True
        self.slots: list[Slot] = []
        self.requests = 0

    def add(self, slots: list[Slot]) -> list[Slot]:
        """Slots of one lane, in order, screened; returns those that are for the next chunk."""
        for place, slot in enumerate(slots):
            if not self._take(slot):
                self.slots += slots[:place]
                return slots[place:]
        self.slots += slots
        return []

    def _take(self, slot: Slot) -> bool:
        bounds, memory = self._bounds, self._memory + slot.memory
        waits = slot.state is State.WAITING
        opens = waits and self._opens(slot)
        requests = self.requests + opens
        body = self._body + waits * slot.size + opens * self._frame_bytes
        fits = (
            memory <= bounds.max_memory_bytes
            and requests <= bounds.max_requests
            and body <= bounds.max_body_bytes
        )
        if not fits and not self._is_empty:
            return False
        self._is_empty = False
        self.requests, self._body, self._memory = requests, body, memory
        if opens:
            self._count = self._tokens = self._bytes = 0
            self._whose = _whose(slot)
        if waits:
            self._count += 1
            self._tokens += slot.tokens
            self._bytes += slot.size
        return True

    def _opens(self, slot: Slot) -> bool:
        """Whether it begins a request."""
        return (
            _whose(slot) != self._whose
            or self._count >= self._limits.max_items
            or self._tokens + slot.tokens > self._max_tokens
            or self._bytes + slot.size > self._max_bytes
        )


def _whose(slot: Slot) -> tuple[Hashable, Hashable]:
    """Equal for slots that may share a request."""
    return slot.lane, slot.call_key


def packed(slots: Sequence[Slot], limits: Limits) -> list[Call]:
    """The waiting ones among these slots as requests, run by run, in order; they are IN_FLIGHT
    now."""
    max_tokens = inf if limits.max_tokens is None else limits.max_tokens
    max_bytes = inf if limits.max_bytes is None else limits.max_bytes
    calls: list[Call] = []
    waiting = [slot for slot in slots if slot.state is State.WAITING]
    for _, run in groupby(waiting, _whose):
        group: list[Slot] = []
        tokens = size = 0
        for slot in run:
            tokens += slot.tokens
            size += slot.size
            full = len(group) >= limits.max_items or tokens > max_tokens or size > max_bytes
            if group and full:
                calls.append(Call(group, "new", "count"))
                group, tokens, size = [], slot.tokens, slot.size
            slot.state = State.IN_FLIGHT
            group.append(slot)
        if group:
            calls.append(Call(group, "new", "count"))
    return calls
