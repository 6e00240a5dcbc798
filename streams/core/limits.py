"""What bounds an engine: frozen, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streams.policies.breaker import BreakerLimits
from streams.policies.packing import CallShape
from streams.policies.retry import Backoff, FunctionErrors

Order = Literal["partition", "key", "none"]


_AT_LEAST_ONE = (
    "max_items",
    "max_tokens",
    "max_bytes",
    "max_in_flight",
    "max_attempts",
    "max_beyond_bytes",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one task; `ValueError` where one is out of range.

    A microbatch has at most `max_items`, `max_tokens` (by estimate; None: any) and `max_bytes`
    (sum of sizes; None: any); a slot above them alone, by its own tokens and size, is a dead letter
    "too_large". `call_shape`: tokens are those of a whole call, weighed by what replies say
    (`streams.policies.packing`); None: those of its slots, as they are. Its window is
    open for at most `max_wait_s` from its oldest item's arrival (0: never waits) while a call may
    start. At most `max_in_flight` calls at any moment. `max_attempts`, `max_asks`: see
    `streams.policies.retry`. `function_errors`: whether what a function raises for an item alone is
    final or a counted attempt. `split`: whether a microbatch that failed may be divided. `order`:
    outcomes leave in arrival order of the lane, of equal order keys, or at once.
    `max_beyond_bytes`: in the last two, what the ranges settled beyond a lane's watermark may take
    (None: any); outcomes that could make it more wait for the watermark (`streams.core.beyond`).
    `priority`: the engines that share an account and wait for it go in its order, the higher first.
    `adaptive`: calls in flight and the items of one become fewer while the API takes no more.
    `slow_s`: a call that takes longer may have too many items; None: none is too slow.
    `breaker`: when dead letters pause the task; None: never.
    """

    max_items: int = 20
    max_wait_s: float = 0.05
    max_tokens: int | None = None
    max_bytes: int | None = None
    max_in_flight: int = 5
    max_attempts: int = 6
    max_asks: int = 2
    function_errors: FunctionErrors = "final"
    split: bool = True
    order: Order = "partition"
    priority: int = 0
    adaptive: bool = False
    slow_s: float | None = None
    breaker: BreakerLimits | None = None
    max_beyond_bytes: int | None = None
    call_shape: CallShape | None = None
    backoff: Backoff = field(default_factory=Backoff)
    account_backoff: Backoff = field(default_factory=lambda: Backoff(base_s=30.0, cap_s=300.0))

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        for name in ("max_wait_s", "max_asks"):
            if not getattr(self, name) >= 0:  # also refuses NaN
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.order not in ("partition", "key", "none"):
            raise ValueError(f'order must be "partition", "key" or "none", not {self.order!r}')
