"""The limits per minute that the accounts of one group of models share, and who waits for them.

Rules:
1. A member asks here last: when neither a pause nor its account's calls in flight stop it.
2. Who must wait stands in line, over all accounts; only the one whose turn it is (`line.py`) is
   told a time, the others wait until it has gone (inf).
3. What a response says may let the first go earlier: it is woken, and asks again.
4. A member leaves the line when it has nothing to call, or something else stops it.
5. Other workers of the group may share the limits (`streams.worker.limit_shares`): they are told
   what was used here and what calls wait for, and `give` says what part is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Protocol

from streams.core.line import Line
from streams.errors import CallError
from streams.model import RateLimits
from streams.policies.demand import KINDS, Demand, Grant, Use
from streams.policies.rate import Rate


class Waiting(Protocol):
    """A member, as the line sees it. `priority`: the higher goes first."""

    priority: int

    def wake(self) -> None: ...


class RateLine:
    """`rate`: the limits. `name`: the same in each worker; "": those of a function. `line`: who
    waits."""

    def __init__(self, rate: Rate, name: str = "") -> None:
        self.rate = rate
        self.name = name
        self.line: Line[Waiting] = Line()

    def reserve(self, member: Waiting, demand: Demand, now: float) -> Grant | float:
        """The right to start a call now; or the time to ask again, and the member is in line."""
        line = self.line
        if len(line) and line.turns(member)[0] is not member:
            line.stand(member)
            return inf
        answer = self.rate.reserve(demand, now)
        if isinstance(answer, float):
            line.stand(member)
        elif len(line):
            line.serve(member)
            self._wake_first(member)
        return answer

    def give(self, parts: Sequence[float], now: float) -> None:
        """What part of each limit is ours from now on (`Rate.give`)."""
        self.rate.give(parts, now)
        self._wake_first()

    def use(self, now: float) -> list[Use]:
        """`Rate.use`; a limit that somebody waits for counts as waited for, however long ago it
        asked."""
        used, binding = self.rate.use(now), self.rate.binding
        return [
            use._replace(waits=use.waits or (kind == binding and len(self.line) > 0))
            for kind, use in zip(KINDS, used, strict=True)
        ]

    def leave(self, member: Waiting) -> None:
        """It does not wait here, or does no longer."""
        if member in self.line:
            self.line.leave(member)
            self._wake_first(member)

    def answered(
        self,
        member: Waiting,
        grant: Grant,
        took: Demand,
        limits: RateLimits | None,
        now: float,
    ) -> None:
        """A call is over, and took so much. `member`: it looks again by itself."""
        self.rate.correct(grant, took, now)
        self.rate.learn(limits, grant, now)
        self._wake_first(member)

    def refused(self, member: Waiting, grant: Grant, error: CallError, now: float) -> bool:
        """The API refused a call for its limits; whether those per minute are known to be meant."""
        is_for_rate = self.rate.refused(
            grant, error.retry_after_s, now, says_limits=error.rate_limits is not None
        )
        self.rate.learn(error.rate_limits, grant, now)
        self._wake_first(member)
        return is_for_rate

    def _wake_first(self, handled: Waiting | None = None) -> None:
        if len(self.line) and (first := self.line.turns()[0]) is not handled:
            first.wake()
