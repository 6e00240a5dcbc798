"""Adds up the pairs of a comparison. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from streams.codec.strict_json import read
from streams.jobs.diff.differences import Kind, kind_of_both, parsed
from streams.jobs.diff.enriched import Enriched
from streams.jobs.diff.join import Numbered, Pair, Side
from streams.jobs.diff.samples import Sample, rank
from streams.jobs.diff.sections import Changes, Distances, Example, Fields, Labels
from streams.model import added
from streams.running.histograms import Latencies


class Totals:
    """Of one side's results among the pairs. `with_usage`: how many say what they took; cost in
    nano-dollars, None: not known of one of them. `untimed`: results whose latency nothing tells."""

    def __init__(self) -> None:
        self.with_usage = self.input_tokens = self.output_tokens = self.untimed = 0
        self.cost_nano_usd: int | None = 0
        self.latencies = Latencies()

    def add(self, results: Sequence[Enriched]) -> None:
        took: list[int] = []
        for result in results:
            if (usage := result.usage()) is not None:
                self.with_usage += 1
                self.input_tokens += usage.input_tokens
                self.output_tokens += usage.output_tokens
                self.cost_nano_usd = added(self.cost_nano_usd, usage.cost_nano_usd)
            if result.source_ms >= 0 and result.done_ms >= 0:
                took.append(result.done_ms - result.source_ms)
        self.untimed += len(results) - len(took)
        self.latencies.add(took)


class Comparison:
    """`compared`, `equal`: pairs, by kind. `missing`: items with a result on this side alone, and
    some of them."""

    def __init__(self, examples: int) -> None:
        self.compared: Counter[Kind] = Counter()
        self.equal: Counter[Kind] = Counter()
        self.totals: dict[Side, Totals] = {"a": Totals(), "b": Totals()}
        self.missing: Counter[Side] = Counter()
        self.missing_examples: dict[Side, Sample[Enriched]] = {
            "a": Sample(examples),
            "b": Sample(examples),
        }
        self.labels = Labels(examples)
        self.fields = Fields(examples)
        self.distances = Distances(examples)
        self.texts = Changes(examples)
        self.values = Changes(examples)
        self._sections: dict[Kind, Any] = {
            "label": self.labels,
            "fields": self.fields,
            "vector": self.distances,
            "text": self.texts,
            "value": self.values,
        }

    def add(self, pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            a, b = parsed(pair.a.result), parsed(pair.b.result)
            kind = kind_of_both(a, b)
            values = a.value, b.value
            if a.kind != b.kind:
                values = read(pair.a.result), read(pair.b.result)
            self.compared[kind] += 1
            self.equal[kind] += self._sections[kind].add(pair, *values)
        self.totals["a"].add([pair.a for pair in pairs])
        self.totals["b"].add([pair.b for pair in pairs])

    def examples(self) -> Iterator[Example]:
        """Of all differences, those of the most frequent first."""
        for (a, b), _ in self.labels.flips.most_common():
            yield from self.labels.examples(a, b)
        for field in sorted(self.fields.fields.values(), key=lambda each: -each.changed):
            yield from field.sample.items()
        yield from self.distances.examples()
        yield from self.texts.sample.items()
        yield from self.values.sample.items()

    def add_missing(self, side: Side, missing: Sequence[Numbered]) -> None:
        """Results of this side whose items the other one lacks."""
        self.missing[side] += len(missing)
        sample = self.missing_examples[side]
        for number, result in missing:
            if sample.wants(rank(number)):
                sample.add(rank(number), result._replace(result=b""))
