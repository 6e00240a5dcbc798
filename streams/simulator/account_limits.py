"""The limits of the one account that the simulator has: who shares them, how they change.

call ─► admit: changes that are due ─► places ─► acceleration ─► buckets of the model's group
     ─► the answer, after its time ─► end: output tokens are taken, the headers are made

Models of a group (`streams.policies.model_groups`) share their buckets, as with the API. Voyage has
no headers; with `limit_headers = "none"` Claude has none either, nor a `retry-after`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from streams.policies.model_groups import model_group
from streams.simulator.acceleration import MESSAGE, Acceleration
from streams.simulator.calls import Call
from streams.simulator.rate_limits import Bucket, Buckets, admit, headers
from streams.simulator.simulator_settings import SimulatorSettings
from streams.simulator.wire import Provider, RefusalError

_FULL: Final[Mapping[Provider, int]] = {"anthropic": 529, "voyage": 429}
"""The status when every place is taken."""


class Group(NamedTuple):
    """Models that share their limits. `unchanged`: the limits as they were set."""

    buckets: Buckets
    unchanged: tuple[int | None, ...]
    acceleration: Acceleration | None


class AccountLimits:
    """All limits of one simulator. Times are seconds of a clock that only goes forward.

    `factor`: what the limits are multiplied with now. `others_share`: what another program takes of
    each.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._groups: dict[str, Group] = {}
        self._changes = deque(sorted(settings.limit_changes))
        self._first_at: float | None = None
        self._open: set[Call] = set()
        self.factor = 1.0
        self.others_share = settings.others_share

    def admit(self, call: Call, model: str, input_tokens: int, now: float, wall: float) -> None:
        """Lets a call through. Raises RefusalError: 429, or 529 where no place is free."""
        self._apply_changes(now)
        group = self._group(call.provider, model, now)
        places = self._settings.max_concurrent
        if places is not None and len(self._open) >= places:
            raise RefusalError(_FULL[call.provider], "Overloaded", limit="concurrency")
        has_headers = call.provider == "anthropic" and self._settings.limit_headers != "none"
        try:
            self._admit_to(group, model, input_tokens, now, wall)
        except RefusalError as refusal:
            if not has_headers:
                refusal.headers = {}
            raise
        self._open.add(call)
        call.buckets = group.buckets
        if has_headers and self._settings.limit_headers == "arrival":
            call.limit_headers = headers(group.buckets, now, wall)

    def end(self, call: Call, now: float, wall: float) -> Mapping[str, str]:
        """The call is over, answered or given up: its output counts, its place is free. Gives the
        headers of its reply. Does nothing the second time."""
        buckets, call.buckets = call.buckets, None
        if buckets is None:
            return {}
        self._apply_changes(now)
        self._open.discard(call)
        if buckets.output_tokens is not None:
            buckets.output_tokens.take(call.output_tokens, now)
        if call.provider == "anthropic" and self._settings.limit_headers == "answer":
            return headers(buckets, now, wall)
        return call.limit_headers

    def change(self, factor: float, others_share: float, now: float) -> None:
        """Other limits from now on, until the next change of the settings is due."""
        self.factor, self.others_share = factor, others_share
        for group in self._groups.values():
            for bucket, limit in zip(group.buckets, group.unchanged, strict=True):
                if bucket is not None and limit is not None:
                    bucket.change(self._changed(limit), others_share, now)

    def state(self, now: float) -> dict[str, Any]:
        """What `GET /simulator/limits` shows: each group's limits per minute, and what is left."""
        self._apply_changes(now)
        return {
            "factor": self.factor,
            "others_share": self.others_share,
            "groups": {
                name: {
                    kind: {"limit": bucket.limit, "level": bucket.level(now)}
                    for kind, bucket in group.buckets._asdict().items()
                    if bucket is not None
                }
                for name, group in self._groups.items()
            },
        }

    def _apply_changes(self, now: float) -> None:
        """Those of the settings that are due, each at its own time after the first call."""
        if self._first_at is None:
            self._first_at = now
        while self._changes and self._first_at + self._changes[0][0] <= now:
            after_s, factor = self._changes.popleft()
            self.change(factor, self.others_share, self._first_at + after_s)

    def _admit_to(
        self, group: Group, model: str, input_tokens: int, now: float, wall: float
    ) -> None:
        buckets, acceleration = group.buckets, group.acceleration
        if acceleration is not None and acceleration.refuses(now):
            found = headers(buckets, now, wall)
            raise RefusalError(429, MESSAGE, headers=found, limit="acceleration")
        admit(buckets, model, input_tokens, now, wall)
        if acceleration is not None:
            amounts = zip(buckets[:2], (1, input_tokens), strict=True)
            worths = [amount / bucket.rate_per_s for bucket, amount in amounts if bucket]
            acceleration.take(max(worths, default=0.0), now)

    def _changed(self, limit: int) -> int:
        return max(1, round(limit * self.factor))

    def _group(self, provider: Provider, model: str, now: float) -> Group:
        name = model_group(model)
        if name not in self._groups:
            settings = self._settings
            limits: tuple[int | None, ...] = (
                settings.requests_per_minute,
                settings.input_tokens_per_minute,
                settings.output_tokens_per_minute,
            )
            if provider == "voyage":
                limits = settings.voyage_requests_per_minute, settings.voyage_tokens_per_minute
                limits = (*limits, None)
            bursts = (settings.request_burst_s or settings.burst_s, *[settings.burst_s] * 2)
            made = (
                None if limit is None else self._bucket(limit, burst_s, now)
                for limit, burst_s in zip(limits, bursts, strict=True)
            )
            factor = settings.acceleration
            acceleration = None if factor is None else Acceleration(factor)
            self._groups[name] = Group(Buckets(*made), limits, acceleration)
        return self._groups[name]

    def _bucket(self, limit: int, burst_s: float, now: float) -> Bucket:
        return Bucket(self._changed(limit), burst_s, now, self.others_share)
