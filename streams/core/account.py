"""One account of an API (provider, base_url, key, model): which of the engines that share it makes
the next call. When calls may start at all is in `pauses.py`; what the limits per minute allow, in
`rate_line.py`.

Each engine is a member and has a `Seat` (`seat.py`). Rules:
1. `reserve` grants a call, or names the time to ask again; inf: only an event can tell that time.
2. A member that asks and must wait stands in line, and the next call is that of the member whose
   turn it is (`line.py`). Equals take turns; and so do all with probes, whatever their priority, or
   the items of one alone would judge the API. While others are in line nobody ramps up beyond an
   equal share, but the first. Who has nothing to call, may not call for reasons of its own, or
   leaves, is not in line.
3. The account calls `wake` once when a member that waits may ask earlier than it was told, and when
   the pause that it announced is over. It does not wake the member whose event is being handled:
   that one looks again by itself. `wake` returns before its engine handles anything. Who waits for
   the limits per minute is woken when it may ask, which need not be when it may call.
4. What a member says of a call after it has left counts no more.
5. While calls flow nobody is to be woken: the event that let them flow again woke everybody who
   waited. So a call that is granted and answered then, as most are, looks at no other member.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from streams.core.account_statistics import AccountStatistics
from streams.core.evidence import Evidence
from streams.core.line import Line
from streams.core.pauses import Pause, Pauses
from streams.core.rate_line import RateLine, Waiting
from streams.core.reservation import Reservation
from streams.errors import CallError, Fault
from streams.model import RateLimits
from streams.policies.concurrency import Concurrency
from streams.policies.demand import Demand, Grant
from streams.policies.retry import Backoff


class Member(Waiting, Protocol):
    """An engine, as the account sees it (`seat.py`)."""

    max_in_flight: int
    adaptive: bool
    reservations: set[Reservation]
    asks_at: float | None
    announced_pause: bool

    @property
    def reserved_tokens(self) -> float: ...
    @property
    def has_news(self) -> bool: ...


class Account:
    """`backoff`: of pauses for outages and throttling; `account_backoff`: for account refusals.
    `random`: draws from [0, 1). `rates`: its limits per minute; None: it has none. `adapts`:
    whether it finds out how many calls at once its API takes; False: its members' bounds hold."""

    def __init__(
        self,
        backoff: Backoff,
        account_backoff: Backoff,
        random: Callable[[], float],
        *,
        rates: RateLine | None = None,
        adapts: bool = False,
    ) -> None:
        self.rates = rates
        self.concurrency = Concurrency(1) if adapts else None
        self.pauses = Pauses(backoff, account_backoff, random)
        self.evidence = Evidence()
        self.seats: list[Member] = []
        self.line: Line[Member] = Line()
        self.probe: Reservation | None = None
        self.calls = 0  # also the number of the last one
        self.rate_limits: RateLimits | None = None

    def bound_calls(self) -> None:
        """As many calls at once as its members allow, or as its API takes."""
        if self.concurrency is not None:
            self.concurrency.resize(max(1, self.max_in_flight))
            self.pauses.bound(self.concurrency.limit, self.max_in_flight)

    @property
    def pause(self) -> Pause | None:
        """The pause that ends last; None: calls may flow."""
        return self.pauses.current

    @property
    def held_by(self) -> str:
        """What stops a member that may not call now."""
        return "in_flight" if self.pause is None else self.pause.cause.value

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

    def opens_at(self, seat: Member) -> float:
        """From when on the member's next call may start; inf: only an event can tell."""
        if self.pauses.is_flowing:
            return -inf
        pause = self.pauses.current
        ramp = self.pauses.limit if seat.adaptive else self.pauses.ramp
        if pause is not None:
            is_first = next(iter(self.line), seat) is seat
            return pause.until if is_first and self.probe is None else inf
        line = self.line.turns(seat)
        ahead = line.index(seat)
        fair = not ahead or len(seat.reservations) < ramp / len(line)
        if (fair and self.in_flight + ahead < ramp) or self._bypasses(seat, line):
            return -inf
        return inf

    def _bypasses(self, seat: Member, line: list[Member]) -> bool:
        """Whether it is the first whose own calls leave it a place, where all places are taken by
        calls that began before the ramp-up: those may be slow, and one more does no harm."""
        ramp, ramp_from = self.pauses.limit, self.pauses.ramp_from
        if next((each for each in line if len(each.reservations) < ramp), None) is not seat:
            return False
        begun = (each for member in self.seats for each in member.reservations)
        return all(each.number <= ramp_from for each in begun)

    def admit(self, seat: Member, demand: Demand, grant: Grant | None) -> Reservation:
        self.calls += 1
        reservation = Reservation(self.calls, demand, grant, self.pauses.current is not None)
        if reservation.in_pause:
            self.probe = reservation
        seat.reservations.add(reservation)
        if len(self.line):
            self.line.serve(seat)
            self.wake_others(seat)
        return reservation

    def cut(
        self, reservation: Reservation, error: CallError, now: float, *, is_for_rate: bool
    ) -> None:
        """What a failure says about how many calls at once the API takes. `is_for_rate`: too many
        calls a minute explain it."""
        cap = self.concurrency
        if cap is None:
            return
        call = (reservation.number, self.calls, self.in_flight, now)
        if error.fault is Fault.TIMEOUT:
            has_changed = cap.timed_out(*call)
        elif error.fault is Fault.THROTTLED and error.rate_limits is None:
            has_changed = cap.refused(*call, is_for_rate=is_for_rate)
        else:
            return
        if has_changed:
            self.bound_calls()

    def wake_others(self, handled: Member) -> None:
        """Wakes whoever has news; `handled` looks again by itself."""
        for seat in self.seats:
            if seat is not handled and seat.has_news:
                seat.asks_at, seat.announced_pause = None, False
                seat.wake()
