"""One account of an API (provider, base_url, key, model): which of the engines that share it makes
the next call. When calls may start at all is in `pauses.py`.

Each engine is a member and has a `Seat`. Rules:
1. `reserve` grants a call, or names the time to ask again; inf: only an event can tell that time.
2. A member that asks and must wait stands in line, and the next call is that of the first in line.
   So members take turns, with probes too. While others are in line nobody ramps up beyond an equal
   share. Who has nothing to call, may not call for reasons of its own, or leaves, is not in line.
3. The account calls `wake` once when a member that waits may ask earlier than it was told, and when
   the pause that it announced is over. It does not wake the member whose event is being handled:
   that one looks again by itself. `wake` returns before its engine handles anything.
4. What a member says of a call after it has left counts no more.
5. While calls flow nobody is to be woken: the event that let them flow again woke everybody who
   waited. So a call that is granted and answered then, as most are, looks at no other member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from streams.core.account_statistics import AccountStatistics
from streams.core.evidence import Evidence
from streams.core.pauses import Pause, Pauses
from streams.errors import CallError
from streams.model import RateLimits
from streams.policies.retry import Backoff, Cause


@dataclass(slots=True, eq=False)
class Reservation:
    """The right to make one call. `number`: counts the account's calls from 1. `tokens`: estimate.
    `in_pause`: whether the account was paused when it was granted. `suspected`: whether its items
    failed before while others were answered."""

    number: int
    tokens: int
    in_pause: bool
    suspected: bool = False


class Account:
    """`backoff`: of pauses for outages and throttling; `account_backoff`: for account refusals.
    `random`: draws from [0, 1)."""

    def __init__(
        self, backoff: Backoff, account_backoff: Backoff, random: Callable[[], float]
    ) -> None:
        self.pauses = Pauses(backoff, account_backoff, random)
        self.evidence = Evidence()
        self.seats: list[Seat] = []
        self.line: dict[Seat, None] = {}  # an ordered set
        self.probe: Reservation | None = None
        self.calls = 0  # also the number of the last one
        self.rate_limits: RateLimits | None = None

    def join(self, max_in_flight: int, wake: Callable[[], None]) -> Seat:
        """A new member, which has at most `max_in_flight` calls in flight."""
        seat = Seat(self, max_in_flight, wake)
        self.seats.append(seat)
        return seat

    @property
    def pause(self) -> Pause | None:
        """The pause that ends last; None: calls may flow."""
        return self.pauses.current

    @property
    def in_flight(self) -> int:
        return sum(len(seat.reservations) for seat in self.seats)

    @property
    def max_in_flight(self) -> int:
        """What its members allow themselves, together."""
        return sum(seat.max_in_flight for seat in self.seats)

    def statistics(self) -> AccountStatistics:
        pause, ramp = self.pause, self.pauses.ramp
        return AccountStatistics(
            members=len(self.seats),
            in_line=len(self.line),
            in_flight=self.in_flight,
            reserved_tokens=sum(seat.reserved_tokens for seat in self.seats),
            ramp=None if ramp == inf else int(ramp),
            calls=self.calls,
            answers=self.evidence.answers,
            paused_reason=None if pause is None else pause.cause.value,
            paused_until=None if pause is None else pause.until,
            paused_message="" if pause is None else pause.message,
            probing=self.probe is not None,
            rate_limits=self.rate_limits,
        )

    def opens_at(self, seat: Seat) -> float:
        """From when on the member's next call may start; inf: only an event can tell."""
        if self.pauses.is_flowing:
            return -inf
        pause, ramp = self.pauses.current, self.pauses.ramp
        line = [*self.line] if seat in self.line else [*self.line, seat]
        ahead = line.index(seat)
        if pause is not None:
            return inf if ahead or self.probe is not None else pause.until
        fair = not ahead or len(seat.reservations) < ramp / len(line)
        if (fair and self.in_flight + ahead < ramp) or self._bypasses(seat, line):
            return -inf
        return inf

    def _bypasses(self, seat: Seat, line: list[Seat]) -> bool:
        """Whether it is the first whose own calls leave it a place, where all places are taken by
        calls that began before the ramp-up: those may be slow, and one more does no harm."""
        ramp, ramp_from = self.pauses.ramp, self.pauses.ramp_from
        if next((each for each in line if len(each.reservations) < ramp), None) is not seat:
            return False
        begun = (each for member in self.seats for each in member.reservations)
        return all(each.number <= ramp_from for each in begun)

    def grant(self, seat: Seat, tokens: int) -> Reservation:
        self.calls += 1
        reservation = Reservation(self.calls, tokens, self.pauses.current is not None)
        if reservation.in_pause:
            self.probe = reservation
        seat.reservations.add(reservation)
        if seat in self.line:
            del self.line[seat]
            self.wake_others(seat)
        return reservation

    def wake_others(self, handled: Seat) -> None:
        """Wakes whoever has news; `handled` looks again by itself."""
        for seat in self.seats:
            if seat is not handled and seat.has_news:
                seat.asks_at, seat.announced_pause = None, False
                seat.wake()


class Seat:
    """One member's place. `reservations`: of its calls in flight. `asks_at`: when it is to ask
    again, where the account makes it wait. `announced_pause`: whether it is to hear of the pause's
    end."""

    def __init__(self, account: Account, max_in_flight: int, wake: Callable[[], None]) -> None:
        self.account = account
        self.max_in_flight = max_in_flight
        self.wake = wake
        self.reservations: set[Reservation] = set()
        self.asks_at: float | None = None
        self.announced_pause = False
        self.has_left = False

    @property
    def reserved_tokens(self) -> int:
        return sum(reservation.tokens for reservation in self.reservations)

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
            account.line.pop(self, None)
            account.seats.remove(self)
            account.pauses.limit_ramp(account.pauses.ramp, account.max_in_flight)
            account.wake_others(self)

    def resize(self, max_in_flight: int) -> None:
        """The member allows itself so many calls in flight from now on."""
        self.max_in_flight = max_in_flight
        account = self.account
        if not self.has_left and not account.pauses.is_flowing:
            account.pauses.limit_ramp(account.pauses.ramp, account.max_in_flight)
            account.wake_others(self)

    # -- before a call ---------------------------------------------------------------------------

    def reserve(self, tokens: int, now: float) -> Reservation | float:
        """The right to start a call now; or the time to ask again, and the member is in line."""
        account = self.account
        if self.has_left or not account.pauses.is_flowing:
            opens_at = self.opens_at
            if opens_at > now:
                self._stand_in_line(opens_at)
                return opens_at
        self.asks_at = None
        return account.grant(self, tokens)

    def _stand_in_line(self, asks_at: float) -> None:
        if not self.has_left:
            self.account.line.setdefault(self)
            self.asks_at = asks_at

    def withdraw(self) -> None:
        """It has nothing to call now, or may not for reasons of its own."""
        self.asks_at = None
        line = self.account.line
        if line and self in line:
            del line[self]
            self.account.wake_others(self)

    def next_at(self, due_at: float) -> float:
        """When to ask for a call that is due at `due_at`; inf: when it is woken, or after an event
        of its own. Where only others can tell, it asks when the call is due, to be in line then."""
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

    def learn(self, rate_limits: RateLimits | None) -> None:
        """What a response said about the account's limits."""
        if rate_limits is not None:
            self.account.rate_limits = rate_limits

    def is_probe(self, reservation: Reservation) -> bool:
        """Whether the account waits for this call of the member."""
        return self.account.probe is reservation and self.holds(reservation)

    def holds(self, reservation: Reservation) -> bool:
        """Whether the call counts in flight."""
        return reservation in self.reservations
