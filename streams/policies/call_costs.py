"""What a task's next call costs, before it is made.

    (input tokens x price + output tokens x price) x (ratio + SPREADS x spread)

The tokens are those of its demand (`streams.policies.packing` learns them). `ratio` is what calls
really cost, as a part of that (the prompt cache makes them cheaper), and `spread` how far single
calls are from it: what is reserved is seldom too little, and what it is too much comes back with
the reply. Before its first reply a process goes by what others have told of the task.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from streams.policies.demand import Demand

SPREADS: Final = 2.0
FIRST_SPREAD: Final = 0.5
LEAST_SPREAD: Final = 0.005
SHARE: Final = 0.1
"""Weight of the latest call in each mean."""


class Learned(NamedTuple):
    """What replies have taught, as others are told. `per_item`: nano-dollars. `spread`: how far
    single calls are from the mean, as a part of it. `replies`: that it learned from."""

    per_item: float = 0.0
    spread: float = FIRST_SPREAD
    replies: int = 0


class CallCosts:
    """Of one task. `input`, `output`: nano-dollars per token. `told`: what another process has
    learned; it counts before the first reply here."""

    def __init__(self, input: float, output: float) -> None:
        self._input, self._output = input, output
        self.told = Learned()
        self._ratio, self._spread, self._per_item = 1.0, FIRST_SPREAD, 0.0
        self._replies = 0

    @property
    def learned(self) -> Learned:
        """For others."""
        if not self._replies:
            return self.told
        return Learned(self._per_item, self._spread / self._ratio, self._replies)

    def of(self, items: float, demand: Demand) -> int:
        """A call for so many items: at most, as a rule."""
        if not self._replies and self.told.replies:
            return round(items * self.told.per_item * (1 + SPREADS * self.told.spread))
        return round(self._expected(demand) * (self._ratio + SPREADS * self._spread))

    def learn(self, items: int, demand: Demand, nano_usd: int) -> None:
        """What such a call really cost."""
        expected = self._expected(demand)
        if expected <= 0 or items <= 0 or nano_usd <= 0:
            return
        share = max(SHARE, 1 / (self._replies + 1))
        off = nano_usd / expected - self._ratio
        if self._replies:
            self._spread += share * (abs(off) - self._spread)
        else:
            self._spread = abs(off) / 2
        self._ratio += share * off
        self._spread = max(LEAST_SPREAD * self._ratio, self._spread)
        self._per_item += share * (nano_usd / items - self._per_item)
        self._replies += 1

    def _expected(self, demand: Demand) -> float:
        return demand.input_tokens * self._input + demand.output_tokens * self._output
