"""What an account allows, what calls may cost, and what models cost: [task.limits] and [prices]."""

from __future__ import annotations

from typing import Literal

from streams.settings.keys import Table, choice, number, whole


class LimitSettings(Table):
    """What the API account allows (None: learned from response headers where they exist), and what
    calls may cost, in USD (None: anything). `budget_usd`: of the group since its start; hours and
    days are those of UTC. `on_budget`: what becomes of items when a budget is spent."""

    requests_per_minute: int | None = whole(None, 1, 1_000_000_000)
    input_tokens_per_minute: int | None = whole(None, 1, 1_000_000_000)
    output_tokens_per_minute: int | None = whole(None, 1, 1_000_000_000)
    budget_usd_per_hour: float | None = number(None, 0, 1_000_000)
    budget_usd_per_day: float | None = number(None, 0, 1_000_000)
    budget_usd: float | None = number(None, 0, 1_000_000)
    on_budget: Literal["pause", "slow", "dead_letter"] = choice(
        "pause", "pause", "slow", "dead_letter"
    )

    @property
    def has_budget(self) -> bool:
        """Whether calls may cost only so much."""
        budgets = (self.budget_usd_per_hour, self.budget_usd_per_day, self.budget_usd)
        return any(budget is not None for budget in budgets)


class PriceSettings(Table):
    """What a model costs, in USD per million tokens. `cache_write` (for 5 minutes),
    `cache_write_1h`, `cache_read`: input that goes to and comes from the prompt cache; None: 1.25
    times, twice and a tenth of `input`. `batch`: what a Message Batch costs, as a part of these
    prices. `long_prompt_tokens`: above so many tokens of input the whole request costs
    `long_prompt_factor` times as much; None: it never does."""

    input: float = number(..., 0, 1_000_000)
    output: float = number(0.0, 0, 1_000_000)
    cache_write: float | None = number(None, 0, 1_000_000)
    cache_write_1h: float | None = number(None, 0, 1_000_000)
    cache_read: float | None = number(None, 0, 1_000_000)
    batch: float = number(0.5, 0, 1)
    long_prompt_tokens: int | None = whole(None, 1, 1_000_000_000)
    long_prompt_factor: float = number(1.0, 0, 1000)
