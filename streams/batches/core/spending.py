"""What is left to do, in time and money: by what the canary took, corrected by what batches cost.

1. A batch costs half of the tokens that its requests are estimated to take. What has been read
   corrects the estimates of what has not.
2. What is submitted counts as spent, however late it ends.
3. Live needs the calls left times a call's time, spread over `max_in_flight`, with half as much
   again, since a busy API is slower; and a chunk's last calls leave places empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streams.batches.core.chunk_record import Chunk
from streams.batches.core.run_actions import CanaryFacts
from streams.model import added

SAFETY: Final = 1.5
TAIL_CALLS: Final = 2
DEFAULT_CALL_S: Final = 10.0


class Spending:
    """`facts`: None: nothing was called yet. `spent`: by chunks that are read, in nano-dollars;
    None: not known."""

    def __init__(self, facts: CanaryFacts | None, max_in_flight: int) -> None:
        self.facts = facts
        self._max_in_flight = max_in_flight
        self._expected = self._actual = 0
        self.spent: int | None = 0

    def estimate(self, tokens: int, *, batch: bool) -> int | None:
        """Nano-dollars of requests with so many tokens, not corrected; None: the price is not
        known."""
        if self.facts is None or self.facts.nano_per_token is None:
            return None
        cost = tokens * self.facts.nano_per_token
        return int(cost / 2 if batch else cost)

    def read(self, chunk: Chunk) -> None:
        """A chunk's true cost is known."""
        cost = None if chunk.sums is None else chunk.sums.cost_nano_usd
        self.spent = added(self.spent, cost)
        if cost is not None and not chunk.live:
            self._actual += cost
            self._expected += _expected(chunk)

    def with_further(self, chunks: Iterable[Chunk], further: int | None) -> int:
        """What is spent in the end, with the batches of chunks that are not read yet and with this
        estimate."""
        correction = self._actual / self._expected if self._expected and self._actual else 1.0
        under_way = sum(_expected(chunk) for chunk in chunks if chunk.sums is None)
        return (self.spent or 0) + int(correction * (under_way + (further or 0)))

    def live_ms(self, chunks: Iterable[Chunk], further_calls: float) -> int:
        """How long it takes to call live what these chunks have no message for, and as many calls
        more. Of a batch that has not ended, that is all of it."""
        calls, tails = further_calls, 1
        for chunk in chunks:
            last = chunk.last
            if chunk.sums is None and last is not None:
                calls += last.unanswered if last.ended else last.requests
                tails += 1
        call_s = DEFAULT_CALL_S if self.facts is None else self.facts.call_s
        return int(1000 * call_s * (SAFETY * calls / self._max_in_flight + TAIL_CALLS * tails))


def _expected(chunk: Chunk) -> int:
    return sum(each.cost or 0 for each in chunk.rounds if not each.left)
