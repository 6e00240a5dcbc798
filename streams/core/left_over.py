"""Whether only calls that failed before are left: then no other call can tell whose fault it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streams.core.call import Call
from streams.core.seat import Seat
from streams.core.windows import Windows

FAIR_WARNING = 2
"""A microbatch that failed so often says no more about its account than the first of them did."""


def nothing_but(
    rest: Callable[[Call], bool],
    ended: Call,
    retries: Iterable[Call],
    windows: Windows,
    seat: Seat,
) -> bool:
    """Whether only calls like `rest` are left besides one that is over: here, and in flight at the
    account."""
    account = seat.account
    return (
        not windows.count
        and all(rest(retry) for retry in retries)
        and all(each is seat for each in account.line)
        and all(
            each.suspected or each is ended.reservation
            for member in account.seats
            for each in member.reservations
        )
    )


def has_failed(call: Call) -> bool:
    return call.strikes >= FAIR_WARNING


def is_suspected(call: Call) -> bool:
    return call.suspicion is not None and call.suspicion.repeats > 0
