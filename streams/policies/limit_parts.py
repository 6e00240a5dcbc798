"""What part of a limit per minute each worker of a group may use.

    worker   has of the partitions   uses   waits for the limit   may use
    a        40 %                    35 %   yes                   56 %
    b        20 %                    27 %   yes                   28 %
    c        40 %                    16 %   no                    40 %, and takes 16 %

Rules:
1. A worker's own part is that of the partitions it has, and it may always use so much: nobody is
   asked, and the own parts of all workers are the limit.
2. About once a second each tells the others its own part, what it uses and whether it waits for
   the limit. What some do not use goes to those that wait, by their own parts: all levels rise
   alike until the limit is used up (weighted max-min fairness). So what is used and handed on is
   never more than the limit together, as soon as all have heard of each other.
3. Who does not wait gets no more than it uses, or its own part if that is more. One that wants more
   waits first, and says so: then the others have heard of it.
4. Words that are older than `FRESH_S` count no more: who says nothing uses nothing. A worker that
   was killed frees its part thereby, before its partitions have another owner.
5. Our own words count when they have come back. While they do not nobody may hear us, and we may
   not hear the others: our own part is all that is ours.
6. Each kind (requests, input, output) is shared by itself: where one worker waits for requests and
   another for output tokens, both limits are used up.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import inf
from typing import Final, NamedTuple

FRESH_S: Final = 4.0


class Word(NamedTuple):
    """What a worker tells. `own_part`: of its partitions, above 0 and at most 1. `per_s`: what it
    uses a second, by kind. `waits`: whether it waits for the limit, by kind. `at`: when, on a clock
    of its own."""

    own_part: float
    per_s: Sequence[float]
    waits: Sequence[bool]
    at: float


class LimitParts:
    """Of one limit of one worker. `worker`: its name among the others. `own_part`: changes with its
    partitions. `now` is of the clock that our words' `at` is of."""

    def __init__(self, worker: str) -> None:
        self.own_part = 1.0
        self._worker = worker
        self._words: dict[str, Word] = {}
        self._heard_at: dict[str, float] = {}

    @property
    def is_alone(self) -> bool:
        """Whether all partitions are ours: there is nobody to share with."""
        return self.own_part >= 1

    def hear(self, worker: str, word: Word, now: float) -> None:
        """A word that was read, also one of ours. An older one of a worker is forgotten."""
        self._words[worker] = word
        self._heard_at[worker] = word.at if worker == self._worker else now

    def parts(self, limits_per_s: Sequence[float], now: float) -> tuple[float, ...]:
        """What part of each limit we may use now, above 0 and at most 1. `limits_per_s`: of all
        workers together; inf: not known."""
        self._forget(now)
        ours = self._words.get(self._worker)
        if ours is None or self.is_alone:
            return (self.own_part,) * len(limits_per_s)
        words = [ours._replace(own_part=self.own_part)]
        words += [word for worker, word in self._words.items() if worker != self._worker]
        return tuple(
            _part([_claim(word, kind, limit) for word in words])
            for kind, limit in enumerate(limits_per_s)
        )

    def _forget(self, now: float) -> None:
        for worker in [each for each, at in self._heard_at.items() if now - at >= FRESH_S]:
            del self._heard_at[worker], self._words[worker]


class _Claim(NamedTuple):
    """`use`: the part of the limit that it wants; inf: as much as there is."""

    own_part: float
    use: float


def _claim(word: Word, kind: int, limit_per_s: float) -> _Claim:
    use = inf if word.waits[kind] else word.per_s[kind] / limit_per_s
    return _Claim(word.own_part, use)


def _part(claims: Sequence[_Claim]) -> float:
    """That of the first one."""
    ours = claims[0]
    return min(1.0, max(ours.own_part, min(ours.use, ours.own_part * _level(claims))))


def _level(claims: Sequence[_Claim]) -> float:
    """How many times its own part each may use, so that all together use 1; inf: all have what they
    want."""
    claims = sorted(claims, key=lambda claim: claim.use / claim.own_part, reverse=True)
    own_parts = list(accumulate(claim.own_part for claim in claims))
    left = 1.0
    for claim, parts in zip(reversed(claims), reversed(own_parts), strict=True):
        if claim.use * parts >= left * claim.own_part:
            return left / parts
        left -= claim.use
    return inf
