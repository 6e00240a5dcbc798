"""The answers of live calls in the run's state, so that nobody pays for them twice.

    live-12-0    [[lane, seq, "<answer>"], ...]      one record for each call that answered
    canary       the same, of the call before the first batch

An answer is what the call ledger writes of it (`streams.codec.answers`). Those of a chunk go when
it has left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from streams.batches.core.chunk_record import LIVE_KEY
from streams.batches.state_port import RunState
from streams.codec.answers import answer_value, restore
from streams.core.call import Slot

CANARY_KEY: Final = "canary"


class Answers:
    """By lane and sequence number; false where there is none."""

    def __init__(self, values: Iterable[bytes]) -> None:
        self._values: dict[Any, bytes] = {}
        for value in values:
            for lane, seq, answer in orjson.loads(value):
                self._values[lane, seq] = answer.encode()

    def __bool__(self) -> bool:
        return bool(self._values)

    def restore(self, slot: Slot) -> bool:
        """Gives a slot its outcome; False: there is none for its item."""
        value = self._values.get((slot.lane, slot.seq))
        return value is not None and restore(slot, value)


class LiveRecords:
    """`records`: of the whole run, as they were loaded."""

    def __init__(self, state: RunState, records: Mapping[str, bytes]) -> None:
        self._state = state
        self._keys: dict[int, list[str]] = defaultdict(list)
        self._values: dict[str, bytes] = {}
        for key, value in records.items():
            if key.startswith(LIVE_KEY):
                self._keys[int(key.split("-")[1])].append(key)
                self._values[key] = value
        self._canary = Answers([records[CANARY_KEY]] if CANARY_KEY in records else [])

    @property
    def canary(self) -> Answers:
        return self._canary

    def of_chunk(self, number: int) -> Answers:
        return Answers([self._values[key] for key in self._keys[number]])

    def count(self, number: int) -> int:
        """How many live calls have answered items of this chunk."""
        return len(self._keys[number])

    async def put_canary(self, slots: list[Slot]) -> None:
        value = _written(slots)
        await self._state.put(CANARY_KEY, value)
        self._canary = Answers([value])

    async def put(self, number: int, slots: list[Slot]) -> None:
        """Answers of one call, for items of this chunk."""
        taken = self._keys[number]
        key = f"{LIVE_KEY}{number}-{len(taken)}"
        taken.append(key)
        value = self._values[key] = _written(slots)
        await self._state.put(key, value)

    async def forget(self, number: int) -> None:
        for key in self._keys.pop(number, []):
            del self._values[key]
            await self._state.put(key, None)


def _written(slots: list[Slot]) -> bytes:
    return orjson.dumps([[slot.lane, slot.seq, answer_value(slot).decode()] for slot in slots])
