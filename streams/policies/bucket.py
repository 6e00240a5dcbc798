"""One limit of an API: how much of it a call may take now, or from when on.

Two levels hold, the lower one at each moment:

    level   refills at          at most           says
    ------  ------------------  ----------------  ------------------------------------------------
    `own`   our part x pace     2 s worth         how fast we go: what we count ourselves
    `api`   API's limit less    what `remaining`  what is left there: the API's word, kept up to
            others' use         ever was          date by what we take meanwhile

Rules:
1. A call takes its estimate when it starts, and the difference at its reply. A level may go below
   zero: a call larger than the burst starts when the burst is full, and is paid back. What the API
   charges late (output, as it is generated) leaves its level at the reply; until then it counts
   only where it is more than what refills during a call.
2. `remaining` is a range: tokens are rounded to 1,000, requests to 1 below, and 0 is 0 or less. It
   moves the API's level only from outside the range into it: rounding neither stops nor hurries.
3. `remaining` may be of the moment when the call came, or of that when it was answered: APIs do not
   say. So it is compared with what we believed then and with what we believe now; the comparison
   counts that was closer up to now. The first is "the API's word less what we took since that call
   started, and with what refilled since". Each difference counts once, though all calls under way
   at that time will show it.
4. What moves the API's level beyond our own count is the use of other programs; its rate, averaged
   over `OTHERS_S`, is expected to go on.
5. A margin is left at the API for what others take before we hear of it. It doubles at each
   refusal and shrinks again over `CALM_S`.
6. Other workers of the group have parts of the limit (`limit_parts.py`), which `own` leaves out.
   To the API's level they are other programs. The lower level holds, so they count once.
"""

from __future__ import annotations

from math import exp, inf
from typing import Final

from streams.model import Quota

BURST_S: Final = 2.0
"""So many seconds' worth of a limit may be taken at once."""
FOUND_BURST_S: Final = 1.0
"""The same of a limit that the API never says: nor does it say what may come at once."""
MARGIN_S: Final = 0.25
"""So many seconds' worth of a limit are left at the API."""
CALM_S: Final = 60.0
OTHERS_S: Final = 4.0
MOST_OF_OTHERS: Final = 0.95
"""Of a limit, at most, however much others use: so a level always rises, and nobody starves."""
_DOUBT_SHARE: Final = 0.1
"""Weight of the latest comparison in their mean."""
_ASKED_S: Final = 1e-6
"""A time to ask again is rounded; who asks then must not be told to ask once more."""


