"""Takes rounds of records into the tasks, a little in each turn of the loop, so that no reply or
acknowledgement waits for a whole round."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from streams.kafka.consume.reader import Round
from streams.worker.partition import Lane

MOST_AT_ONCE = 200
"""Records that are decoded in one turn of the loop (about 1 ms)."""


class Arrivals:
    """`on_taken()`: all that had come is taken, or its lanes are gone."""

    def __init__(self, on_taken: Callable[[], None]) -> None:
        self._on_taken = on_taken
        self._waiting: deque[tuple[Lane, Sequence[Any], int]] = deque()

    def put(self, lists: Round) -> None:
        """Take these records, the first of them now."""
        idle = not self._waiting  # else `_take` is called anyway
        for lane, records, position in lists:
            while len(records) > MOST_AT_ONCE:
                part, records = records[:MOST_AT_ONCE], records[MOST_AT_ONCE:]
                self._waiting.append((lane, part, part[-1].offset + 1))
            self._waiting.append((lane, records, position))
        if idle:
            self._take()

    def clear(self) -> None:
        """Forget what was not taken yet: it is read again, or by somebody else."""
        self._waiting.clear()

    def _take(self) -> None:
        if not self._waiting:
            return  # cleared meanwhile: nobody waits for the answer
        lane, records, position = self._waiting.popleft()
        if lane.open:
            lane.task.arrived(lane, records, position)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._take)
        else:
            self._on_taken()
