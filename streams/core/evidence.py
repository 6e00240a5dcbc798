"""What the calls of an account say about each other: is a failure that may befall everybody (a 401,
a 429, a 5xx, a reset) the account's, or that of the items it met?

One failure cannot tell. It speaks against the items if they meet it again although a call that
began in between was answered, unless such failures come and go here anyway. How often they do is
told by the microbatches that failed and were answered later as they were; one with a bad item never
is, so bad items do not make each other look innocent.

    rate    (recoveries + 1) / (recoveries + answers + 2), since these items failed first
    chance  rate ** n: that n failures one after the other are chance

https://en.wikipedia.org/wiki/Rule_of_succession
"""

from __future__ import annotations

from collections import Counter
from math import inf

from streams.policies.retry import Cause


class Suspicion:
    """What speaks against the items of a microbatch. `failures`: of exactly these items, by cause.
    `repeats`: how often an answer to another call lay between two of them, or of those of the
    microbatch that they come from. `unclear`: failures of exactly these items that may have been
    theirs, and do not count as attempts yet. `last_call`: the last call of the account that had
    begun when they failed last. `among_others`: whether others were answered around one of the
    failures. `answers`, `recoveries`: of the account when they failed first, at `began_at`."""

    __slots__ = (
        "among_others",
        "answers",
        "began_at",
        "causes",
        "failures",
        "last_call",
        "recoveries",
        "repeats",
        "unclear",
    )

    def __init__(self, began_at: float, answers: int, recoveries: Counter[Cause]) -> None:
        self.began_at = began_at
        self.answers = answers
        self.recoveries = recoveries
        self.causes: set[Cause] = set()
        self.failures: Counter[Cause] = Counter()
        self.repeats = 0
        self.unclear = 0
        self.last_call = 0
        self.among_others = False

    def of_a_part(self) -> Suspicion:
        """The same of a part of the items."""
        part = Suspicion(self.began_at, self.answers, self.recoveries)
        part.causes = set(self.causes)
        part.repeats, part.last_call = self.repeats, self.last_call
        part.among_others = self.among_others
        return part


class Evidence:
    """Counts of one account. `answers`: calls answered so far, the last at `answered_at`.
    `last_answer`: the last call, in the order they began, that was answered."""

    def __init__(self) -> None:
        self.answers = 0
        self.answered_at = -inf
        self.last_answer = 0
        self._recoveries: Counter[Cause] = Counter()

    def answered(self, number: int, now: float) -> None:
        """Call `number` was answered."""
        self.answers += 1
        self.answered_at = now
        if number > self.last_answer:
            self.last_answer = number

    def recovered(self, suspicion: Suspicion) -> None:
        """The items were answered in the end, as they were: what they met was chance."""
        self._recoveries += suspicion.failures

    def failed(
        self, before: Suspicion | None, cause: Cause, last_call: int, now: float
    ) -> Suspicion:
        """A microbatch failed; `before`: what spoke against it, None: nothing. `last_call`: the
        last one that has begun."""
        suspicion = before
        if suspicion is None:
            suspicion = Suspicion(now, self.answers, self._recoveries.copy())
        elif self.last_answer > suspicion.last_call:
            suspicion.repeats += 1
        suspicion.causes.add(cause)
        suspicion.failures[cause] += 1
        suspicion.last_call = last_call
        return suspicion

    def chance(self, suspicion: Suspicion, failures: int) -> float:
        """How probable so many failures in a row are, if they are not for the items' sake."""
        answers = self.answers - suspicion.answers
        recoveries = sum(self._recoveries[c] - suspicion.recoveries[c] for c in suspicion.causes)
        rate: float = (recoveries + 1) / (recoveries + answers + 2)
        return rate**failures

    def has_recovered(self, cause: Cause) -> bool:
        """Whether any failure of this cause has ever been chance in this account."""
        return self._recoveries[cause] > 0
