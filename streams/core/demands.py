"""What the calls of a task take of its limits, by estimate: learned from what its calls took.

Input is what a call weighs (`streams.policies.packing`) less what it reads from the prompt cache;
output is what the answers to its items take.
"""

from __future__ import annotations

from typing import Final

from streams.core.call import Call
from streams.model import Usage
from streams.policies.demand import Demand
from streams.policies.packing import Packing

FIRST_OUTPUT: Final = 20.0
"""Tokens for each item, before the first reply, where nobody knows more."""
SHARE: Final = 0.1
"""Weight of the latest call in a mean."""


class Demands:
    """Of one task. A function's calls weigh what it says; should they have a usage, its means say
    what a token of theirs, and an item, takes."""

    def __init__(self, packing: Packing) -> None:
        self.packing = packing
        self._per_token = 1.0
        self._per_item = FIRST_OUTPUT
        self._cached = 0.0
        self._replies = 0

    def of(self, items: float, weight: float) -> Demand:
        """What a call of so many items takes, of this weight in all."""
        packing = self.packing
        if not packing.learns:
            return Demand(1.0, self._per_token * weight, self._per_item * items)
        new = max(0.0, packing.overhead + weight - self._cached)
        return Demand(1.0, new, packing.answers(weight, items))

    def of_call(self, call: Call) -> Demand:
        """The same where its items are known."""
        return self.of(call.size, self.packing.weight(call.tokens_by_script, call.size))

    def took(self, usage: Usage | None, estimate: Demand) -> Demand:
        """What a call took. None: nobody says, and the estimate counts. Reads of the prompt cache
        count against no limit."""
        if usage is None:
            return estimate
        return Demand(1.0, usage.input_tokens - usage.cache_read_tokens, usage.output_tokens)

    def learn(self, call: Call, usage: Usage | None, *, answered: bool = True) -> None:
        """A call is over. `usage`: None: it was not billed. `answered`: see `Packing.learn`."""
        if usage is None:
            return
        tokens, items = call.tokens_by_script, call.size
        if self.packing.learns:
            self.packing.learn(tokens, items, usage, answered=answered)
        self._replies += 1
        share = max(SHARE, 1 / self._replies)
        self._cached += share * (usage.cache_read_tokens - self._cached)
        if not self.packing.learns and answered:
            if (total := sum(tokens)) > 0:
                new = usage.input_tokens - usage.cache_read_tokens
                self._per_token += share * (new / total - self._per_token)
            if items > 0:
                self._per_item += share * (usage.output_tokens / items - self._per_item)
