"""When a live replay may call: live traffic of the same account goes first. Pure.

    ends of the source, commits of the live group ─► LiveTraffic.age_s ─┐
    limits that the account reports ─► Remaining.share ─────────────────┴─► decide ─► Tenth ─► Way

An age instead of a count: with steady traffic something is always in flight, and that is not
waiting. Only what is older than an undisturbed item ever gets waits for something, and that may be
us.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import ceil, inf
from typing import NamedTuple

from streams.model import Quota, RateLimits

RESERVE = 0.2
"""The part of each limit that a replay leaves to live traffic without a `--share`: a burst that
arrives is called at once."""

CALL_FACTOR = 1.5
"""A call may take so many times the mean, and nothing is wrong."""

FIRST_CALL_S = 1.0
"""The assumed time of a call before the first one."""

TENTH = 0.1
"""The part of the time that a replay has while it must wait: it is never starved."""

STRETCH_S = 1.0
"""It has it in stretches of so long: long enough for full microbatches, and rare enough that a hold
of a few seconds is a hold."""

MAX_LOOK_S = 3.0
"""A look counts as no longer than that: one that hung earns no burst."""

MAX_SEEN = 1000
"""Ends that are remembered for each partition; of later ones the oldest age counts."""


class Way(NamedTuple):
    """`hold`: no new microbatch begins. `max_in_flight`: at most so many calls. `why`: for people;
    "" where nothing holds it."""

    hold: bool
    max_in_flight: int
    why: str = ""


class LiveTraffic:
    """How long the oldest item has waited that the live group has not committed.

    Told at each look where the source ends and what is committed. When an end was first seen is
    when its last record came, at the latest; what waits at the first look is taken for old.
    """

    def __init__(self) -> None:
        self._seen: dict[int, deque[tuple[float, int]]] = {}

    def observe(self, now: float, ends: Mapping[int, int], commits: Mapping[int, int]) -> None:
        """`ends`, `commits`: by partition; one without a commit is not read by the group yet, and
        nothing of it waits."""
        for partition, end in ends.items():
            committed = commits.get(partition, end)
            seen = self._seen.setdefault(partition, deque())
            if not seen:
                seen.append((-inf, end))
            elif end > seen[-1][1]:
                since = seen.pop()[0] if len(seen) >= MAX_SEEN else now
                seen.append((since, end))
            while len(seen) > 1 and seen[0][1] <= committed:  # the last one tells what is new
                seen.popleft()

    def age_s(self, now: float, commits: Mapping[int, int]) -> float:
        """0: the group has committed everything."""
        waiting = [
            seen[0][0]
            for partition, seen in self._seen.items()
            if seen and seen[0][1] > commits.get(partition, seen[0][1])
        ]
        return now - min(waiting) if waiting else 0.0


class Remaining:
    """What is left of the account's limits. The API says so in its replies; between them a limit
    fills up by a sixtieth of itself a second."""

    def __init__(self) -> None:
        self._limits: RateLimits | None = None
        self._at = 0.0

    def learn(self, limits: RateLimits | None, now: float) -> None:
        if limits is not None and limits is not self._limits:
            self._limits, self._at = limits, now

    def share(self, now: float) -> float:
        """Of the limit of which least is left, 0 to 1; 1 where nothing is known."""
        if self._limits is None:
            return 1.0
        return min((_share(quota, now - self._at) for quota in self._limits), default=1.0)


def _share(quota: Quota | None, elapsed_s: float) -> float:
    """A limit may hold less than a minute's worth: it is full when its `reset_s` is over."""
    if quota is None or not quota.limit or quota.remaining is None:
        return 1.0
    a_second = quota.limit / 60
    full = quota.limit if quota.reset_s is None else quota.remaining + quota.reset_s * a_second
    return 1.0 if full <= 0 else min(1.0, (quota.remaining + elapsed_s * a_second) / full)


def undisturbed_s(
    max_wait_s: float, commit_interval_s: float, mean_call_s: float | None, poll_s: float
) -> float:
    """What an item of the live task takes from its arrival to its commit when nobody is in its way,
    as this sees it, on the high side."""
    call_s = FIRST_CALL_S if mean_call_s is None else mean_call_s
    return max_wait_s + commit_interval_s + CALL_FACTOR * call_s + 2 * poll_s


def decide(
    *,
    share: float | None,
    max_in_flight: int,
    age_s: float | None,
    undisturbed_s: float,
    remaining: float,
) -> Way:
    """`share`: what the user gives the replay at any time; None: what live traffic leaves. `age_s`:
    None where no live group runs. `remaining`: see `Remaining.share`."""
    if share is not None:
        limit = max(1, ceil(share * max_in_flight))
        over = remaining < 1 - share
        return Way(over, limit, "its share of the limits is used" if over else "")
    if age_s is None:
        return Way(False, max_in_flight)
    if age_s > undisturbed_s:
        return Way(True, max_in_flight, "live traffic goes first")
    if remaining < RESERVE:
        return Way(True, max_in_flight, "the rest of the limits is for live traffic")
    return Way(False, max_in_flight)


class Tenth:
    """Lets a replay go for a tenth of the time in which it must wait.

        waits ── its credit has reached a stretch ──► goes all the same ── it is used up ──► waits

    Each look earns a tenth of its time, and going spends it. What passes beyond the credit before a
    look ends the stretch is a debt. Going freely spends it, too, and leaves no debt: the next hold
    holds at once.
    """

    def __init__(self) -> None:
        self._credit_s = 0.0
        self._looked_at: float | None = None
        self._goes_freely = False
        self.goes_all_the_same = False
        """Since the last look, though a hold is asked for."""

    def apply(self, way: Way, now: float) -> Way:
        """What holds until the next look. `way`: what `decide` says."""
        self._count(now)
        goes_on = self.goes_all_the_same and self._credit_s > 0
        self.goes_all_the_same = way.hold and (goes_on or self._credit_s >= STRETCH_S)
        self._goes_freely = not way.hold
        if not self.goes_all_the_same:
            return way
        return Way(False, way.max_in_flight, f"{way.why}, but one second in ten is the replay's")

    def _count(self, now: float) -> None:
        look_s = 0.0 if self._looked_at is None else min(now - self._looked_at, MAX_LOOK_S)
        self._looked_at = now
        goes = self._goes_freely or self.goes_all_the_same
        credit_s = self._credit_s + TENTH * look_s - (look_s if goes else 0.0)
        self._credit_s = min(STRETCH_S, max(0.0, credit_s) if self._goes_freely else credit_s)
