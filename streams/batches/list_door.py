"""A list as the door of batch mode: its items are there, their outcomes go into the run's state.

outcomes-20000    [[seq, {"result":{..}} | {"error":[code, message]}], ...]     one for each emit
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from streams.batches.batch_door import Cursor, Ranges
from streams.batches.slices import in_slices
from streams.batches.state_port import RunState
from streams.codec.results import written
from streams.codec.strict_json import read
from streams.core.call import PENDING, Slot
from streams.errors import ItemError

LANE: Final = 0
AT_ONCE: Final = 500
OUTCOMES_KEY: Final = "outcomes-"

SLOT_BYTES: Final = 700
"""About the memory of a slot beside its text, which the list has."""


class ListDoor:
    """`weigh`: sets tokens and texts of new slots (`streams.running.work.Work`). `records`: the
    state as it was loaded. `outcomes`: by place in the list; PENDING where there is none yet."""

    def __init__(
        self,
        items: Sequence[Any],
        weigh: Callable[[Sequence[Slot]], None],
        state: RunState,
        records: Mapping[str, bytes],
    ) -> None:
        self._items = items
        self._weigh = weigh
        self._state = state
        self.outcomes: list[Any] = [PENDING] * len(items)
        self._emitted = 0  # all before it have left
        for key, value in records.items():
            if key.startswith(OUTCOMES_KEY):
                for seq, outcome in read(value):
                    self.outcomes[seq] = _read_outcome(outcome)
                    self._emitted = max(self._emitted, seq + 1)

    @property
    def count(self) -> int:
        return len(self._items)

    async def slots(self, after: Cursor | None) -> AsyncIterator[list[Slot]]:
        first = 0 if after is None else after.seq + 1
        for start in range(first, len(self._items), AT_ONCE):
            yield self._slots(start, min(start + AT_ONCE, len(self._items)))

    async def again(self, ranges: Ranges) -> AsyncIterator[list[Slot]]:
        for _, first, last in ranges:
            for start in range(first, last + 1, AT_ONCE):
                yield self._slots(start, min(start + AT_ONCE, last + 1))

    def _slots(self, start: int, end: int) -> list[Slot]:
        slots = [Slot(LANE, seq, self._items[seq]) for seq in range(start, end)]
        self._weigh(slots)
        for slot in slots:
            slot.memory = SLOT_BYTES + slot.size
        return slots

    async def emit(self, slots: list[Slot]) -> None:
        slots = [slot for slot in slots if slot.seq >= self._emitted]
        if not slots:
            return
        lines: list[bytes] = []

        def write_each() -> Iterator[None]:
            for slot in slots:
                lines.append(b"[%d,%b]" % (slot.seq, _outcome_value(slot.outcome)))
                yield

        await in_slices(write_each())
        value = b"[" + b",".join(lines) + b"]"
        await self._state.put(f"{OUTCOMES_KEY}{slots[0].seq}", value)
        for slot in slots:
            self.outcomes[slot.seq] = _plain(slot.outcome)
        self._emitted = slots[-1].seq + 1

    async def texts_hash(self) -> str:
        """Of the texts of all items, and of which of them have none: names the list."""
        digest = hashlib.sha256()

        def hash_each() -> Iterator[None]:
            for start in range(0, len(self._items), AT_ONCE):
                for slot in self._slots(start, min(start + AT_ONCE, len(self._items))):
                    text = "" if slot.outcome is not PENDING else slot.item.text
                    raw = text.encode("utf-8", "surrogatepass")
                    digest.update(b"%d:%b" % (len(raw), raw))
                yield

        await in_slices(hash_each())
        return digest.hexdigest()[:32]


def _plain(outcome: Any) -> Any:
    """An answer that comes from the state as it was written, as a value."""
    return read(orjson.dumps(outcome)) if isinstance(outcome, orjson.Fragment) else outcome


def _outcome_value(outcome: Any) -> bytes:
    if not isinstance(outcome, ItemError):
        try:
            return b'{"result":%b}' % written(outcome)
        except ItemError as error:
            outcome = error
    return b'{"error":%b}' % orjson.dumps([outcome.code, outcome.message])


def _read_outcome(value: Any) -> Any:
    if "error" in value:
        return ItemError(*value["error"])
    return value["result"]
