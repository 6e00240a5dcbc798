"""What a run costs: by what the canary took, corrected by what batches cost.

1. A batch costs a part, in general half, of the tokens that its requests are estimated to take.
   What has been read corrects the estimates of what has not.
2. What is submitted counts as spent, however late it ends. A new chunk begins only where a fifth
   more is left: what it is estimated wrong by, and what a batch leaves to be asked again.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.batches.core.chunk_record import Chunk
from streams.batches.core.run_actions import CanaryFacts
from streams.model import added

HEADROOM = 1.2


class Spending:
    """`facts`: None: nothing was called yet. `spent`: by chunks that are read, in nano-dollars;
    None: not known. `batch_share`: what a batch costs, as a part of live calls' price."""

    def __init__(self, limit_nano_usd: int | None, batch_share: float = 0.5) -> None:
        self._batch_share = batch_share
        self._limit = limit_nano_usd
        self.facts: CanaryFacts | None = None
        self._expected = self._actual = 0
        self._has_read = False
        self.spent: int | None = 0

    def estimate(self, tokens: int, *, batch: bool) -> int | None:
        """Nano-dollars of requests with so many tokens, not corrected; None: the price is not
        known."""
        if self.facts is None or self.facts.nano_per_token is None:
            return None
        cost = tokens * self.facts.nano_per_token
        return int(cost * self._batch_share if batch else cost)

    def read(self, chunk: Chunk) -> None:
        """A chunk's true cost is known."""
        cost = None if chunk.sums is None else chunk.sums.cost_nano_usd
        self._has_read = True
        self.spent = added(self.spent, cost)
        if cost is not None and not chunk.live:
            self._actual += cost
            self._expected += _expected(chunk)

    def allows(self, chunks: Iterable[Chunk], tokens: int, *, batch: bool, is_new: bool) -> bool:
        """Whether requests with so many tokens keep to the limit. `is_new`: of a chunk that has no
        batch yet."""
        if self._limit is None:
            return True
        total = self.with_further(chunks, self.estimate(tokens, batch=batch))
        spent = self.spent or 0
        return spent + (HEADROOM if is_new else 1) * (total - spent) <= self._limit

    def with_further(self, chunks: Iterable[Chunk], further: int | None) -> int:
        """What is spent in the end, with the batches of chunks that are not read yet and with this
        estimate."""
        correction = self._actual / self._expected if self._expected and self._actual else 1.0
        under_way = sum(_expected(chunk) for chunk in chunks if chunk.sums is None)
        total = (self.spent or 0) + int(correction * (under_way + (further or 0)))
        if self.facts is not None and not self._has_read:
            total += self.facts.cost_nano_usd  # later it is within the first chunk's
        return total


def _expected(chunk: Chunk) -> int:
    return sum(each.cost or 0 for each in chunk.rounds if not each.abandoned)
