"""One microbatch in the making: what may go in, what goes in, and when it is full.

Whether a slot is too large for any is decided once, by its own count of tokens. How many go into
one is decided by their weights (`streams.policies.packing`), which change with what replies say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from math import inf

from streams.core.call import PENDING, Slot, State
from streams.core.limits import Limits
from streams.errors import ItemError
from streams.policies.packing import SCRIPTS, Bounds, Packing

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
    """One microbatch in the making. `slots`: what it has, with `weight`, `tokens` (by script) and
    `bytes` in all. `full`: it has all of its items, or the next one did not fit."""

    def __init__(self, packing: Packing, bounds: Bounds, max_bytes: float) -> None:
        self.slots: list[Slot] = []
        self.tokens = [0] * SCRIPTS
        self.weight = 0.0
        self.bytes = 0
        self.full = False
        self.max_items = bounds.items
        self.max_weight = bounds.weight
        self.max_bytes = max_bytes
        self._factors = packing.factors
        self._frame = packing.frame

    def room_for(self, waiting: int, weight: float, size: int) -> int:
        """How many more slots fit in, judged by the mean weight and size of what waits."""
        room: float = min(waiting, self.max_items - len(self.slots))
        if weight > self.max_weight:
            room = min(room, (self.max_weight - self.weight) * waiting / weight)
        if size > self.max_bytes:
            room = min(room, (self.max_bytes - self.bytes) * waiting / size)
        return int(room)

    def take(self, queue: deque[Slot], share: int) -> int:
        """Up to `share` slots from the head of `queue`; how many were taken."""
        slots, tokens, weight, size = self.slots, self.tokens, self.weight, self.bytes
        factors, frame, max_weight, max_bytes = (
            self._factors, self._frame, self.max_weight, self.max_bytes
        )  # fmt: skip
        before = len(slots)
        end = min(self.max_items, before + share)
        while queue and len(slots) < end:
            slot = queue[0]
            if slot.state is WAITING:
                script = slot.script
                more = weight + slot.tokens * factors[script] + frame
                if (more > max_weight or size + slot.size > max_bytes) and slots:
                    self.full = True
                    break
                weight = more
                tokens[script] += slot.tokens
                size += slot.size
                slot.state = IN_FLIGHT
                slots.append(slot)
            queue.popleft()
        self.weight, self.bytes = weight, size
        if len(slots) >= self.max_items:
            self.full = True
        return len(slots) - before

    def take_smaller(self, queue: deque[Slot], look_at: int) -> None:
        """Those of the first `look_at` slots that fit in, where the first does not. They stay in
        the queue, out of their turn, until they are seen there (`windows.py`)."""
        for slot in islice(queue, look_at):
            if len(self.slots) >= self.max_items:
                return
            more = self.weight + slot.tokens * self._factors[slot.script] + self._frame
            size = self.bytes + slot.size
            if slot.state is WAITING and more <= self.max_weight and size <= self.max_bytes:
                self.weight, self.bytes = more, size
                self.tokens[slot.script] += slot.tokens
                slot.state = IN_FLIGHT
                self.slots.append(slot)
