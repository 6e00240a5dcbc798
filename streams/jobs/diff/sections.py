"""What has been found so far, kind by kind. Pure; bounded, however many results there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import Any, NamedTuple

from streams.codec.pointers import as_text
from streams.codec.vectors import cosine_distance
from streams.jobs.diff.differences import ABSENT, field_pairs, is_same
from streams.jobs.diff.join import Pair
from streams.jobs.diff.samples import Sample, rank

SHOWN_CHARACTERS = 1000
MAX_FLIPS = 5000
MAX_FIELDS = 1000
"""Label pairs and fields that are told apart; further ones count together, as `OTHER`."""
OTHER = "(others)"
DISTANCE_STEPS = 10_000
"""Distances are counted in steps of 0.0001."""


class Example(NamedTuple):
    """An item with both results, or the part of them that differs, as JSON or text. `distance`: of
    two vectors; their results are left out."""

    pair: Pair
    a: str
    b: str
    distance: float | None = None


class Labels:
    """`flips`: how many items have these two labels, also where both are the same."""

    def __init__(self, examples: int) -> None:
        self.flips: Counter[tuple[str, str]] = Counter()
        self._examples = examples
        self._samples: dict[tuple[str, str], Sample[Example]] = {}

    def add(self, pair: Pair, a: str, b: str) -> bool:
        both = (a, b)
        if both not in self.flips and len(self.flips) >= MAX_FLIPS:
            both = (OTHER, OTHER) if a == b else (OTHER, f"{OTHER}, changed")
        self.flips[both] += 1
        if a == b:
            return True
        sample = self._samples.setdefault(both, Sample(self._examples))
        _offer(sample, pair, a, b)
        return False

    def examples(self, a: str, b: str) -> list[Example]:
        sample = self._samples.get((a, b))
        return sample.items() if sample else []

    def kappa(self) -> float | None:
        """Cohen's kappa: the agreement beyond that of chance, 1 at best. None: one label alone, so
        that chance explains everything."""
        total = self.flips.total()
        of_a: Counter[str] = Counter()
        of_b: Counter[str] = Counter()
        for (a, b), count in self.flips.items():
            of_a[a] += count
            of_b[b] += count
        by_chance = sum(of_a[label] * of_b[label] for label in of_a) / max(total, 1) ** 2
        equal = sum(count for (a, b), count in self.flips.items() if a == b) / max(total, 1)
        return None if by_chance >= 1 or not total else (equal - by_chance) / (1 - by_chance)


class Field:
    """`count`: pairs in which either result has it; in `changed` of them the two differ."""

    __slots__ = ("changed", "count", "sample")

    def __init__(self, examples: int) -> None:
        self.count = self.changed = 0
        self.sample: Sample[Example] = Sample(examples)


class Fields:
    """`fields`: by JSON Pointer."""

    def __init__(self, examples: int) -> None:
        self.fields: dict[str, Field] = {}
        self._examples = examples

    def add(self, pair: Pair, a: Any, b: Any) -> bool:
        equal = True
        for each in field_pairs(a, b):
            field = self.fields.get(each.path) or self._new(each.path)
            field.count += 1
            if each.changed:
                equal = False
                field.changed += 1
                _offer(field.sample, pair, each.a, each.b)
        return equal

    def _new(self, path: str) -> Field:
        if len(self.fields) >= MAX_FIELDS:
            path = OTHER
        return self.fields.setdefault(path, Field(self._examples))


class Distances:
    """`dimensions_differ`: pairs that have no distance. `identical`: number for number."""

    def __init__(self, examples: int) -> None:
        self.steps: Counter[int] = Counter()
        self.identical = self.dimensions_differ = 0
        self.sum = self.max = 0.0
        self._sample: Sample[Example] = Sample(examples)

    def add(self, pair: Pair, a: bytes, b: bytes) -> bool:
        if len(a) != len(b):
            self.dimensions_differ += 1
            return False
        distance = cosine_distance(a, b)
        self.steps[round(distance * DISTANCE_STEPS)] += 1
        self.sum += distance
        self.max = max(self.max, distance)
        if a != b and self._sample.wants(-distance):
            self._sample.add(-distance, Example(_without_results(pair), "", "", distance))
        self.identical += a == b
        return a == b

    def examples(self) -> list[Example]:
        """The most distant first."""
        return self._sample.items()

    def percentile(self, share: float) -> float | None:
        """Exact to 0.0001; None: there are no distances."""
        limit, passed = ceil(share * self.steps.total()), 0
        for step in sorted(self.steps):
            passed += self.steps[step]
            if passed >= limit:
                return step / DISTANCE_STEPS
        return None

    def histogram(self, bins: int) -> Iterator[tuple[float, float, int]]:
        """From, below, count: from 0 to the largest distance, the last bin with that."""
        width = max(1, ceil((max(self.steps, default=0) + 1) / bins))
        counts: Counter[int] = Counter()
        for step, count in self.steps.items():
            counts[step // width] += count
        for number in range(max(counts, default=-1) + 1):
            low, high = number * width, (number + 1) * width
            yield low / DISTANCE_STEPS, high / DISTANCE_STEPS, counts[number]


class Changes:
    """Texts, or values of any kind: equal or changed."""

    def __init__(self, examples: int) -> None:
        self.sample: Sample[Example] = Sample(examples)

    def add(self, pair: Pair, a: Any, b: Any) -> bool:
        if is_same(a, b):
            return True
        _offer(self.sample, pair, a, b)
        return False


def _offer(sample: Sample[Example], pair: Pair, a: Any, b: Any) -> None:
    order = rank(pair.number)
    if sample.wants(order):
        sample.add(order, Example(_without_results(pair), shown(a), shown(b)))


def _without_results(pair: Pair) -> Pair:
    """Results may be long, and an example has what it shows of them."""
    return Pair(pair.number, pair.a._replace(result=b""), pair.b._replace(result=b""))


def shown(value: Any) -> str:
    """A part of a result for a person: a string as it is, else JSON; cut where it is long."""
    if value is ABSENT:
        return "(absent)"
    text = as_text(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
