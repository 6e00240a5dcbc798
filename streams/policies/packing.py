"""How many tokens items will take in a call, corrected by what the replies of a task say they took.

    a call's features:  1   latin tokens   wide tokens   code tokens     by the codec's fixed counts
    times our factors:  f0  f1             f2            f3              1 each (f0: `overhead`)
    -> input tokens; the difference to the reply's usage corrects the factors

Rules:
1. One `Correction` per model and task, for input and for output each: tokenizers, prompts and
   answers differ. Recursive least squares with a prior: the first replies move the factors as far
   as they can say, and no further; old ones fade over some hundred calls.
2. A script that no call had keeps its factor. Factors stay within a quarter and four times.
3. `room` is what a microbatch may be filled to, by estimate, so that the call keeps to its limit:
   the limit less what the latest estimates were off by. Before the first reply that is a fifth.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final, NamedTuple

FADE: Final = 0.995
"""Weight of each earlier reply beside the next one."""
DOUBT: Final = 0.25
"""Standard deviation of the factors before the first reply."""
NOISE: Final = 0.05
"""The same of a reply around its estimate with the right factors, as a part of it."""
LEAST, MOST = 0.25, 4.0
FIRST_ERROR: Final = 0.1
ERROR_SHARE: Final = 0.1
ERRORS: Final = 2.0
"""A room is left of so many times the usual error."""


class ScriptTokens(NamedTuple):
    """Tokens of a text by script, by fixed counts (`streams.codec.script_tokens`): ASCII prose,
    what is beyond ASCII (Chinese, Cyrillic, emoji), and code with JSON."""

    latin: float
    wide: float
    code: float


class Correction:
    """Factors of the features of calls. `overhead`: tokens of a call beside its items, before the
    first reply; 0: none. `error`: how far estimates are off, as a part of what was used (0.1: by a
    tenth, above or below), the latest ones counting most; `replies`: that it learned from."""

    def __init__(self, features: int, overhead: float = 0.0) -> None:
        if features < 1 or not overhead >= 0:
            raise ValueError(f"{features} features and an overhead of {overhead} cannot be")
        self._overhead = overhead
        size = features + (overhead > 0)
        self._factors = [1.0] * size
        self._spread = [[DOUBT**2 * (n == m) for m in range(size)] for n in range(size)]
        self._square = FIRST_ERROR**2
        self.replies = 0

    @property
    def error(self) -> float:
        return sqrt(self._square)

    @property
    def factors(self) -> Sequence[float]:
        """Of the items' features, within their bounds."""
        factors = self._factors[1:] if self._overhead else self._factors
        return [min(MOST, max(LEAST, factor)) for factor in factors]

    @property
    def overhead(self) -> float:
        """Tokens of a call beside its items."""
        return self._overhead * min(MOST, max(0.0, self._factors[0])) if self._overhead else 0.0

    def item(self, features: Sequence[float]) -> float:
        """What an item takes, without its call's overhead."""
        return sum(factor * amount for factor, amount in zip(self.factors, features, strict=True))

    def call(self, features: Sequence[float]) -> float:
        """What a call takes; `features`: the sums of its items'."""
        return self.overhead + self.item(features)

    def room(self, limit: float) -> float:
        """Up to which sum of items a call of this limit is filled; at least 1."""
        return max(1.0, limit / (1 + ERRORS * self.error) - self.overhead)

    def learn(self, features: Sequence[float], used: float) -> None:
        """A reply: its call's features, and the tokens that its usage says. One that says none is
        ignored."""
        estimate = self.call(features)
        if used <= 0 or estimate <= 0:
            return
        self.replies += 1
        off = min(1.0, abs(estimate - used) / used)
        share = max(ERROR_SHARE, 1 / (self.replies + 1))
        self._square += share * (off**2 - self._square)
        row = [self._overhead, *features] if self._overhead else list(features)
        self._fit([amount / estimate for amount in row], used / estimate)

    def _fit(self, row: Sequence[float], target: float) -> None:
        """One step of recursive least squares: `row` times the factors is to be `target`."""
        gains = [sum(p * x for p, x in zip(line, row, strict=True)) for line in self._spread]
        doubt = sum(gain * x for gain, x in zip(gains, row, strict=True))
        miss = target - sum(f * x for f, x in zip(self._factors, row, strict=True))
        total = doubt + NOISE**2
        for n, gain in enumerate(gains):
            self._factors[n] += gain / total * miss
            line = self._spread[n]
            for m, other in enumerate(gains):
                line[m] -= gain * other / total
                # Old replies fade, but what no reply speaks of gets no more doubtful than at first.
                if n == m:
                    line[m] = min(line[m] / FADE, DOUBT**2)
