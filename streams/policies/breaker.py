"""When dead letters say something about the API or the function, and no longer about the items.

    counts                                   passes its limit                      so
    ---------------------------------------  ------------------------------------  ---------------
    dead letters since the last result       `run` of them                         the task pauses,
    dead letters among each `window` items   more than `share` of them             and probes

A dead letter counts where a call caused it: refused, rejected, too_large, truncated,
invalid_answer, no_answer, function_error, and every code that attempts are counted for (timeout,
client_error, server_error, connection, throttled, account). What was decided before any call
(undecodable, no text, above the limits) is not counted at all, and what a function decided about an
item (a result, a drop, an `ItemError` that it returned) shows that calls work: it counts as a
result. One of counted attempts counts only where no call gave a result from the item's first call
to its last.

Items that are bad by themselves do not get here. Where 20 % are, spread over the topic, a run of
100 has a chance of 0.2 ** 100, and half of 400 is 15 standard deviations away. A topic with a
handful of bad items and nothing else never reaches 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streams.errors import Fault, ItemError, StageError
from streams.model import Answer, Unanswered

RUN = 100
"""Five microbatches of 20 without a result for any item: about 200 calls."""

WINDOW = 400
"""Large enough that chance does not decide; at 20 items a call some 20 microbatches."""

SHARE = 0.5
"""Where most items fail, going on costs more than waiting."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """`run`: dead letters in a row. `window`, `share`: of each `window` items that calls decided,
    more than this share are dead letters. `ValueError` where one is out of range."""

    run: int = RUN
    window: int = WINDOW
    share: float = SHARE

    def __post_init__(self) -> None:
        if self.run < 1 or self.window < 1:
            raise ValueError(f"run and window must be at least 1, not {self.run}, {self.window}")
        if not 0 <= self.share < 1:
            raise ValueError(f"share must be from 0 to below 1, not {self.share}")

    @classmethod
    def for_rounds_of(cls, items: int) -> BreakerLimits:
        """For a task with at most so many items in flight. Halving and asking again find the bad
        items of such a round last, in a row, so one round may be bad from end to end."""
        return cls(run=max(RUN, items), window=max(WINDOW, 2 * items))


def results_and_failures(answers: Sequence[Answer]) -> tuple[int, list[ItemError]]:
    """How many answers of a reply count as results, and the dead letters among them that a call
    caused: exceptions that a function returned in its items' places, and what failed for good in a
    stage of a pipeline."""
    results = 0
    failures = []
    for answer in answers:
        kind = answer.__class__
        if (kind is ItemError or kind is StageError) and answer.code in _OF_CALLS[kind]:
            failures.append(answer)
        elif kind is not Unanswered:
            results += 1
    return results, failures


_OF_CALLS: Final = {
    ItemError: frozenset({Fault.FUNCTION.value}),
    StageError: frozenset(each.value for each in (*Fault, *Unanswered)),
}
"""The codes of errors that calls caused. A function of a stage that returns one of these as its
own word is taken for a call."""


class Breaker:
    """The counts of one task, the only policy that remembers. `trips`: how often it tripped without
    a good `window` of items in between; its pauses grow with it."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._run = self._dead_letters = self._decided_items = 0
        self.trips = 0

    def decided(self, results: int, dead_letters: int) -> str | None:
        """A call decided about so many items; returns a message if a limit is passed. Then counting
        starts again."""
        limits = self._limits
        self._run = 0 if results else self._run + dead_letters
        self._dead_letters += dead_letters
        self._decided_items += results + dead_letters
        message = None
        if self._run >= limits.run:
            message = f"{self._run} items in a row are dead letters"
        elif self._decided_items < limits.window:
            return None
        elif self._dead_letters > limits.share * self._decided_items:
            message = (
                f"{self._dead_letters} of the last {self._decided_items} items are dead letters"
            )
        self.trips = 0 if message is None else self.trips + 1
        self._run = self._run if message is None else 0
        self._dead_letters = self._decided_items = 0
        return message
