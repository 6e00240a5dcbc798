"""A limit per minute that an API keeps to and never says: found by what it refuses.

    429 without limits ─► ceiling: what calls took a second, of late
    from then on       ─► ceiling x (1 + 5 % x ((t - 30 s) / 30 s) ** 3)

                                        *     t: seconds' worth of the ceiling that calls have used
    ceiling  - - - -  *  *  *  *  *  - - -    since then. So it stays near the ceiling for a minute,
               *                              and a limit that has risen is found in three.
    95 %     *

The course is that of CUBIC (https://www.rfc-editor.org/rfc/rfc9438), with less of a cut: between
two refusals the API let through what refilled, so the mean of that time is the limit, or below it.

Rules:
1. The mean is of the time since the last ceiling was found, `WINDOW_S` at most, and of
   `LEAST_CALLS` at least; fewer say nothing. Time without calls does not count, a pause after a
   refusal does. Tokens are uncertain until replies come, and follow requests: of them `SLACK` times
   the mean is left, or of what calls like the one that was refused would take.
2. Refusals with nothing between them for `OUTAGE_S` are an outage: the mean begins anew.
3. A refusal far below the ceiling, some time after that was found, may not be for the rate: there
   may be too many calls at once (`concurrency.py`). Both give way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple

CUT: Final = 0.95
PLATEAU_S: Final = 30.0
WINDOW_S: Final = 20.0
FIRST_WINDOW_S: Final = 5.0
"""The same before the first ceiling: until then calls at once become more and more."""
LEAST_CALLS: Final = 4
SLACK: Final = 1.25
BUSY_GAP_S: Final = 2.0
"""Calls that begin within so much of each other are one busy time."""
REFUSED_GAP_S: Final = 5.0
OUTAGE_S: Final = 10.0
SAMPLE_S: Final = 0.25
FAR_BELOW: Final = 0.5
SOON_S: Final = 5.0


class _Sample(NamedTuple):
    """`busy_s`: of all time so far. `used`: by kind."""

    at: float
    busy_s: float
    used: list[float]


class FoundLimit:
    """Of one `Rate`. `used`: what calls have used so far, by kind, requests first; a new list each
    time. `ceiling`: a second, by kind; None: nothing was found yet."""

    def __init__(self) -> None:
        self.ceiling: list[float] | None = None
        self._samples: deque[_Sample] = deque()  # the first: where the mean begins
        self._found = self._passed = _Sample(-inf, 0.0, [0.0])
        self._now = _Sample(-inf, 0.0, [0.0])
        self._gap_s = 0.0

    def began(self, used: list[float], now: float) -> None:
        """A call began, `used` is with it."""
        here = self._go_on(used, now)
        self._gap_s = BUSY_GAP_S
        samples = self._samples
        if not samples or here.busy_s - samples[-1].busy_s >= SAMPLE_S:
            samples.append(here)
            while len(samples) > 1 and here.busy_s - samples[1].busy_s >= WINDOW_S:
                samples.popleft()

    def refused(self, used: list[float], demand: Sequence[float], now: float) -> bool:
        """A call was refused, the first of its burst; `used` is without its `demand`. Whether that
        is for the rate of calls."""
        here = self._go_on(used, now)
        self._gap_s = REFUSED_GAP_S
        if used[0] > self._passed.used[0]:
            self._passed = here
        elif here.busy_s - self._passed.busy_s >= OUTAGE_S:  # rule 2
            self._passed, self._samples = here, deque([here])
            return False
        means = self._means(here, demand)
        if means is None:
            return self.ceiling is not None
        is_soon = here.busy_s - self._found.busy_s < SOON_S
        is_for_rate = self.ceiling is None or is_soon or _is_near(means, self.ceiling)
        self.ceiling, self._found, self._samples = means, here, deque([here])
        return is_for_rate

    def refused_too(self, demand: Sequence[float], began_at: float) -> None:
        """Another one of that burst: it was counted as use, and took nothing."""
        samples = (*self._samples, self._found, self._passed)
        for sample in {id(each): each for each in samples}.values():
            if sample.at >= began_at:
                for kind, amount in enumerate(demand):
                    sample.used[kind] -= amount

    def per_s(self, used: Sequence[float]) -> list[float]:
        """The limits now; inf: none. Something was found."""
        assert self.ceiling is not None
        rows = list(zip(used, self._found.used, self.ceiling, strict=True))
        used_s = max(((now - then) / ceiling for now, then, ceiling in rows if ceiling), default=0)
        factor = 1 + (1 - CUT) * ((used_s - PLATEAU_S) / PLATEAU_S) ** 3
        return [factor * ceiling or inf for ceiling in self.ceiling]

    def _go_on(self, used: list[float], now: float) -> _Sample:
        last = self._now
        self._now = _Sample(now, last.busy_s + min(now - last.at, self._gap_s), used)
        return self._now

    def _means(self, here: _Sample, demand: Sequence[float]) -> list[float] | None:
        """What calls took a second, as rule 1 has it; None: too few calls."""
        window_s = FIRST_WINDOW_S if self.ceiling is None else WINDOW_S
        start = here.busy_s - window_s
        first = next((each for each in self._samples if each.busy_s >= start), here)
        calls, busy_s = here.used[0] - first.used[0], here.busy_s - first.busy_s
        if calls < LEAST_CALLS or busy_s <= 0:
            return None
        pairs = zip(here.used, first.used, demand, strict=True)
        took = [max(now - then, calls * each) for now, then, each in pairs]
        return [calls / busy_s, *(SLACK * tokens / busy_s for tokens in took[1:])]


def _is_near(means: list[float], ceiling: list[float]) -> bool:
    """Whether they are not far below it."""
    pairs = zip(means, ceiling, strict=True)
    return any(mean > FAR_BELOW * most for mean, most in pairs)
