"""What goes into the engine (events) and what comes out of it (actions): values that carry lists.

Every `StartCall` is answered by exactly one `Replied`, `Failed` or `Cancelled`, also after a
`CancelCall`: until then the call keeps its place in flight. Every slot of a `Release` is answered
by one `Delivered` once its outcome is durable, in one list or several.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import asdict, dataclass, replace

from streams.core.call import Call, Slot
from streams.core.limits import Limits
from streams.core.ranges import Ranges
from streams.errors import CallError, Fault
from streams.model import Answer, RateLimits, Usage


@dataclass(frozen=True, slots=True)
class Opened:
    """A lane begins; `next_seq`: the first sequence number it may bring. `done`: ranges from there
    on that are settled already, first and last of each, in order: they are not to arrive."""

    lane: Hashable
    next_seq: int = 0
    done: Ranges = ()


@dataclass(frozen=True, slots=True)
class Closed:
    """A lane is gone (revoked): its items are dropped. Opened again, it is a new lane."""

    lane: Hashable


@dataclass(frozen=True, slots=True)
class Arrived:
    """Slots of one lane, in sequence order, after those that arrived before."""

    slots: Sequence[Slot]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Nobody wants the outcome of these slots any more, in order "none" without `max_beyond_bytes`.
    What waits leaves; a call that answers nobody else is cancelled; a slot that has its outcome
    stays."""

    slots: Sequence[Slot]


@dataclass(frozen=True, slots=True)
class Expedited:
    """The windows in which these slots wait close now; those that do not wait are nothing to it."""

    slots: Sequence[Slot]


@dataclass(frozen=True, slots=True)
class Passed:
    """Nothing of the lane below `next_seq` will arrive any more: what has not is nothing, or was
    `done` when the lane opened."""

    lane: Hashable
    next_seq: int


@dataclass(frozen=True, slots=True)
class Replied:
    """A call was answered: one answer per item, in the items' order. `rate_limits`: what the
    response says about the account's limits."""

    call_id: str
    answers: Sequence[Answer]
    usage: Usage | None = None
    rate_limits: RateLimits | None = None

    def miscounted(self, size: int) -> Failed:
        """What it is where the call has so many items, and other answers."""
        message = f"{len(self.answers)} answers for {size} items"
        error = CallError(Fault.BAD_REPLY, message, usage=self.usage, rate_limits=self.rate_limits)
        return Failed(self.call_id, error)


@dataclass(frozen=True, slots=True)
class Failed:
    """A call failed as a whole."""

    call_id: str
    error: CallError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A call that a `CancelCall` named has ended without a reply."""

    call_id: str


CANCELLED = CallError(Fault.RETRY, "cancelled", retry_after_s=0.0)
"""What that is to the engine."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The outcomes of these released slots are durable."""

    lane: Hashable
    slots: Sequence[Slot]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed, or the account woke the engine; due at `Engine.next_deadline()`."""


@dataclass(frozen=True, slots=True)
class Flush:
    """The input has ended: windows close at once, whatever is in them, until `Resume`."""


@dataclass(frozen=True, slots=True)
class Halt:
    """No new microbatch takes items of these lanes (None: of any lane, also of later ones).

    What is in flight goes on, and so do its retries; what waits stays, until `Resume` or `Closed`.
    """

    lanes: Collection[Hashable] | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Undoes `Halt` for these lanes; None: every `Halt` and `Flush`."""

    lanes: Collection[Hashable] | None = None


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """Other limits from now on; None: as before. What waits is cut by them, and so are repeated
    calls that have not started; calls in flight end as they are."""

    max_items: int | None = None
    max_wait_s: float | None = None
    max_in_flight: int | None = None

    def applied_to(self, limits: Limits) -> Limits:
        """Raises ValueError where one is out of range."""
        changes = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(limits, **changes)


Event = (
    Opened
    | Closed
    | Arrived
    | Withdrawn
    | Expedited
    | Passed
    | Replied
    | Failed
    | Cancelled
    | Delivered
    | Tick
    | Flush
    | Halt
    | Resume
    | LimitsChanged
)


@dataclass(frozen=True, slots=True)
class StartCall:
    """Make this call now."""

    call: Call


@dataclass(frozen=True, slots=True)
class CancelCall:
    """None of this call's items has an owner left: end it, and say so."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Release:
    """The outcomes of these slots go to the sink, in this order; each slot exactly once."""

    lane: Hashable
    slots: list[Slot]


@dataclass(frozen=True, slots=True)
class Paused:
    """No call starts before `until` (then one probes). Comes again whenever it changes.

    `reason`: "throttled", "outage", "account" or "breaker". `message`: of the error that caused it.
    """

    reason: str
    until: float
    message: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """Calls succeed again: the pause is over."""


Action = StartCall | CancelCall | Release | Paused | Resumed
