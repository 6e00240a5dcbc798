"""The right to make one call, as an account gives it."""

from __future__ import annotations

from dataclasses import dataclass

from streams.policies.demand import Demand, Grant


@dataclass(slots=True, eq=False)
class Reservation:
    """`number`: counts the account's calls from 1. `demand`: what the call takes, by estimate.
    `grant`: of its limits per minute; None: the account has none. `in_pause`: whether the account
    was paused when it was granted. `suspected`: whether its items failed before while others were
    answered."""

    number: int
    demand: Demand
    grant: Grant | None
    in_pause: bool
    suspected: bool = False