class Bucket:
    """`configured`: per minute; None: only the API says. `share`: of the limit that is ours.
    `rounded_to`: of the API's `remaining`. `late`: the API charges at the reply.
    `per_s`: the lowest of what is configured, what the API says, our share and part of it, and what
    was found; inf: none of them, and `own` is inf, too. `part`: of our share, without the workers
    that have the others. `used`: by all calls so far. `others_per_s`: what other programs use. All
    times are seconds of one clock."""

    def __init__(
        self,
        configured: float | None,
        now: float,
        *,
        share: float,
        rounded_to: int = 1,
        late: bool = False,
    ) -> None:
        self._configured = configured
        self._learned: float | None = None
        self._learned_from = -inf
        self._share = share
        self._late = late
        self._bound = inf
        self.part = 1.0
        self.used = 0.0
        self._slack = (0.0, 1.0) if rounded_to == 1 else (rounded_to / 2, rounded_to / 2)
        self._own_at = self._api_at = now
        self._highest = 0.0
        self._margin_s = MARGIN_S
        self._pending = 0.0
        self._shift = 0.0  # of the API's level, by what it said, since the start
        self._doubts = [0.0, 0.0]  # of `remaining` as of the answer, as of the call
        self.api: float | None = None
        self.others_per_s = 0.0
        self.per_s = inf if configured is None else configured * share / 60
        self.own = 0.0 if self.per_s < inf else inf

    def restrict(self, configured: float | None, share: float) -> None:
        """The lower of both limits and shares counts from now on; what is left of it, too."""
        self._configured = min(self._configured or inf, configured or inf)
        self._share = min(self._share, share)
        self._set_pace()
        if self.per_s < inf and self.own == inf:
            self._begin()

    def give(self, part: float) -> float:
        """This part of the limit is ours from now on, above 0. Returns the factor it changed by."""
        before, self.part = self.part, part
        self._set_pace()
        return part / before

    def bound(self, per_s: float) -> None:
        """No more than this is ours from now on; inf: that is not known."""
        self._bound = per_s
        self._set_pace()
        if self.per_s == inf:
            self.own = inf
        elif self.own == inf:
            self.own = 0.0

    def _set_pace(self) -> None:
        self.per_s = min(self._bound, self.whole_per_s * self.part)

    @property
    def whole_per_s(self) -> float:
        """The limit for all workers together."""
        return min(self._configured or inf, self._learned or inf) * self._share / 60

    @property
    def _api_per_s(self) -> float:
        """How fast the API's bucket fills, others' use taken off."""
        per_s = (self._learned or 0.0) / 60
        return per_s - min(self.others_per_s, MOST_OF_OTHERS * per_s)

    @property
    def path(self) -> float:
        """The API's level by our own count alone; a grant remembers it for rule 3."""
        return 0.0 if self.api is None else self.api - self._shift

    def _burst(self, pace: float) -> float:
        burst_s = BURST_S if self._bound == inf else FOUND_BURST_S
        return max(1.0, burst_s * pace * self.per_s)

    def advance(self, now: float, pace: float) -> None:
        """Refills both levels up to now, at this pace (a part of the limit)."""
        if self.per_s < inf and now > self._own_at:
            own = self.own + (now - self._own_at) * pace * self.per_s
            self.own, self._own_at = min(own, self._burst(pace)), now
        if self.api is not None and now > self._api_at:
            passed_s, self._api_at = now - self._api_at, now
            self.api = min(self.api + passed_s * self._api_per_s, self._highest)
            if self._margin_s > MARGIN_S:
                extra_s = (self._margin_s - MARGIN_S) * exp(-passed_s / CALM_S)
                self._margin_s = MARGIN_S + extra_s

    def ready_at(self, amount: float, now: float, pace: float, call_s: float) -> float:
        """From when on a call may take so much; -inf: now. Both levels are up to date. `call_s`:
        how long a call takes."""
        if self.per_s == inf:
            return -inf
        need = min(amount, self._burst(pace))
        at = _full_at(need - self.own, pace * self.per_s, max(now, self._own_at))
        if self.api is not None:
            need = min(amount + self._margin, self._highest) + self._late_amount(call_s)
            at = max(at, _full_at(need - self.api, self._api_per_s, now))
        return at

    def room(self, call_s: float) -> float:
        """What a call may take now in any case, at full pace; both levels are up to date."""
        if self.api is None:
            return self.own
        return min(self.own, self.api - self._margin - self._late_amount(call_s))

    @property
    def _margin(self) -> float:
        """What is left at the API, by rule 5 and for our share."""
        margin_s = max(self._margin_s, (1 - self._share) * BURST_S)
        return min(margin_s * (self._learned or 0.0) / 60, self._highest / 2)

    def _late_amount(self, call_s: float) -> float:
        """What calls under way will take at their reply, by rule 1."""
        return max(0.0, self._pending - self._api_per_s * call_s)

    def take(self, amount: float) -> None:
        """A call starts."""
        self.own -= amount
        self.used += amount
        if self._late:
            self._pending += amount
        elif self.api is not None:
            self.api -= amount

    def settle(self, expected: float, took: float) -> None:
        """A call that was expected to take so much is over."""
        self.own -= took - expected
        self.used += took - expected
        if self._late:
            self._pending -= expected
            if self.api is not None:
                self.api -= took
        elif self.api is not None:
            # As of the call's start: what we believed of moments since then was off by as much.
            self.api -= took - expected
            self._shift -= took - expected

    def learn(self, quota: Quota, path: float, started_at: float, now: float) -> float:
        """What a response says. `path`: ours after its call started. Returns by what factor the
        limit rose; 1.0: it did not."""
        rose = 1.0
        if quota.limit and started_at >= self._learned_from:  # responses overtake each other
            self._learned_from = started_at
            if quota.limit != self._learned:
                rose = self._change(float(quota.limit))
        if quota.remaining is not None and self._learned is not None:
            self._believe(quota.remaining, path, started_at, now)
        return rose

    def _change(self, limit: float) -> float:
        before, self._learned = self.per_s, limit
        self._set_pace()
        self._highest = 0.0
        if before < inf:
            return max(1.0, self.per_s / before)
        self._begin()
        return 1.0

    def _begin(self) -> None:
        """A limit is known from now on: what the first calls took is paid back, and no burst."""
        self.own = -min(self.used, BURST_S * self.per_s)

    def _believe(self, remaining: int, path: float, started_at: float, now: float) -> None:
        below, above = self._slack
        self._highest = max(self._highest, remaining + above)
        if self.api is None:
            self._api_at = max(self._api_at, now)
            self.api = self._shift = float(remaining)
            return
        least, most = remaining - below if remaining else -inf, remaining + above
        beliefs = (self.api, path + self._shift)
        moves = [min(max(belief, least), most) - belief for belief in beliefs]
        for n, move in enumerate(moves):
            self._doubts[n] += _DOUBT_SHARE * (abs(move) - self._doubts[n])
        move = moves[self._doubts[1] < self._doubts[0]]
        self.api += move
        self._shift += move
        others = self.others_per_s - move / max(OTHERS_S, 2 * (now - started_at))
        self.others_per_s = min(max(0.0, others), MOST_OF_OTHERS * (self._learned or 0.0) / 60)

    def empty(self, until: float) -> None:
        """The API refused a call: our level starts from nothing at `until`, the API's from now."""
        self._own_at = max(self._own_at, until)
        if self.per_s < inf:
            self.own = min(self.own, 0.0)
        if self.api is not None and self.api > 0:
            self._shift -= self.api
            self.api = 0.0
        self._margin_s = min(BURST_S, 2 * self._margin_s)


def _full_at(missing: float, per_s: float, now: float) -> float:
    """When a level has what is missing; -inf: it has it."""
    if missing <= per_s * _ASKED_S:
        return -inf
    return now + missing / per_s if per_s > 0 else inf
