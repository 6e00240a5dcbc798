"""What a task's next call costs, before it is made: a straight line, corrected by what calls cost.

    (base + items x per item + tokens x per token) x (ratio + SPREADS x spread)

`ratio` is what calls really cost, as a part of the line, and `spread` how far single calls are from
it: what is reserved is seldom too little, and what it is too much comes back with the reply.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SPREADS: Final = 2.0
FIRST_SPREAD: Final = 0.5
LEAST_SPREAD: Final = 0.005
SHARE: Final = 0.1
"""Weight of the latest call in both means."""


class CostLine(NamedTuple):
    """Nano-dollars of a call: by itself, for each item, and for each token of its items."""

    base: float
    per_item: float
    per_token: float


class Learned(NamedTuple):
    """What replies have taught; it can be told to others. `replies`: that it learned from."""

    ratio: float = 1.0
    spread: float = FIRST_SPREAD
    replies: int = 0


class CallCosts:
    """Of one task. `learned`: assign what another process of the task has learned."""

    def __init__(self, line: CostLine) -> None:
        self._line = line
        self.learned = Learned()

    def of(self, items: float, tokens: float) -> int:
        """A call for so many items, of so many tokens by their estimate: at most, as a rule."""
        ratio, spread, _ = self.learned
        return round(self._expected(items, tokens) * (ratio + SPREADS * spread))

    def learn(self, items: float, tokens: float, nano_usd: int) -> None:
        """What such a call really cost."""
        expected = self._expected(items, tokens)
        if expected <= 0:
            return
        ratio, spread, replies = self.learned
        share = max(SHARE, 1 / (replies + 1))
        off = nano_usd / expected - ratio
        if replies == 0:
            spread = abs(off) / 2
        self.learned = Learned(
            ratio + share * off,
            max(LEAST_SPREAD * ratio, spread + share * (abs(off) - spread)) if replies else spread,
            replies + 1,
        )

    def _expected(self, items: float, tokens: float) -> float:
        return self._line.base + items * self._line.per_item + tokens * self._line.per_token
