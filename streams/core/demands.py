"""What the calls of a task take of its limits, by estimate: learned from what its calls took.

Input is some tokens for the instructions and each item's own times a factor, output so many tokens
for each item; the latest calls count most.
"""

from __future__ import annotations

from typing import Final

from streams.model import Usage
from streams.policies.rate import Demand

FIRST_OUTPUT: Final = 20.0
"""Tokens for each item, before the first reply."""
SHARE: Final = 0.1
"""Weight of the latest call in a mean."""


class Demands:
    """Of one task."""

    def __init__(self) -> None:
        self._per_token = 1.0
        self._per_item = FIRST_OUTPUT
        self._replies = 0

    def of(self, items: float, tokens: float) -> Demand:
        """What a call of so many items takes, and of so many tokens by their own estimate."""
        return Demand(1.0, self._per_token * tokens, self._per_item * items)

    def took(self, usage: Usage | None, estimate: Demand) -> Demand:
        """What a call took. None: nobody says, and the estimate counts. Reads of the prompt cache
        count against no limit."""
        if usage is None:
            return estimate
        return Demand(1.0, usage.input_tokens - usage.cache_read_tokens, usage.output_tokens)

    def learn(self, items: int, tokens: float, took: Demand) -> None:
        """A reply to a call of so many items."""
        self._replies += 1
        share = max(SHARE, 1 / self._replies)
        if tokens > 0:
            self._per_token += share * (took.input_tokens / tokens - self._per_token)
        if items > 0:
            self._per_item += share * (took.output_tokens / items - self._per_item)
