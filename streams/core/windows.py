"""The open windows of a task, one per call key: which one closes next, and when."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from math import inf

from streams.core.call import PENDING, Call, Slot, State
from streams.core.limits import Limits
from streams.core.order import Lane
from streams.core.window import Window
from streams.errors import ItemError


def screen(slots: Sequence[Slot], limits: Limits) -> tuple[list[Slot], list[Slot]]:
    """Which slots need a call, and which have their outcome already.

    Those that arrived with one, and those that are too large for any microbatch.
    """
    max_tokens = inf if limits.max_tokens is None else limits.max_tokens
    max_bytes = inf if limits.max_bytes is None else limits.max_bytes
    waiting: list[Slot] = []
    answered: list[Slot] = []
    for slot in slots:
        if slot.outcome is PENDING:
            if slot.weight <= max_tokens and slot.size <= max_bytes:
                waiting.append(slot)
                continue
            if slot.weight > max_tokens:
                message = f"{slot.weight} tokens (estimated); max_tokens is {max_tokens}"
            else:
                message = f"{slot.size} bytes; max_bytes is {max_bytes}"
            slot.outcome = ItemError("too_large", message)
        slot.state = State.ANSWERED
        answered.append(slot)
    return waiting, answered


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
        """Slots of one lane, in order; each run of equal call keys goes to its window."""
        start = 0
        for end in range(1, len(slots) + 1):
            if end == len(slots) or slots[end].call_key != slots[start].call_key:
                key = slots[start].call_key
                window = self._open.get(key)
                if window is None:
                    window = self._open[key] = Window(self._limits)
                window.add(lane, slots[start:end])
                start = end

    def remove(self, lane: Lane) -> list[Slot]:
        """Takes a lane out; its waiting slots, those of each call key in order."""
        slots: list[Slot] = []
        for key, window in list(self._open.items()):
            slots += window.remove(lane)
            if not window.count:
                del self._open[key]
        return slots

    def cut(self, now: float, most: int) -> Call | None:
        """The microbatch, of `most` items or fewer, of the window that is due the longest, of those
        that close now."""
        chosen: tuple[float, Hashable, str] | None = None
        for key, window in self._open.items():
            reason = window.closes(now, self.flushing)
            if reason and (chosen is None or window.due_at < chosen[0]):
                chosen = (window.due_at, key, reason)
        if chosen is None:
            return None
        _, key, reason = chosen
        window = self._open[key]
        call = Call(window.cut(now, most), "new", reason)
        if not window.count:
            del self._open[key]
        return call

    def next_at(self) -> float:
        """When the next window closes as things stand; -inf: one would now; inf: none is open."""
        next_at = inf
        for window in self._open.values():
            if window.closes(-inf, self.flushing):
                return -inf
            next_at = min(next_at, window.due_at)
        return next_at
