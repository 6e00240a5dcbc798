"""What a model costs, as a program says it: `streams.ModelPrice`."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """What a model costs, in USD per million tokens; it goes before the price list. As
    `[prices."model"]` of a configuration.

    `input`, `output`: of tokens in and out. `cache_write` (for 5 minutes), `cache_write_1h`,
    `cache_read`: input that goes to and comes from the prompt cache; None: 1.25 times, twice and a
    tenth of `input`. `batch`: what a Message Batch costs, as a part of these prices.
    `long_prompt_tokens`: above so many tokens of input the whole request costs
    `long_prompt_factor` times as much; None: it never does. Raises ValueError for a value below 0.
    """

    input: float
    output: float = 0.0
    cache_write: float | None = None
    cache_write_1h: float | None = None
    cache_read: float | None = None
    batch: float = 0.5
    long_prompt_tokens: int | None = None
    long_prompt_factor: float = 1.0

    def __post_init__(self) -> None:
        for name in [each.name for each in fields(self)]:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1_000_000_000:  # also refuses NaN
                raise ValueError(f"{name} must be from 0 to 1,000,000,000, not {value}")
