"""When an engine may call as far as it alone decides: the pause of its breaker.

The breaker judges the answers of one task, so its pause is the engine's own; those of the account
are in `pauses.py`. An account refusal that only this task gets (of its schema, say), while others
are answered, pauses it in the same way. What the breaker and the account have in common:
- A call that starts while either pauses is a probe; the breaker admits one at a time.
- Only a probe that gives a result ends the breaker's pause, never a refusal. Its probes take a
  single new item each, so that a failure costs one dead letter.
- Then the engine's calls ramp up: two at a time, doubling with each answer.
- The engine announces the pause that ends last, and that all are over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from streams.core.call import Call
from streams.core.events import Paused, Resumed
from streams.core.limits import Limits
from streams.core.pauses import RAMP_START, Pause, probe_wait_s
from streams.core.reservation import Reservation
from streams.core.seat import Seat
from streams.errors import CallError, ItemError
from streams.policies.breaker import Breaker
from streams.policies.retry import Cause, Step, requested_wait_s

WHOLE_PROBES = 2
"""After so many failures in a row a probe takes a single new item."""


class TaskPause:
    """`seat`: the engine's place at its account."""

    def __init__(self, limits: Limits, random: Callable[[], float], seat: Seat) -> None:
        self._limits = limits
        self._random = random
        self._seat = seat
        self._shared = seat.account.pauses
        self._breaker = None if limits.breaker is None else Breaker(limits.breaker)
        self._pause: Pause | None = None
        self._probe: Call | None = None
        self._last = 0  # the number of the engine's last call that began
        self._ramp = limits.max_in_flight
        self._announced: Paused | None = None  # the last that no Resumed followed
        self.answers = 0  # to the engine's calls, so far

    @property
    def is_flowing(self) -> bool:
        """Whether `max_in_flight` alone limits the engine's calls, and nothing is to be announced;
        then only its own events say when its next call is due."""
        return (
            self._shared.is_flowing
            and self._pause is None
            and self._announced is None
            and self._ramp == self._limits.max_in_flight
            and not self._seat.has_left
        )

    @property
    def current(self) -> Pause | None:
        """The pause that ends last, the breaker's or the account's; None: calls may flow."""
        own, shared = self._pause, self._shared.current
        if own is None or shared is None:
            return own or shared
        return own if own.until > shared.until else shared

    @property
    def opens_at(self) -> float:
        """From when on the breaker lets calls start; inf: not before the probe has ended."""
        if self._pause is None:
            return -inf
        return self._pause.until if self._probe is None else inf

    @property
    def limit(self) -> int:
        """How many calls the engine may have in flight now."""
        paused = self._pause is not None or self._shared.current is not None
        return self._limits.max_in_flight if paused else self._ramp

    @property
    def probing(self) -> bool:
        """Whether the next call to start is a probe."""
        return self.current is not None

    @property
    def new_items_limit(self) -> int:
        """How many items a new microbatch may have now. A probe for the breaker has one; and so has
        any other after some that failed, since bad items among many may have made them fail. Not
        where calls are scarce."""
        pause = self.current
        if self._pause is not None:
            return 1
        is_single = (
            pause is not None
            and pause.failures > WHOLE_PROBES
            and pause.cause is not Cause.THROTTLED
        )
        return 1 if is_single else self._limits.max_items

    def news(self) -> Paused | Resumed | None:
        """What is new since it was last asked, which is once per event: a pause that began or
        changed, or that all ended (and none began in its stead)."""
        pause = self.current
        self._seat.announced_pause = pause is not None and pause is self._shared.current
        if pause is None:
            self._probe = None
            if self._announced is None:
                return None
            self._announced = None
            return Resumed()
        paused = Paused(pause.cause.value, pause.until, pause.message)
        if paused == self._announced:
            return None
        self._announced = paused
        return paused

    def change(self, limits: Limits) -> None:
        """Other limits: a ramp-up goes on to the new number of calls, or ends there."""
        ramps_up = self._ramp < self._limits.max_in_flight
        self._limits = limits
        self._ramp = min(self._ramp, limits.max_in_flight) if ramps_up else limits.max_in_flight

    def is_probe(self, call: Call) -> bool:
        if self._pause is not None and call is self._probe:
            return True
        return self._seat.is_probe(call.reservation)

    def started(self, call: Call) -> None:
        self._last = call.number
        if self._pause is not None or call.reservation.in_pause:
            self._probe = call

    def succeeded(self, call: Call, now: float, *, result: bool) -> None:
        """A call was answered; `result`: whether an item got a result by it."""
        if self._pause is not None or self._ramp < self._limits.max_in_flight:
            self._answered(call, now, result=result)
        self.answers += 1
        self._seat.succeeded(call.reservation, now)
        self._ended(call)

    def failed(
        self,
        call: Call,
        step: Step,
        cause: Cause | None,
        error: CallError,
        now: float,
        *,
        alone: bool,
    ) -> None:
        """A call failed, and `step` follows for its microbatch. `alone`: the account refuses what
        this task calls, and nothing else."""
        reservation = call.reservation
        if alone:
            self._refused(call, error, now)
            self._seat.ended(reservation)
        elif cause is not None:
            self._seat.failed(reservation, cause, error, now)
        elif step in (Step.HALVE, Step.HALVE_THEN_COUNT, Step.ASK):
            self._answered(call, now, result=False)
            self._seat.answered(reservation)
        elif step in (Step.ISOLATE, Step.BACK_OFF):
            if self._pause is not None and call is self._probe:
                self._prolong(self._pause, now)
            self._seat.ended(reservation)
        elif step is Step.COUNT:
            self._timed_out(call, reservation, now)
        else:
            if step is Step.WAIT:
                self._asked_to_wait(call, error, now)
            self._seat.ended(reservation)
        self._ended(call)

    def decided(self, results: int, dead_letters: Sequence[ItemError], now: float) -> None:
        """How many items a call gave a result, and its dead letters. Pauses the task where there
        are too many of them; what calls decide during that pause is not counted."""
        breaker = self._breaker
        if breaker is None or self._pause is not None:
            return
        message = breaker.decided(results, len(dead_letters))
        if message is not None:
            if dead_letters:
                message += f", the last: {dead_letters[-1]}"
            until = now + self._limits.backoff.equal_jitter_s(breaker.trips, self._random())
            self._pause = Pause(Cause.BREAKER, until, message, self._last, breaker.trips)

    def _refused(self, call: Call, error: CallError, now: float) -> None:
        """The account is in order, and refuses what this task calls."""
        if self._pause is None:
            self._pause = Pause(Cause.ACCOUNT, now, error.message, self._last, failures=0)
            self._prolong(self._pause, now)
        elif call is self._probe:
            self._prolong(self._pause, now)

    def _answered(self, call: Call, now: float, *, result: bool) -> None:
        self._ramp = min(self._limits.max_in_flight, self._ramp * 2)
        pause = self._pause
        if pause is None:
            return
        if result and call.number > pause.number:
            self._pause = None
            self._ramp = min(self._limits.max_in_flight, RAMP_START)
        elif not result and call is self._probe:
            self._prolong(pause, now)

    def _timed_out(self, call: Call, reservation: Reservation, now: float) -> None:
        """The probe of both pauses prolongs the one that ends last."""
        pause = self._pause if call is self._probe else None
        if pause is not None and (pause is self.current or not self._seat.is_probe(reservation)):
            self._prolong(pause, now)
            self._seat.ended(reservation)
        else:
            self._seat.timed_out(reservation, now)

    def _asked_to_wait(self, call: Call, error: CallError, now: float) -> None:
        """A function raised `Retry`. That is no pause, but while the breaker probes, the items
        behind the probe would be tried one upon the other, each by itself."""
        if self._pause is not None and call is self._probe:
            wait_s = requested_wait_s(error.retry_after_s) or 0.0
            self._pause.until = max(self._pause.until, now + wait_s)

    def _prolong(self, pause: Pause, now: float) -> None:
        pause.failures += 1
        limits = self._limits
        wait_s = probe_wait_s(
            pause.cause, pause.failures, limits.backoff, limits.account_backoff, self._random()
        )
        pause.prolong(now + wait_s, self._last)

    def _ended(self, call: Call) -> None:
        if call is self._probe:
            self._probe = None
