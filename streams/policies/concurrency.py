"""How many calls an account has in flight at most, where the API does not say what it allows.

    below the first refusal    +1 for each 2 successes: half as much again with each round of calls
    after it                   +1 for each 25 successes
    429 without headers, 529   x 0.75, and that cap is the ceiling for ten minutes
    at 95 % of the ceiling     stays; after ten minutes it probes up to 105 % of it
    a refusal while it probes  back to 95 %, for ten minutes more

Rules:
1. Only successes count at which the cap was reached, and only refusals at which it was used by
   half or more: what nobody uses says nothing about it. So probes during a pause cut nothing. Of
   refusals that the rate of calls explains, those alone at which it was reached.
2. Calls that had begun before a cut and are refused too belong to its burst: one cut.
3. Never on latency: a model's time follows its output. A timeout may be its items' fault; two
   without a full step of successes between them count as a refusal.
4. If the first call after a cut is refused too, all by itself, the cut is taken back: it was an
   outage, or for the rate.
5. A 429 with headers is about the limits per minute (`streams.policies.rate`), not about this.
"""

from __future__ import annotations

from math import inf
from typing import Final

START: Final = 10
CUT: Final = 0.75
SUCCESSES_AT_START: Final = 2
SUCCESSES: Final = 25
SETTLED: Final = 0.95
PROBE: Final = 1.05
REMEMBERED_S: Final = 600.0
TIMEOUTS: Final = 2


class Concurrency:
    """The cap of one account, from 1 to `configured`; ValueError: below 1. `ceiling`: the cap at
    the latest refusal; None: none was refused."""

    def __init__(self, configured: int) -> None:
        if configured < 1:
            raise ValueError(f"the configured cap must be at least 1, not {configured}")
        self._configured = configured
        self._cap = float(min(START, configured))
        self.ceiling: float | None = None
        self._ceiling_at = -inf
        self._probing = False
        self._begun_at_cut = 0
        self._before_cut: tuple[float, float | None, float] | None = None
        self._successes = 0
        self._timeouts = 0

    @property
    def limit(self) -> int:
        """So many calls at once, at most."""
        return max(1, min(int(self._cap), self._configured))

    def resize(self, configured: int) -> None:
        """Another configured cap. One that was all there was grows from there."""
        self._configured = max(1, configured)
        if self.ceiling is None:
            self._cap = max(self._cap, START)
        self._cap = min(self._cap, float(self._configured))

    def succeeded(self, in_flight: int, now: float) -> None:
        """A call was answered; `in_flight`: with it."""
        if in_flight < self.limit:
            return
        self._successes += 1
        if self._successes < (SUCCESSES_AT_START if self.ceiling is None else SUCCESSES):
            return
        self._successes = self._timeouts = 0
        self._cap = max(self._cap, min(self._cap + 1, float(self._configured), self._bound(now)))

    def _bound(self, now: float) -> float:
        """How far it may grow as things stand."""
        if self.ceiling is None:
            return inf
        if now < self._ceiling_at + REMEMBERED_S:
            return SETTLED * self.ceiling
        self._probing = True
        bound = max(PROBE * self.ceiling, self.ceiling + 1)
        if self._cap >= bound - 1:  # what was the ceiling is none
            self.ceiling, self._ceiling_at, self._probing = bound, now, False
        return bound

    def refused(
        self, number: int, begun: int, in_flight: int, now: float, *, is_for_rate: bool = False
    ) -> bool:
        """Call `number` was refused, or is the second that timed out; `begun`: the number of the
        last call that has begun; `in_flight`: with it. `is_for_rate`: too many calls a minute
        explain it. True: the cap has changed."""
        if self._before_cut and number == self._begun_at_cut + 1 and in_flight == 1:
            self._cap, self.ceiling, self._ceiling_at = self._before_cut
            self._before_cut = None
            return True
        if number <= self._begun_at_cut or in_flight < self.limit * (1.0 if is_for_rate else 0.5):
            return False
        self._before_cut = self._cap, self.ceiling, self._ceiling_at
        self._begun_at_cut, self._successes, self._timeouts = begun, 0, 0
        if self._probing and self.ceiling is not None:
            self._cap = SETTLED * self.ceiling
        else:
            self.ceiling = float(self.limit)
            self._cap = max(1.0, CUT * self._cap)
        self._ceiling_at, self._probing = now, False
        return True

    def timed_out(self, number: int, begun: int, in_flight: int, now: float) -> bool:
        """Call `number` timed out; as `refused`."""
        self._timeouts += 1
        return self._timeouts >= TIMEOUTS and self.refused(number, begun, in_flight, now)
