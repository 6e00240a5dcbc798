"""An API with limits and a client that uses them up, in simulated time: no clock, no I/O.

The API has the buckets of the real one: a request and its input are taken when a call comes, output
when it is answered; it refuses (429, `retry-after` in whole seconds) what it lacks, tells
`remaining` tokens in thousands, and serves another program beside us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import ceil, floor, inf
from random import Random
from typing import Literal

from streams.model import Quota, RateLimits
from streams.policies.concurrency import Concurrency
from streams.policies.demand import Demand, Grant, PerMinute
from streams.policies.rate import Rate

Limits = tuple[float, float, float]
MINUTE_LIMITS: Limits = (1_000, 2_000_000, 400_000)

NOT_CONFIGURED = PerMinute()

SHORT_TEXT = Demand(1, 1_000, 200)
"""Requests bind."""


class ApiBucket:
    def __init__(self, per_minute: float, burst_s: float) -> None:
        self.burst_s, self.at = burst_s, 0.0
        self.per_minute = per_minute
        self.level = self.capacity

    @property
    def capacity(self) -> float:
        return max(1.0, self.per_minute * self.burst_s / 60)

    def advance(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now


@dataclass
class Api:
    """`burst_s`: of its buckets. `headers_of`: the moment that `remaining` is of. `sharp`: more
    than so many times the calls of the mean second of the last five in one second, and more than
    five, are refused; inf: never. `at_once`: more calls in flight are refused without
    headers."""

    limits: Limits = MINUTE_LIMITS
    burst_s: float = 60.0
    headers_of: Literal["call", "answer"] = "answer"
    sharp: float = inf
    at_once: float = inf
    says_limits: bool = True
    in_flight: int = 0
    started: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buckets = [ApiBucket(limit, self.burst_s) for limit in self.limits]

    def change(self, factor: float, now: float) -> None:
        for bucket, limit in zip(self.buckets, self.limits, strict=True):
            bucket.advance(now)
            bucket.per_minute = limit * factor

    def come(self, demand: Demand, now: float) -> float | None:
        """A call comes: the seconds of `retry-after` if it is refused."""
        for bucket in self.buckets:
            bucket.advance(now)
        wait_s = 0.0
        needs = (1.0, demand.input_tokens, 1.0)
        for bucket, amount in zip(self.buckets, needs, strict=True):
            if bucket.level < amount:
                wait_s = max(wait_s, (amount - bucket.level) * 60 / bucket.per_minute, 0.001)
        if self.in_flight >= self.at_once or self._is_sharp(now):
            wait_s = max(wait_s, 0.001)
        if wait_s:
            return float(ceil(wait_s))
        self.started.append(now)
        self.in_flight += 1
        self.buckets[0].level -= 1
        self.buckets[1].level -= demand.input_tokens
        return None

    def _is_sharp(self, now: float) -> bool:
        if self.sharp == inf:
            return False
        recent = [at for at in self.started if at > now - 6]
        last = sum(at > now - 1 for at in recent)
        return last > max(5, self.sharp * (len(recent) - last) / 5)

    def answer(self, demand: Demand, now: float) -> None:
        for bucket in self.buckets:
            bucket.advance(now)
        self.in_flight -= 1
        self.buckets[2].level -= demand.output_tokens

    def headers(self, now: float) -> RateLimits | None:
        if not self.says_limits:
            return None
        quotas = []
        for bucket, rounded_to in zip(self.buckets, (1, 1000, 1000), strict=True):
            bucket.advance(now)
            remaining = max(0, floor(bucket.level))
            if rounded_to > 1:
                remaining = round(remaining / rounded_to) * rounded_to
            reset_s = ceil((bucket.capacity - bucket.level) * 60 / bucket.per_minute)
            quotas.append(Quota(int(bucket.per_minute), remaining, reset_s))
        return RateLimits(*quotas)


@dataclass
class Course:
    """What happened: when calls were answered with what, refused; the cap at each moment."""

    answered: list[tuple[float, Demand]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    caps: list[tuple[float, int]] = field(default_factory=list)

    def used(self, field_: int, start: float, end: float) -> float:
        """Of one limit, per minute, by calls that started in that time."""
        amount = sum(took[field_] for at, took in self.answered if start <= at < end)
        return 60 * amount / (end - start)

    def refused_share(self, start: float, end: float) -> float:
        refused = sum(start <= at < end for at in self.refused)
        answered = sum(start <= at < end for at, _ in self.answered)
        return refused / max(1, refused + answered)


@dataclass
class Client:
    """Calls as soon as it may, up to `max_in_flight` at once, without end.

    `typical`: what its calls take; each takes that times a draw from `spread`. `guess`: how far its
    estimates are off. `latency_s`: of a call, times the same spread. `way_s`: from here to the API.
    `other`: of each limit, what another program takes. `at`: what happens at a time.
    """

    api: Api
    random: Random
    typical: Demand = SHORT_TEXT
    guess: float = 1.0
    latency_s: float = 1.0
    way_s: float = 0.03
    spread: tuple[float, float] = (0.6, 1.4)
    max_in_flight: int = 200
    configured: PerMinute = NOT_CONFIGURED
    limit_share: float = 1.0
    other: float = 0.0
    at: dict[float, Callable[[float], None]] = field(default_factory=dict)

    def run(self, until: float) -> Course:
        self.course = Course()
        self.rate = Rate(
            self.configured,
            0.0,
            limit_share=self.limit_share,
            says_limits=self.api.says_limits,
        )
        self.cap = Concurrency(self.max_in_flight)
        self.tie, self.begun, self.in_flight, self.asks_at = count(), 0, 0, 0.0
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        for at, happens in self.at.items():
            self._later(at, happens)
        if self.other:
            self._later(0.0, self._other)
        self._later(0.0, self._start)
        while self.events and self.events[0][0] < until:
            now, _, happens = heappop(self.events)
            happens(now)
        return self.course

    def _later(self, at: float, happens: Callable[[float], None]) -> None:
        heappush(self.events, (at, next(self.tie), happens))

    def _other(self, now: float) -> None:
        """Another program: paced, and it does not retry."""
        demand = Demand(*self.typical)
        if self.api.come(demand, now) is None:
            self._later(now + self.latency_s, lambda then: self.api.answer(demand, then))
        fits = min(
            b.per_minute / amount for b, amount in zip(self.api.buckets, demand, strict=True)
        )
        self._later(now + 60 / (fits * self.other) * self.random.uniform(0.5, 1.5), self._other)

    def _start(self, now: float) -> None:
        """Starts what may start; asks again when it was told to."""
        estimate = Demand(1, *(amount * self.guess for amount in self.typical[1:]))
        while self.in_flight < self.cap.limit:
            grant = self.rate.reserve(estimate, now)
            if isinstance(grant, float):
                assert grant > now
                if grant < inf and not now < self.asks_at <= grant:
                    self.asks_at = grant
                    self._later(grant, self._start)
                return
            self.in_flight += 1
            self.begun = grant.number
            self._call(grant, now)

    def _call(self, grant: Grant, now: float) -> None:
        draw = self.random.uniform(*self.spread)
        took = Demand(1, *(round(amount * draw) for amount in self.typical[1:]))
        self._later(now + self.way_s, lambda then: self._comes(grant, took, draw, then))

    def _comes(self, grant: Grant, took: Demand, draw: float, now: float) -> None:
        wait_s = self.api.come(took, now)
        headers = self.api.headers(now)
        if wait_s is None:
            end = now + self.latency_s * draw
            self._later(end, lambda then: self._answers(grant, took, headers, then))
        else:
            self._later(now + self.way_s, lambda then: self._refuses(grant, wait_s, headers, then))

    def _answers(self, grant: Grant, took: Demand, headers: RateLimits | None, now: float) -> None:
        self.api.answer(took, now)
        said = headers if self.api.headers_of == "call" else self.api.headers(now)
        self._later(now + self.way_s, lambda then: self._hears(grant, took, said, then))

    def _hears(self, grant: Grant, took: Demand, said: RateLimits | None, now: float) -> None:
        self.course.answered.append((grant.started_at, took))
        self.rate.correct(grant, took, now)
        self.rate.learn(said, grant, now)
        self.cap.succeeded(self.in_flight, now)
        self._ends(now)

    def _refuses(self, grant: Grant, wait_s: float, headers: RateLimits | None, now: float) -> None:
        self.course.refused.append(now)
        # Where the API does not say how long, the account pauses by itself, half a second at first.
        says = headers is not None
        is_for_rate = self.rate.refused(grant, wait_s if says else 0.5, now, says_limits=says)
        self.rate.learn(headers, grant, now)
        if not says:
            call = grant.number, self.begun, self.in_flight, now
            self.cap.refused(*call, is_for_rate=is_for_rate)
        self._ends(now)

    def _ends(self, now: float) -> None:
        self.in_flight -= 1
        self.course.caps.append((now, self.cap.limit))
        self._start(now)
