"""How many items a microbatch has at most, between 1 and the configured number.

    a sign that it was too large      x 0.75, and that size is the ceiling for ten minutes
    10 full microbatches without one  +1, to just below the ceiling; after the ten minutes to what
                                      is configured

Rules:
1. The signs: see `Sign`. Each counts once: calls that had begun before a cut say nothing of the new
   size, nor do those of fewer items than a cut would leave.
2. A cut is a trial where its cause need not be the size: items that are never answered, an API that
   is slow whatever it is asked. If the next ten replies are no better, it is taken back, and that
   sign counts no more for ten minutes.
3. Small microbatches are answered sooner and better; but where calls can start, a window closes
   after `max_wait_s` with what there is, so nothing need be done for that here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import Final

CUT: Final = 0.75
GROW_AFTER: Final = 10
REMEMBERED_S: Final = 600.0
LEAST_LEFT_OUT: Final = 0.1
COMPARED: Final = 10
"""So many replies tell whether a cut helped."""


class Sign(Enum):
    """What a reply says about the size of its microbatch."""

    FINE = "fine"
    UNUSABLE = "it was cut, or could not be read"
    LEFT_OUT = "it left out a tenth of the items or more"
    SLOW = "it took longer than half of what a call may take"


BETTER: Final[Mapping[Sign, float]] = {Sign.LEFT_OUT: 2 / 3, Sign.SLOW: 0.9}
"""To what part a cut has to bring the share of items left out, or the time."""


class _Trial:
    """A cut that is to prove itself: the size before, and what was measured there."""

    def __init__(self, size: float, sign: Sign, measure: float) -> None:
        self.size = size
        self.sign = sign
        self.measure = measure


class BatchSize:
    """`limit`: so many items at most, now. ValueError: `configured` below 1."""

    def __init__(self, configured: int) -> None:
        if configured < 1:
            raise ValueError(f"a microbatch has at least 1 item, not {configured}")
        self._configured = configured
        self._size = float(configured)
        self.limit = configured
        self._ceiling = inf
        self._ceiling_until = -inf
        self._begun_at_cut = 0
        self._fine = 0
        self._replies = 0  # since the latest cut; and of the latest of them, the means of
        self._part = self._took_s = 0.0  # left out, and how long they took
        self._trial: _Trial | None = None
        self._deaf_until = dict.fromkeys(Sign, -inf)

    def resize(self, configured: int) -> None:
        """Another configured number; what was cut grows from there."""
        was_all = self.limit == self._configured
        self._configured = max(1, configured)
        self._resize(float(configured) if was_all else self._size)

    def ended(
        self,
        number: int,
        begun: int,
        items: int,
        left_out: int,
        took_s: float,
        sign: Sign,
        now: float,
    ) -> None:
        """Call `number` of so many items has ended, with `left_out` of them not answered; `begun`:
        the number of the last call that has begun. `sign`: what else it says."""
        if number <= self._begun_at_cut or items < CUT * self.limit:
            return
        self._measure(left_out / items, took_s)
        if sign is Sign.FINE and left_out >= max(1.0, LEAST_LEFT_OUT * items):
            sign = Sign.LEFT_OUT
        if self._trial is not None and self._replies >= COMPARED:
            self._judge(self._trial, now)
        if sign is Sign.FINE or now < self._deaf_until[sign]:
            if items >= self.limit:
                self._grow(now)
        elif self.limit > 1:
            self._cut(begun, sign, now)

    def _measure(self, part: float, took_s: float) -> None:
        self._replies = replies = self._replies + 1
        share = 1 / replies if replies < COMPARED else 1 / COMPARED
        self._part += share * (part - self._part)
        self._took_s += share * (took_s - self._took_s)

    def _mean(self, sign: Sign) -> float:
        return self._took_s if sign is Sign.SLOW else self._part

    def _cut(self, begun: int, sign: Sign, now: float) -> None:
        before = float(self.limit)
        if sign in BETTER and self._trial is None:
            self._trial = _Trial(before, sign, self._mean(sign))
        self._ceiling, self._ceiling_until = before, now + REMEMBERED_S
        self._resize(CUT * before)
        self._begun_at_cut, self._fine, self._replies = begun, 0, 0

    def _judge(self, trial: _Trial, now: float) -> None:
        """Did the cut help?"""
        self._trial = None
        if self._mean(trial.sign) > BETTER[trial.sign] * trial.measure:
            self._ceiling = inf
            self._resize(trial.size)
            self._deaf_until[trial.sign] = now + REMEMBERED_S

    def _grow(self, now: float) -> None:
        self._fine += 1
        if self._fine >= GROW_AFTER and self.limit < self._configured:
            self._fine = 0
            bound = self._ceiling - 1 if now < self._ceiling_until else inf
            self._resize(max(self._size, min(self.limit + 1.0, bound)))

    def _resize(self, size: float) -> None:
        self._size = max(1.0, min(size, float(self._configured)))
        self.limit = int(self._size)
