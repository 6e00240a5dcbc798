"""When the task as a whole may not call, and how it finds out that it may again.

    flowing ──a fault──► paused ──until is over──► probing ──answered──► ramping up ──► flowing
                            ▲                         │
                            └──────── it failed ──────┘

- One pause per cause; the task may call when the last of them is over.
- A call that began before the pause neither prolongs its back-off (five calls that fail together
  are one failure) nor, except for an outage, ends it. A longer `retry_after_s` always counts; a
  shorter one never shortens the pause.
- After the pause exactly one call is admitted. Its answer ends every pause; its failure makes the
  next wait longer.
- Then calls ramp up: two at a time, doubling with each answer, until `max_in_flight`.
- The breaker's pause is ended by a probe that gives a result, never by a refusal. Its probes take a
  single new item each, so that what fails costs one dead letter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from streams.core.call import Call
from streams.core.events import Paused, Resumed
from streams.core.limits import Limits
from streams.errors import CallError, ItemError
from streams.policies.breaker import Breaker
from streams.policies.retry import Cause, requested_wait_s

RETRY_AFTER_JITTER_S = 0.25
"""At most this much is added to a `retry_after_s`, so that workers do not come back in step."""

MAX_PAUSE_S = 3600.0
"""A task is probed once an hour even if it was told to wait longer: a mistaken header must not stop
it for good."""


@dataclass(slots=True)
class Pause:
    """`number`: the last call that had begun when it began or was prolonged. `failures`: in a row,
    the first one included."""

    cause: Cause
    until: float
    message: str
    number: int
    failures: int = 1


class Pauses:
    def __init__(self, limits: Limits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random
        self._breaker = None if limits.breaker is None else Breaker(limits.breaker)
        self._pauses: dict[Cause, Pause] = {}
        self._probe: Call | None = None
        self._last = 0  # the number of the last call that began
        self._ramp = limits.max_in_flight
        self._announced_pause: Paused | None = None  # the last that no Resumed followed

    @property
    def current(self) -> Pause | None:
        """The pause that ends last; None: calls may flow."""
        if not self._pauses:
            return None
        return max(self._pauses.values(), key=lambda pause: pause.until)

    @property
    def opens_at(self) -> float:
        """From when on calls may start; inf: not before something is heard of the probe."""
        if not self._pauses:
            return -inf
        if self._probe is not None:
            return inf
        return max(pause.until for pause in self._pauses.values())

    @property
    def limit(self) -> int:
        """How many calls may be in flight now that calls may start."""
        return self._limits.max_in_flight if self._pauses else self._ramp

    @property
    def probing(self) -> bool:
        """Whether the next call to start is a probe."""
        return bool(self._pauses)

    @property
    def new_items_limit(self) -> int:
        """How many items a new microbatch may have now."""
        return 1 if Cause.BREAKER in self._pauses else self._limits.max_items

    def say(self) -> Paused | Resumed | None:
        """What is new since it was last asked, which is once per event: a pause that began or
        changed, or that all ended (and none began in its stead)."""
        pause = self.current
        if pause is None:
            if self._announced_pause is None:
                return None
            self._announced_pause = self._probe = None
            self._ramp = min(self._limits.max_in_flight, 2)
            return Resumed()
        said = Paused(pause.cause.value, pause.until, pause.message)
        if said == self._announced_pause:
            return None
        self._announced_pause = said
        return said

    def is_probe(self, call: Call) -> bool:
        return call is self._probe

    def started(self, call: Call) -> None:
        self._last = call.number
        if self._pauses:
            self._probe = call

    def ended(self, call: Call) -> None:
        """A call is over, whatever came of it (say first what did)."""
        if call is self._probe:
            self._probe = None

    def answered(self, call: Call, now: float, *, result: bool) -> None:
        """The API took a call and answered it, if only with a refusal of what it holds; `result`:
        whether an item got a result by it."""
        if self._ramp < self._limits.max_in_flight:
            self._ramp = min(self._limits.max_in_flight, self._ramp * 2)
        if not self._pauses:
            return
        for cause, pause in list(self._pauses.items()):
            if cause is Cause.BREAKER and not result:
                if call is self._probe:
                    self._prolong(pause, now)
            elif call.number > pause.number or cause is Cause.OUTAGE:
                del self._pauses[cause]

    def failed(self, call: Call, cause: Cause, error: CallError, now: float) -> None:
        """A call failed so that the task pauses."""
        pause = self._pauses.get(cause)
        if pause is None:
            until = now + self._wait_s(cause, 1, error.retry_after_s)
            self._pauses[cause] = Pause(cause, until, error.message, self._last)
            return
        if call.number > pause.number:
            pause.failures += 1
        elif error.retry_after_s is None:
            return
        until = now + self._wait_s(cause, pause.failures, error.retry_after_s)
        if until > pause.until:
            pause.until, pause.message, pause.number = until, error.message, self._last

    def prolong(self, call: Call, now: float) -> None:
        """The probe failed in a way of its own (a timeout): that ends no pause."""
        pause = self.current
        if call is self._probe and pause is not None:
            self._prolong(pause, now)

    def asked_to_wait(self, call: Call, error: CallError, now: float) -> None:
        """A function raised `Retry`. That is no pause, but while the breaker probes, the items
        behind the probe would be tried one upon the other, each by itself."""
        pause = self._pauses.get(Cause.BREAKER)
        if call is self._probe and pause is not None:
            pause.until = max(pause.until, now + (requested_wait_s(error.retry_after_s) or 0.0))

    def decided(self, results: int, dead_letters: Sequence[ItemError], now: float) -> None:
        """How many items a call gave a result, and its dead letters. Pauses the task where there
        are too many of them; what calls decide during that pause is not counted."""
        breaker = self._breaker
        if breaker is None or Cause.BREAKER in self._pauses:
            return
        said = breaker.decided(results, len(dead_letters))
        if said is not None:
            if dead_letters:
                said += f", the last: {dead_letters[-1]}"
            until = now + self._wait_s(Cause.BREAKER, breaker.trips, None)
            pause = Pause(Cause.BREAKER, until, said, self._last, breaker.trips)
            self._pauses[Cause.BREAKER] = pause

    def _prolong(self, pause: Pause, now: float) -> None:
        pause.failures += 1
        pause.until = max(pause.until, now + self._wait_s(pause.cause, pause.failures, None))
        pause.number = self._last

    def _wait_s(self, cause: Cause, failures: int, retry_after_s: float | None) -> float:
        account = cause is Cause.ACCOUNT
        backoff = self._limits.account_backoff if account else self._limits.backoff
        told = requested_wait_s(retry_after_s)
        if told is not None:
            # "0", said again after a probe that did wait, is not taken at its word.
            least = backoff.base_s if failures > 1 else 0.0
            return min(MAX_PAUSE_S, max(told, least) + RETRY_AFTER_JITTER_S * self._random())
        if account:
            return backoff.ceiling_s(failures)
        return backoff.equal_jitter_s(failures, self._random())
