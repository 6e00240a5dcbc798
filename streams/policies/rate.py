"""When an account's next call may start by the API's limits: requests, input and output tokens.

    reserve(demand, now) ──► Grant ──call──► correct(grant, what it took, now), learn(headers, ..)
            │                           └──► refused(grant, retry_after_s, now), learn(headers, ..)
            └──► the time to ask again

Rules:
1. A call starts when every bucket has what it is expected to take (`streams.policies.bucket`). It
   waits here before the API would refuse it, and whoever waits holds no slot.
2. Slow start: a tenth of the limits, doubling each `DOUBLING_S` of full use until all of them are
   used; with little use it grows as much less. APIs refuse sharp increases. A limit that rises is
   approached the same way. It is never slower than one call a second where the limits allow that.
   The very first call waits for nothing.
3. A refusal while it grows halves the pace, which then grows four times slower: the first signal.
4. While the account is stopped, and after `IDLE_S` without a call, the pace falls as fast as it
   would have grown. So a second's pause costs little, and a long one ends in a slow start.
5. Calls that began before a refusal and are refused too are one refusal; a later time to come back
   always counts. From nothing at that time, levels fill up: what waited does not come all at once.
6. Where nothing is configured and the API says its limits, `FIRST_CALLS` start and their first
   response is waited for: the time to ask again is inf, since only an event can tell it.
7. Reads of the prompt cache are no input here: `correct` is told what counts against the limits.
8. At full pace the buckets are looked at every `LOOK_S` alone, and whenever they may not have
   enough. In between only sums are kept, and what responses say is passed by: at thousands of calls
   a second all say the same.
9. Where the API never says its limits, its refusals do (`found_limit.py`).
10. Workers of a group share the limits (`limit_parts.py`). A part that grows is approached as a
    limit that rises is.

Accounts whose models share limits share one `Rate` (`streams.core.rate_line`). A call that failed
in another way, or was cancelled, took what it reserved, as far as we know: the API began it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log
from typing import Final

from streams.model import RateLimits
from streams.policies.bucket import Bucket
from streams.policies.demand import KINDS, Demand, Grant, PerMinute, Use
from streams.policies.found_limit import FoundLimit
from streams.policies.look_sums import Sums
from streams.policies.retry import MAX_WAIT_S, requested_wait_s

SLOW_START: Final = 0.1
DOUBLING_S: Final = 2.0
AFTER_SIGNAL: Final = 4.0
"""So many times slower after the first refusal."""
IDLE_S: Final = 30.0
CALLS_PER_S: Final = 1.0
"""The slow start is never slower."""
FIRST_CALLS: Final = 5
LOOK_S: Final = 0.01
CALL_SHARE: Final = 0.1
"""Weight of the latest call in the mean time of calls."""


class Rate:
    """The limits of one account and group of models.

    `limit_share`: above 0, at most 1: the rest of the limits stays free for others. `says_limits`:
    whether the API's responses have headers that say them. `binding`: the
    limit that the latest question waited for, one of `KINDS`; None: it waited for none. `pace`: the
    part of the limits that the slow start allows. `ValueError`: a limit or the share is out of
    range.
    """

    def __init__(
        self,
        configured: PerMinute,
        now: float,
        *,
        limit_share: float = 1.0,
        says_limits: bool = True,
    ) -> None:
        if not 0 < limit_share <= 1:
            raise ValueError(f"limit_share must be above 0 and at most 1, not {limit_share}")
        for kind, limit in zip(KINDS, configured, strict=True):
            if limit is not None and not limit > 0:
                raise ValueError(f"{kind} must be above 0, not {limit}")
        self.pace = SLOW_START
        self.binding: str | None = None
        self.blocked_until = -inf
        self._doubling_s = DOUBLING_S
        self._granted_at = now
        self._least_pace = 0.0
        self._call_s = 0.0
        self._is_blind = says_limits and None in configured
        self._calls = self._calls_at_refusal = 0
        self._sums = Sums()
        self._look_at = -inf
        self._found: FoundLimit | None = FoundLimit()
        self._waits = dict.fromkeys(KINDS, False)
        self._buckets = tuple(
            Bucket(limit, now, share=limit_share, **kind._asdict())
            for limit, kind in zip(configured, KINDS.values(), strict=True)
        )

    @property
    def per_minute(self) -> PerMinute:
        """Our limits now; None: not known, or none."""
        return PerMinute(*[60 * b.per_s if b.per_s < inf else None for b in self._buckets])

    def held_by(self, now: float) -> str:
        """What the latest question waited for."""
        return self.binding or ("retry_after" if now < self.blocked_until else "first_replies")

    def restrict(self, configured: PerMinute, share: float, now: float) -> None:
        """Further limits, and a further share: of each the lower one counts from now on."""
        self._advance(now)
        for bucket, limit in zip(self._buckets, configured, strict=True):
            bucket.restrict(limit, share)
        self._is_blind = self._is_blind and any(each.per_s == inf for each in self._buckets)

    def reserve(self, demand: Demand, now: float) -> Grant | float:
        """The right to start a call now, which takes this much by estimate; or the time to ask
        again, later than now: asking then is granted unless something happened meanwhile."""
        if now < self._look_at and self._sums.fits(demand):
            self._calls += 1
            return Grant(self._calls, demand, now, None)
        at = self.ready_at(demand, now)
        if at > now:
            if self.binding is not None:
                self._waits[self.binding] = True
            return at
        worth_s = self._worth_s(demand)
        grown = self.pace + worth_s * log(2) / self._doubling_s
        self.pace = min(1.0, 2 * self.pace, grown)
        if self.pace == 1.0:
            self._doubling_s = DOUBLING_S
        for bucket, amount in zip(self._buckets, demand, strict=True):
            bucket.take(amount)
        self._granted_at = now
        self._calls += 1
        if self._found is not None:
            self._found.began(self._used, now)
        if self.pace == 1.0:
            self._look_at = now + LOOK_S
            self._sums.room = [each.room(self._call_s) for each in self._buckets]
        return Grant(self._calls, demand, now, tuple(each.path for each in self._buckets))

    def give(self, parts: Sequence[float], now: float) -> None:
        """The parts of the limits that are ours, by kind, each above 0 and at most 1."""
        self._advance(now)
        pairs = zip(self._buckets, parts, strict=True)
        grown = max(bucket.give(part) for bucket, part in pairs)
        if grown > 1:
            self.pace = max(SLOW_START, self.pace / grown)

    def use(self, now: float) -> list[Use]:
        """What calls have used, by kind, and whether one had to wait since the latest such question
        was asked."""
        self._advance(now)
        waits, self._waits = self._waits, dict.fromkeys(KINDS, False)
        pairs = zip(self._buckets, waits.values(), strict=True)
        return [Use(bucket.used, waited, bucket.whole_per_s) for bucket, waited in pairs]

    def _hear(self) -> None:
        """Tells the buckets what the sums hold; they are at full pace no longer, until a look."""
        if self._look_at > -inf:
            sums, self._sums, self._look_at = self._sums, Sums(), -inf
            rows = zip(self._buckets, sums.started, sums.expected, sums.took, strict=True)
            for bucket, began, expected, took in rows:
                bucket.take(began)
                bucket.settle(expected, took)

    def ready_at(self, demand: Demand, now: float) -> float:
        """The same question, without taking anything; -inf: now."""
        if self._is_blind and self._calls >= FIRST_CALLS:
            return inf
        self._slow_down(now - self._granted_at - IDLE_S, now)
        self._advance(now)
        self._least_pace = min(1.0, self._worth_s(demand) * CALLS_PER_S)
        pace = max(self.pace, self._least_pace)
        at = self.blocked_until if now < self.blocked_until else -inf
        self.binding = None
        if not self._calls:
            return at  # the first call waits for nothing, and its successors for what it took
        for kind, bucket, amount in zip(KINDS, self._buckets, demand, strict=True):
            ready_at = bucket.ready_at(amount, now, pace, self._call_s)
            if ready_at > at:
                at, self.binding = ready_at, kind
        return at

    def amend(self, grant: Grant, demand: Demand) -> None:
        """What the call will take by a better estimate, just after its `reserve`."""
        before, grant.demand = grant.demand, demand
        if grant.paths is None:
            self._sums.amend(before, demand)
            return
        for bucket, amount, earlier in zip(self._buckets, demand, before, strict=True):
            bucket.take(amount - earlier)
        grant.paths = tuple(each.path for each in self._buckets)

    def correct(self, grant: Grant, took: Demand | None, now: float) -> None:
        """The call is over and took this much; None: nothing, since it was refused or never sent.
        Before `learn` of the same response."""
        self._is_blind = False
        if took is not None and grant.paths is None and now < self._look_at:
            self._sums.correct(grant.demand, took)
            return
        self._advance(now)
        if took is not None:
            self._call_s += CALL_SHARE * (now - grant.started_at - self._call_s)
        took = Demand(0, 0, 0) if took is None else took
        for bucket, amount, expected in zip(self._buckets, took, grant.demand, strict=True):
            bucket.settle(expected, amount)

    def learn(self, limits: RateLimits | None, grant: Grant, now: float) -> None:
        """What the headers of a reply or of a refusal say; `grant`: of its call."""
        if limits is None or grant.paths is None:
            return
        self._advance(now)
        if self._found is not None and any(limits):
            self._found = None
            for bucket in self._buckets:
                bucket.bound(inf)
        rose = 1.0
        for bucket, quota, path in zip(self._buckets, limits, grant.paths, strict=True):
            if quota is not None:
                rose = max(rose, bucket.learn(quota, path, grant.started_at, now))
        if rose > 1:
            self.pace = max(SLOW_START, self.pace / rose)

    def refused(
        self, grant: Grant, retry_after_s: float | None, now: float, *, says_limits: bool = True
    ) -> bool:
        """The API refused the call by a 429: it took nothing, and nobody starts one before
        `retry_after_s` is over (None: the API does not say). `says_limits`: whether that refusal
        does. Whether the rate of calls is known to be the reason."""
        self.correct(grant, None, now)
        until = now + min(MAX_WAIT_S, requested_wait_s(retry_after_s) or 0.0)
        begins = grant.number > self._calls_at_refusal
        if begins:
            self._calls_at_refusal = self._calls
            if self.pace < 1:
                self.pace, self._doubling_s = self.pace / 2, DOUBLING_S * AFTER_SIGNAL
        is_for_rate = says_limits or self._find(grant, now, begins=begins)
        if not begins and until <= self.blocked_until:
            return is_for_rate
        self._slow_down(until - max(now, self.blocked_until), now)
        self.blocked_until = max(self.blocked_until, until)
        self._granted_at = max(self._granted_at, self.blocked_until)
        for bucket in self._buckets:
            bucket.empty(self.blocked_until)
        return is_for_rate

    def _find(self, grant: Grant, now: float, *, begins: bool) -> bool:
        """A refusal that says no limit may show one, if it `begins` a burst; as `refused`."""
        found = self._found
        if found is None:
            return False
        if not begins:
            found.refused_too(grant.demand, grant.started_at)
            return False
        is_first = found.ceiling is None
        is_for_rate = found.refused(self._used, grant.demand, now)
        if is_first and is_for_rate:
            self.pace = 1.0  # calls went as fast until now
        self._bound(found)
        return is_for_rate

    def _bound(self, found: FoundLimit) -> None:
        if found.ceiling is not None:
            for bucket, per_s in zip(self._buckets, found.per_s(self._used), strict=True):
                bucket.bound(per_s)

    @property
    def _used(self) -> list[float]:
        return [bucket.used for bucket in self._buckets]

    def _advance(self, now: float) -> None:
        self._hear()
        if self._found is not None:
            self._bound(self._found)
        pace = max(self.pace, self._least_pace)
        for bucket in self._buckets:
            bucket.advance(now, pace)

    def _slow_down(self, stopped_s: float, now: float) -> None:
        """The pace falls with the time without calls, down to a slow start."""
        if stopped_s > 0:
            self.pace = max(SLOW_START, self.pace * 0.5 ** (stopped_s / DOUBLING_S))
            self._granted_at = max(self._granted_at, now - IDLE_S)

    def _worth_s(self, demand: Demand) -> float:
        """How many seconds of the tightest limit such a call takes."""
        requests, inputs, outputs = self._buckets
        return max(
            demand.requests / requests.per_s,
            demand.input_tokens / inputs.per_s,
            demand.output_tokens / outputs.per_s,
        )
