"""Numbers of tokens that are estimated, corrected by what replies say: linear, learned as it goes.

    a call's features:  1         latin tokens   wide tokens   code tokens   items
    times our factors:  overhead  f1             f2            f3            frame of an item
    -> input tokens; the difference to the reply's usage corrects the factors

Rules:
1. Recursive least squares with a prior: the first replies move the factors as far as they can say,
   and no further; old ones fade over some hundred calls.
2. A feature that no call had keeps its factor.
3. The first `SINGLE` replies teach one by one, the later ones `TOGETHER` at a time: by then each
   says little that is new, and a step takes as long as much of what an engine does for a call.
4. `margin` is what is to be left free so that what an estimate allows is not too much: the worst
   of the latest estimates that were too low. Before the first replies it is `FIRST_MARGIN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from operator import add, mul
from typing import Final, NamedTuple

FADE: Final = 0.995
"""Weight of each earlier reply beside the next one."""
NOISE: Final = 0.05
"""Standard deviation of a reply around its estimate with the right factors, as a part of it."""
SINGLE: Final = 64
TOGETHER: Final = 8
FIRST_ERROR: Final = 0.1
ERROR_SHARE: Final = 0.1
"""Weight of the latest reply in the mean error."""
FIRST_MARGIN: Final = 0.1
FIRST_FADE: Final = 0.8
"""With each of the first replies."""
LEAST_MARGIN: Final = 0.02
FIRST_REPLIES: Final = 3
"""They say how wrong the first factors were, not how wrong those are that they taught."""
WORST_FADE: Final = 0.98
ERRORS: Final = 3.0
"""A margin is no more than so many times the usual error."""
LEAST_SHARE: Final = 0.125
LEAST_DOUBTS, MOST_DOUBTS = 3.0, 12.0
"""How far a factor may move from its first value; never below an eighth of it."""


class Factor(NamedTuple):
    """What one of a feature takes: before the first reply `likely`, give or take `doubt` (a
    standard deviation, above 0)."""

    likely: float
    doubt: float

    def bounded(self, value: float) -> float:
        least = max(LEAST_SHARE * self.likely, self.likely - LEAST_DOUBTS * self.doubt)
        return min(self.likely + MOST_DOUBTS * self.doubt, max(least, value))


class Correction:
    """The factors of some features. `error`: how far estimates are off, as a part of what was used
    (0.1: by a tenth, above or below), the latest ones counting most. `replies`: that it learned
    from. `factors`: as they are now, within their bounds."""

    def __init__(self, factors: Sequence[Factor]) -> None:
        if not factors or not all(each.likely >= 0 and each.doubt > 0 for each in factors):
            raise ValueError(f"factors of {[*map(tuple, factors)]} cannot be")
        self._first = tuple(factors)
        self._values = [each.likely for each in factors]
        size = range(len(factors))
        self._spread = [[factors[n].doubt ** 2 * (n == m) for m in size] for n in size]
        self._square = FIRST_ERROR**2
        self._first_margin, self._worst = FIRST_MARGIN, 0.0
        self._pending = [0.0] * len(factors)
        self._pending_used = 0.0
        self.factors: Sequence[float] = tuple(self._values)
        self.replies = 0

    @property
    def error(self) -> float:
        return sqrt(self._square)

    @property
    def margin(self) -> float:
        """As a part of an estimate."""
        return max(self._first_margin, LEAST_MARGIN, min(self._worst, ERRORS * self.error))

    def estimate(self, features: Sequence[float]) -> float:
        return float(sum(map(mul, self.factors, features)))

    def learn(self, features: Sequence[float], used: float) -> bool:
        """A reply: its call's features, and the tokens that its usage says. One that says none is
        ignored. Returns whether factors or margin are others now."""
        estimate = sum(map(mul, self.factors, features))
        if used < 1 or estimate <= 0:
            return False
        self.replies = replies = self.replies + 1
        self._measure(estimate, used)
        self._pending = list(map(add, self._pending, features))
        self._pending_used += used
        if replies > SINGLE and replies % TOGETHER:
            return False
        self._fit(1 if replies <= SINGLE else TOGETHER)
        return True

    def _measure(self, estimate: float, used: float) -> None:
        off = (used - estimate) / used
        share = ERROR_SHARE
        if self.replies < 1 / ERROR_SHARE:
            share = 1 / (self.replies + 1)
            self._first_margin *= FIRST_FADE
        self._square += share * (min(1.0, off * off) - self._square)
        self._worst *= WORST_FADE
        if off > 0 and self.replies > FIRST_REPLIES:
            self._worst = max(self._worst, used / estimate - 1)

    def _fit(self, replies: int) -> None:
        """One step of recursive least squares, by the replies since the last one: their features
        times the values are to be what they used."""
        estimate = sum(map(mul, self.factors, self._pending))
        row, target = [each / estimate for each in self._pending], self._pending_used / estimate
        gains = [sum(map(mul, line, row)) for line in self._spread]
        miss = target - sum(map(mul, self._values, row))
        total = sum(map(mul, gains, row)) + NOISE**2 / replies
        fade = FADE**replies
        for n, gain in enumerate(gains):
            step = gain / total
            self._values[n] += step * miss
            line = [each - step * other for each, other in zip(self._spread[n], gains, strict=True)]
            # Old replies fade, but what no reply speaks of gets no more doubtful than at first.
            line[n] = min(line[n] / fade, self._first[n].doubt ** 2)
            self._spread[n] = line
        bounded = zip(self._first, self._values, strict=True)
        self.factors = tuple(first.bounded(value) for first, value in bounded)
        self._pending, self._pending_used = [0.0] * len(row), 0.0
