"""One engine's place at its account: what it asks before a call, and says after it.

The rules are those of `account.py`. A call's response is learned from before its end is told.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from streams.core.account import Account
from streams.core.limits import Limits
from streams.core.reservation import Reservation
from streams.core.waits import Waits
from streams.errors import CallError, Fault
from streams.model import RateLimits
from streams.policies.demand import Demand
from streams.policies.retry import Cause

OVERLOADED = 529
NOTHING = Demand(0.0, 0.0, 0.0)


class Seat:
    """One member's place. `adaptive`: whether it keeps to what the API takes at once; False: to
    its own bound. `priority`: the higher goes first where members wait. `reservations`: of its
    calls in flight. `asks_at`: when it is to ask again, where the account makes it wait; `rate_at`:
    the same where the limits per minute do. `announced_pause`: whether it is to hear of the pause's
    end. `waits`: how long its calls waited, and for what."""

    def __init__(
        self,
        account: Account,
        limits: Limits,
        wake: Callable[[], None],
    ) -> None:
        self.account = account
        self.max_in_flight = limits.max_in_flight
        self.wake = wake
        self.adaptive = limits.adaptive
        self.priority = limits.priority
        self.reservations: set[Reservation] = set()
        self.asks_at: float | None = None
        self.rate_at: float | None = None
        self.announced_pause = False
        self.has_left = False
        self.waits = Waits()
        account.seats.append(self)
        account.bound_calls()

    @property
    def reserved_tokens(self) -> float:
        """Input tokens of its calls in flight, by estimate."""
        return sum(reservation.demand.input_tokens for reservation in self.reservations)

    @property
    def opens_at(self) -> float:
        """From when on its next call may start as things stand; inf: only an event can tell."""
        return inf if self.has_left else self.account.opens_at(self)

    @property
    def has_news(self) -> bool:
        """Whether it may ask earlier than it was told, or the pause that it announced is over."""
        if self.announced_pause and self.account.pause is None:
            return True
        return self.asks_at is not None and self.opens_at < self.asks_at

    def leave(self) -> None:
        """The member makes no more calls, and what becomes of those in flight counts no more."""
        if not self.has_left:
            account = self.account
            if account.probe is not None and self.is_probe(account.probe):
                account.probe = None
            self.has_left = True
            self.reservations.clear()
            account.line.leave(self)
            self._leave_rate_line()
            account.seats.remove(self)
            account.bound_calls()
            account.pauses.limit_ramp(account.pauses.ramp, account.max_in_flight)
            account.wake_others(self)

    def resize(self, max_in_flight: int) -> None:
        """The member allows itself so many calls in flight from now on."""
        self.max_in_flight = max_in_flight
        account = self.account
        if not self.has_left:
            account.bound_calls()
        if not self.has_left and not account.pauses.is_flowing:
            account.pauses.limit_ramp(account.pauses.ramp, account.max_in_flight)
            account.wake_others(self)

    # -- before a call ---------------------------------------------------------------------------

    def reserve(self, demand: Demand, now: float) -> Reservation | float:
        """The right to start a call now, which takes this much by estimate; or the time to ask
        again, and the member is in line."""
        account = self.account
        if self.has_left or not account.pauses.is_flowing:
            opens_at = self.opens_at
            if opens_at > now:
                self._leave_rate_line()
                self._stand_in_line(opens_at)
                self.waits.begin(account.held_by, now)
                return opens_at
        grant = None
        if account.rates is not None:
            answer = account.rates.reserve(self, demand, now)
            if isinstance(answer, float):
                self.asks_at, self.rate_at = None, answer
                self.waits.begin(account.rates.rate.held_by(now), now)
                return answer
            grant = answer
        self.asks_at = self.rate_at = None
        self.waits.end(now)
        return account.admit(self, demand, grant)

    def amend(self, reservation: Reservation, demand: Demand) -> None:
        """What the call takes by a better estimate: its items are known now."""
        reservation.demand = demand
        if self.account.rates is not None and reservation.grant is not None:
            self.account.rates.rate.amend(reservation.grant, demand)

    def _leave_rate_line(self) -> None:
        if self.rate_at is not None and self.account.rates is not None:
            self.rate_at = None
            self.account.rates.leave(self)

    def _stand_in_line(self, asks_at: float) -> None:
        if not self.has_left:
            self.account.line.stand(self)
            self.asks_at = asks_at

    def withdraw(self, now: float) -> None:
        """It has nothing to call now, or may not for reasons of its own."""
        self.asks_at = None
        self.waits.end(now)
        self._leave_rate_line()
        line = self.account.line
        if self in line:
            line.leave(self)
            self.account.wake_others(self)

    def next_at(self, due_at: float) -> float:
        """When to ask for a call that is due at `due_at`; inf: when it is woken, or after an event
        of its own. Where only others can tell, it asks when the call is due, to be in line then."""
        if self.rate_at is not None:
            return max(due_at, self.rate_at)
        opens_at = self.opens_at
        self.asks_at = None
        if opens_at <= due_at:
            return due_at
        if opens_at == inf and not self.has_left and not self._waits_for_itself():
            return due_at
        self.asks_at = opens_at
        return opens_at

    def _waits_for_itself(self) -> bool:
        """Whether an event of its own comes before it can ask; or it is in line already."""
        account = self.account
        if self in account.line:
            return True
        if account.pause is not None:
            return account.probe is not None and self.is_probe(account.probe)
        return len(self.reservations) == account.in_flight > 0

    # -- after a call: each reservation ends by exactly one of these -----------------------------

    def succeeded(self, reservation: Reservation, now: float) -> None:
        """The API answered with a reply."""
        if self.has_left:
            return
        account = self.account
        account.evidence.answered(reservation.number, now)
        if account.pauses.cap < inf and account.concurrency is not None:
            account.concurrency.succeeded(account.in_flight, now)
            account.bound_calls()
        if account.pauses.is_flowing:
            self.reservations.remove(reservation)  # and wakes nobody: rule 5
        else:
            self.answered(reservation)

    def answered(self, reservation: Reservation) -> None:
        """The API took the call and answered it, if only with a refusal of what is in it."""
        account = self.account
        if not self.has_left and not account.pauses.is_flowing:
            account.pauses.answered(reservation.number, account.max_in_flight, account.calls)
            if account.pause is None:
                account.probe = None
        self.ended(reservation)

    def failed(self, reservation: Reservation, cause: Cause, error: CallError, now: float) -> None:
        """The call failed in a way that pauses the account."""
        account = self.account
        if not self.has_left:
            account.pauses.failed(reservation.number, cause, error, now, account.calls)
        self.ended(reservation)

    def timed_out(self, reservation: Reservation, now: float) -> None:
        """The call failed in a way of its own; if it was the probe, the pause goes on."""
        if self.is_probe(reservation):
            self.account.pauses.probe_failed(now, self.account.calls)
        self.ended(reservation)

    def ended(self, reservation: Reservation) -> None:
        """The call is over, and says nothing about the account."""
        if not self.has_left:
            if self.is_probe(reservation):
                self.account.probe = None
            self.reservations.remove(reservation)
            self.account.wake_others(self)

    # -- what a response says, before the end of its call ----------------------------------------

    def learn(
        self, reservation: Reservation, took: Demand, rate_limits: RateLimits | None, now: float
    ) -> None:
        """A call took so much, and its response says this about the account's limits."""
        account = self.account
        if rate_limits is not None:
            account.rate_limits = rate_limits
        if account.rates is not None and reservation.grant is not None and not self.has_left:
            account.rates.answered(self, reservation.grant, took, rate_limits, now)

    def learn_failure(
        self, reservation: Reservation, error: CallError, took: Demand, now: float
    ) -> None:
        """The same of a call that failed."""
        account, grant = self.account, reservation.grant
        is_for_rate = False
        is_refused = error.fault is Fault.THROTTLED
        if not is_refused or error.status == OVERLOADED or grant is None or self.has_left:
            self.learn(reservation, NOTHING if is_refused else took, error.rate_limits, now)
        elif account.rates is not None:
            account.rate_limits = error.rate_limits or account.rate_limits
            is_for_rate = account.rates.refused(self, grant, error, now)
        if not self.has_left:
            account.cut(reservation, error, now, is_for_rate=is_for_rate)

    def is_probe(self, reservation: Reservation) -> bool:
        """Whether the account waits for this call of the member."""
        return self.account.probe is reservation and self.holds(reservation)

    def holds(self, reservation: Reservation) -> bool:
        """Whether the call counts in flight."""
        return reservation in self.reservations
