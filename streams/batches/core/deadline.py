"""When the time that is left is what live calls need.

Live needs the calls left times a call's time, spread over `max_in_flight`, with half as much again,
since a busy API is slower; and a chunk's last calls leave places empty. Before that, batches are
cancelled, which may take `reserve_ms`; a quarter of it stays for what is not a call.
"""

from __future__ import annotations

from math import inf
from typing import Final

from streams.batches.core.open_chunks import OpenChunks
from streams.batches.core.run_terms import RunTerms

SAFETY: Final = 1.5
TAIL_CALLS: Final = 2
DEFAULT_CALL_S: Final = 10.0


class Deadline:
    """`chunks`: of the run. `count`: about how many items the input has; None: not known.
    `max_items`, `max_in_flight`: of live calls. `call_s`: how long one takes. `new_requests`: of a
    chunk that has no batch yet."""

    def __init__(
        self,
        terms: RunTerms,
        chunks: OpenChunks,
        *,
        count: int | None,
        max_items: int,
        max_in_flight: int,
    ) -> None:
        self._at_ms: float = inf if terms.deadline_at_ms is None else terms.deadline_at_ms
        self._reserve_ms = terms.reserve_ms
        self._chunks = chunks
        self._count = count
        self._max_items = max_items
        self._max_in_flight = max_in_flight
        self.call_s = DEFAULT_CALL_S
        self.new_requests = 0

    @property
    def hurries_at(self) -> float:
        """When batches are to be cancelled, in ms; inf: never."""
        return self._at_ms - self._reserve_ms - self._live_ms

    @property
    def abandons_at(self) -> float:
        """When what batches have not given back is not waited for any longer."""
        return self._at_ms - self._reserve_ms // 4 - self._live_ms

    @property
    def _live_ms(self) -> float:
        calls, tails = self.new_requests + self._undrawn_items / self._max_items, 1
        for chunk in self._chunks.values():
            last = chunk.last
            if chunk.sums is None and last is not None:
                # Of a batch that has not ended, all requests count.
                calls += last.unanswered if last.ended else last.requests
                tails += 1
        call_ms = 1000 * self.call_s
        return call_ms * (SAFETY * calls / self._max_in_flight + TAIL_CALLS * tails)

    @property
    def _undrawn_items(self) -> int:
        if self._count is None or self._chunks.input_ended:
            return 0
        return max(0, self._count - self._chunks.item_count)
