"""What an API allows, as a program or a configuration says it: `streams.Limits`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.policies.demand import PerMinute


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one account of an API, for all who call the same model with the same key.

    `requests_per_minute`, `input_tokens_per_minute` (reads of the prompt cache do not count),
    `output_tokens_per_minute`: at most so much; None: what the API's responses say, if anything.
    The lower of both holds, and of what several callers say the lowest. `share`: the part of
    the limits that is ours, above 0 and at most 1; the rest stays free for others. `groups`: which
    models share their limits, by the beginnings of their names; they go before the documented ones
    (`streams.policies.model_groups`). Raises ValueError for a value out of range.
    """

    requests_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    share: float = 1.0
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in PerMinute._fields:
            value = getattr(self, f"{name}_per_minute")
            if value is not None and not value > 0:  # also refuses NaN
                raise ValueError(f"{name}_per_minute must be above 0, not {value}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share}")

    @property
    def per_minute(self) -> PerMinute:
        return PerMinute(
            self.requests_per_minute, self.input_tokens_per_minute, self.output_tokens_per_minute
        )
