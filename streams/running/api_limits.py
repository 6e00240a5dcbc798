"""What an API allows, as a program or a configuration says it: `streams.Limits`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streams.policies.budget import OnBudget
from streams.policies.demand import PerMinute


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Limits:
    """The limits of one account of an API, for all who call the same model with the same key.

    `requests_per_minute`, `input_tokens_per_minute` (reads of the prompt cache do not count),
    `output_tokens_per_minute`: at most so much; None: what the API's responses say, if anything.
    The lower of both holds, and of what several callers say the lowest. `share`: the part of
    the limits that is ours, above 0 and at most 1; the rest stays free for others. `groups`: which
    models share their limits, by the beginnings of their names; they go before the documented ones
    (`streams.policies.model_groups`).

    `budget_usd`, `budget_usd_per_hour`, `budget_usd_per_day`: what the calls of all that are given
    this same object may cost, in this process, by the price list; hours and days of UTC; None:
    anything. A call that would pass one does not start. `on_budget`: what becomes of its items:
    "dead_letter": an `ItemError` "budget" each; "pause": they wait for the next hour or day;
    "slow": the same, and before that, calls are spread over it evenly.

    Raises ValueError for a value out of range.
    """

    requests_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    share: float = 1.0
    groups: Mapping[str, str] = field(default_factory=dict)
    budget_usd: float | None = None
    budget_usd_per_hour: float | None = None
    budget_usd_per_day: float | None = None
    on_budget: OnBudget = "dead_letter"

    def __post_init__(self) -> None:
        for name in PerMinute._fields:
            value = getattr(self, f"{name}_per_minute")
            if value is not None and not value > 0:  # also refuses NaN
                raise ValueError(f"{name}_per_minute must be above 0, not {value}")
        for name in ("budget_usd", "budget_usd_per_hour", "budget_usd_per_day"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be at least 0, not {value}")
        if self.on_budget not in ("pause", "slow", "dead_letter"):
            raise ValueError(
                f'on_budget must be "pause", "slow" or "dead_letter", not {self.on_budget!r}'
            )
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share}")

    @property
    def has_budget(self) -> bool:
        budgets = (self.budget_usd, self.budget_usd_per_hour, self.budget_usd_per_day)
        return any(budget is not None for budget in budgets)

    @property
    def per_minute(self) -> PerMinute:
        return PerMinute(
            self.requests_per_minute, self.input_tokens_per_minute, self.output_tokens_per_minute
        )


class LimitTable(Protocol):
    """`[task.limits]`, as far as the account is concerned."""

    @property
    def requests_per_minute(self) -> int | None: ...
    @property
    def input_tokens_per_minute(self) -> int | None: ...
    @property
    def output_tokens_per_minute(self) -> int | None: ...


class ShareTable(Protocol):
    """`[provider.<name>]`."""

    @property
    def limit_share(self) -> float: ...


def limits_of_task(
    table: LimitTable, provider: ShareTable | None, groups: Mapping[str, str] | None = None
) -> Limits:
    """What a task's account allows, as far as a configuration says it. Without its budgets: those
    are the worker's."""
    return Limits(
        requests_per_minute=table.requests_per_minute,
        input_tokens_per_minute=table.input_tokens_per_minute,
        output_tokens_per_minute=table.output_tokens_per_minute,
        share=1.0 if provider is None else provider.limit_share,
        groups=groups or {},
    )
