"""When an account may be called: what a fault brings about, and what ends it.

    flowing ──a fault──► paused ──until is over──► probing ──answered──► ramping up ──► flowing
                            ▲                         │
                            └──────── it failed ──────┘

Rules, over all calls of the account, which are numbered in the order they begin:
1. One pause per cause; calls may start when the last of them is over.
2. A call that began before the pause neither prolongs its back-off (five calls that fail together
   are one failure) nor, except for an outage, ends it. A longer `retry_after_s` always counts; a
   shorter one never shortens the pause.
3. After the pause exactly one call starts, the probe. Its answer ends every pause; its failure
   makes the next wait longer. An answer to an older call may end an outage before that.
4. Then calls ramp up: two at a time, doubling with each answer, until that limits no member.
   Calls that began before count, too; but those of one member, which may be slow, do not keep
   the others from every call (`account.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from streams.errors import CallError
from streams.policies.retry import MAX_WAIT_S, Backoff, Cause, requested_wait_s

RETRY_AFTER_JITTER_S = 0.25
"""At most this much is added to a `retry_after_s`, so that workers do not come back in step."""

RAMP_START = 2

THROTTLED_CAP_S = 4.0
"""A limit is over from one second to the next, and one refused call in four seconds harms nobody:
so that calls go on within five seconds of that."""

QUICK_PROBES = 6
"""So many probes after a refusal of the account follow each other as after an outage, half a minute
in all: it may have been one item that was refused, and every other would wait for it."""


@dataclass(slots=True)
class Pause:
    """`number`: the last call that had begun when it began or was prolonged. `failures`: in a row,
    the first one included."""

    cause: Cause
    until: float
    message: str
    number: int
    failures: int = 1

    def prolong(self, until: float, number: int) -> None:
        """A probe failed: wait again, and longer."""
        self.until = max(self.until, until)
        self.number = number


class Pauses:
    """`backoff`: of outages and throttling; `account_backoff`: of account refusals. `random`: draws
    from [0, 1). `current`: the pause that ends last; None: no pause. `ramp`: calls in flight while
    they ramp up; inf: any number. `ramp_from`: the last call that had begun when that began.
    `cap`: calls in flight that the API takes at once; inf: as many as the members want.
    `is_flowing`: neither pauses nor ramps up, nor does the cap limit anybody."""

    def __init__(
        self, backoff: Backoff, account_backoff: Backoff, random: Callable[[], float]
    ) -> None:
        self._backoff = backoff
        self._account_backoff = account_backoff
        self._random = random
        self._by_cause: dict[Cause, Pause] = {}
        self.current: Pause | None = None
        self.ramp = inf
        self.ramp_from = 0
        self.cap = inf
        self.is_flowing = True

    @property
    def limit(self) -> float:
        """So many calls in flight at most; inf: any number."""
        return min(self.ramp, self.cap)

    def failed(self, number: int, cause: Cause, error: CallError, now: float, last: int) -> None:
        """Call `number` failed; `last`: the number of the last call that has begun."""
        pause = self._by_cause.get(cause)
        if pause is None:
            until = now + self._wait_s(cause, 1, error.retry_after_s)
            self._by_cause[cause] = Pause(cause, until, error.message, last)
        elif number > pause.number or error.retry_after_s is not None:
            pause.failures += number > pause.number
            until = now + self._wait_s(cause, pause.failures, error.retry_after_s)
            if until > pause.until:
                pause.until, pause.message, pause.number = until, error.message, last
        self._choose()

    def probe_failed(self, now: float, last: int) -> None:
        """The probe failed in a way of its own (a timeout): that ends no pause."""
        pause = self.current
        if pause is not None:
            pause.failures += 1
            pause.prolong(now + self._wait_s(pause.cause, pause.failures, None), last)
            self._choose()

    def answered(self, number: int, max_in_flight: int, last: int) -> None:
        """Call `number` was answered; `last` as above. `max_in_flight`: of all members together."""
        if self.current is None:
            self.limit_ramp(self.ramp * 2, max_in_flight)
            return
        for cause, pause in list(self._by_cause.items()):
            if number > pause.number or cause is Cause.OUTAGE:
                del self._by_cause[cause]
        self._choose()
        if not self._by_cause:
            self.limit_ramp(RAMP_START, max_in_flight)
            self.ramp_from = last

    def _choose(self) -> None:
        pauses = self._by_cause.values()
        self.current = max(pauses, key=lambda pause: pause.until, default=None)
        self.is_flowing = self.current is None and self.limit == inf

    def limit_ramp(self, calls: float, max_in_flight: int) -> None:
        """So many calls in flight from now on, unless that limits nobody."""
        self.ramp = calls if calls < max_in_flight else inf
        self.is_flowing = self.current is None and self.limit == inf

    def bound(self, cap: float, max_in_flight: int) -> None:
        """The API takes so many calls at once."""
        self.cap = cap if cap < max_in_flight else inf
        self.is_flowing = self.current is None and self.limit == inf

    def _wait_s(self, cause: Cause, failures: int, retry_after_s: float | None) -> float:
        draw = self._random()
        requested_s = requested_wait_s(retry_after_s)
        if requested_s is None:
            return probe_wait_s(cause, failures, self._backoff, self._account_backoff, draw)
        # A second "0", after a probe that did wait, is not believed.
        least_s = self._backoff.base_s if failures > 1 else 0.0
        return min(MAX_WAIT_S, max(requested_s, least_s) + RETRY_AFTER_JITTER_S * draw)


def probe_wait_s(
    cause: Cause, failures: int, backoff: Backoff, account_backoff: Backoff, draw: float
) -> float:
    """How long a pause waits for its next probe after so many failures in a row. `draw`: a random
    number in [0, 1)."""
    if cause is Cause.THROTTLED:
        return min(THROTTLED_CAP_S, backoff.equal_jitter_s(failures, draw))
    if cause is Cause.ACCOUNT and failures > QUICK_PROBES:
        return account_backoff.ceiling_s(failures - QUICK_PROBES)
    return backoff.equal_jitter_s(failures, draw)
