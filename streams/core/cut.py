"""One microbatch in the making: what may go in, what goes in, and when it is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf

from streams.core.call import PENDING, Slot, State
from streams.core.limits import Limits
from streams.errors import ItemError

WAITING = State.WAITING
IN_FLIGHT = State.IN_FLIGHT


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
            if slot.tokens <= max_tokens and slot.size <= max_bytes:
                waiting.append(slot)
                continue
            if slot.tokens > max_tokens:
                message = f"{slot.tokens} tokens (estimated); max_tokens is {max_tokens}"
            else:
                message = f"{slot.size} bytes; max_bytes is {max_bytes}"
            slot.outcome = ItemError("too_large", message)
        slot.state = State.ANSWERED
        answered.append(slot)
    return waiting, answered


class Cut:
    """One microbatch in the making: its slots, and whether more fit in."""

    __slots__ = ("bytes", "full", "max_bytes", "max_items", "max_tokens", "slots", "tokens")

    def __init__(self, max_items: int, max_tokens: float, max_bytes: float) -> None:
        self.slots: list[Slot] = []
        self.tokens = 0
        self.bytes = 0
        self.full = False
        self.max_items = max_items
        self.max_tokens = max_tokens
        self.max_bytes = max_bytes

    def room_for(self, waiting: int, tokens: int, size: int) -> int:
        """How many more slots fit in, judged by the mean tokens and size of what waits."""
        room: float = min(waiting, self.max_items - len(self.slots))
        if tokens > self.max_tokens:
            room = min(room, (self.max_tokens - self.tokens) * waiting / tokens)
        if size > self.max_bytes:
            room = min(room, (self.max_bytes - self.bytes) * waiting / size)
        return int(room)

    def take(self, queue: deque[Slot], share: int) -> int:
        """Up to `share` slots from the head of `queue`; how many were taken."""
        slots, tokens, size = self.slots, self.tokens, self.bytes
        before = len(slots)
        end = min(self.max_items, before + share)
        while queue and len(slots) < end:
            slot = queue[0]
            if slot.state is WAITING:
                if tokens + slot.tokens > self.max_tokens or size + slot.size > self.max_bytes:
                    self.full = True
                    break
                tokens += slot.tokens
                size += slot.size
                slot.state = IN_FLIGHT
                slots.append(slot)
            queue.popleft()
        self.tokens, self.bytes = tokens, size
        if len(slots) >= self.max_items:
            self.full = True
        return len(slots) - before
