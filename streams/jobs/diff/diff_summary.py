"""A comparison as one JSON object: what `--json` prints, and what table and page are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from streams.codec.pointers import as_text
from streams.codec.strict_json import read
from streams.jobs.diff.comparison import Comparison, Totals
from streams.jobs.diff.diffing import Found
from streams.jobs.diff.enriched import NANO, Enriched
from streams.jobs.diff.example_sources import SourceTexts
from streams.jobs.diff.join import Side
from streams.jobs.diff.sections import Example
from streams.jobs.diff.survey import Survey, Version
from streams.kafka.record_views import as_text as key_text
from streams.model import Position

BINS = 40


def summary(found: Found) -> dict[str, Any]:
    """Sections of kinds that no result has are null."""
    comparison, surveys = found.comparison, found.surveys
    compared, equal = comparison.compared.total(), comparison.equal.total()
    of_a, of_b = surveys.versions
    return {
        "a": _side(surveys.a, of_a, comparison, "a"),
        "b": _side(surveys.b, of_b, comparison, "b"),
        "matched_by": surveys.numbers.matching,
        "compared": compared,
        "equal": equal,
        "changed": compared - equal,
        "agreement": _share(equal, compared),
        "missing_in_a": comparison.missing["b"],
        "missing_in_b": comparison.missing["a"],
        "labels": _labels(found) if comparison.compared["label"] else None,
        "fields": _fields(found) if comparison.compared["fields"] else None,
        "embeddings": _distances(found) if comparison.compared["vector"] else None,
        "texts": _changes(found, "text") if comparison.compared["text"] else None,
        "values": _changes(found, "value") if comparison.compared["value"] else None,
        "missing_examples": {
            "in_a": _missing(comparison, "b", found.texts),
            "in_b": _missing(comparison, "a", found.texts),
        },
        "elapsed_s": round(found.elapsed_s, 3),
    }


def _side(
    survey: Survey, versions: Sequence[Version], comparison: Comparison, side: Side
) -> dict[str, Any]:
    records = sum(survey.versions[version].records for version in versions)
    items = comparison.compared.total() + comparison.missing[side]
    return {
        "topic": survey.topic,
        "records": survey.records,
        "items": items,
        "repeated": records - items,
        "tombstones": survey.tombstones,
        "other_records": survey.others + survey.nameless,
        "versions": [_version(survey, version) for version in versions],
        **_totals(comparison.totals[side], comparison.compared.total()),
    }


def _version(survey: Survey, version: Version) -> dict[str, Any]:
    facts = survey.versions[version]
    return {
        "fingerprint": version.fingerprint or None,
        "run": version.run or None,
        "records": facts.records,
        "first_ms": None if facts.first_ms < 0 else facts.first_ms,
        "last_ms": None if facts.last_ms < 0 else facts.last_ms,
    }


def _totals(totals: Totals, compared: int) -> dict[str, Any]:
    """Of the compared items. Null: not one result says it; a cost: not all of them do."""
    known = totals.with_usage > 0
    cost = totals.cost_nano_usd if totals.with_usage == compared else None
    timed = totals.untimed < compared
    return {
        "input_tokens": totals.input_tokens if known else None,
        "output_tokens": totals.output_tokens if known else None,
        "cost_usd": None if cost is None or not known else cost / NANO,
        "latency_ms_p50": totals.latencies.percentile(0.5) if timed else None,
        "latency_ms_p99": totals.latencies.percentile(0.99) if timed else None,
    }


def _labels(found: Found) -> dict[str, Any]:
    labels, texts = found.comparison.labels, found.texts
    count, equal = found.comparison.compared["label"], found.comparison.equal["label"]
    of_a: Counter[str] = Counter()
    of_b: Counter[str] = Counter()
    for (a, b), number in labels.flips.items():
        of_a[a] += number
        of_b[b] += number
    names = sorted({*of_a, *of_b}, key=lambda name: (-of_a[name], name))
    kappa = labels.kappa()
    return {
        "compared": count,
        "agreement": _share(equal, count),
        "kappa": None if kappa is None else round(kappa, 4),
        "counts": [
            {"label": name, "a": of_a[name], "b": of_b[name], "same": labels.flips[name, name]}
            for name in names
        ],
        "flips": [
            {
                "a": a,
                "b": b,
                "count": number,
                "share": _share(number, count),
                "examples": [_example(each, texts) for each in labels.examples(a, b)],
            }
            for (a, b), number in labels.flips.most_common()
            if a != b
        ],
    }


def _fields(found: Found) -> dict[str, Any]:
    comparison = found.comparison
    fields = sorted(comparison.fields.fields.items(), key=lambda each: -each[1].changed)
    return {
        "compared": comparison.compared["fields"],
        "agreement": _share(comparison.equal["fields"], comparison.compared["fields"]),
        "fields": [
            {
                "field": path,
                "compared": field.count,
                "changed": field.changed,
                "rate": _share(field.changed, field.count),
                "examples": [_example(each, found.texts) for each in field.sample.items()],
            }
            for path, field in fields
        ],
    }


def _distances(found: Found) -> dict[str, Any]:
    comparison, distances = found.comparison, found.comparison.distances
    measured = distances.steps.total()
    return {
        "compared": comparison.compared["vector"],
        "identical": distances.identical,
        "dimensions_differ": distances.dimensions_differ,
        "distance_mean": round(distances.sum / measured, 6) if measured else None,
        "distance_p50": distances.percentile(0.5),
        "distance_p95": distances.percentile(0.95),
        "distance_max": round(distances.max, 6) if measured else None,
        "histogram": [
            {"from": low, "to": high, "count": count}
            for low, high, count in distances.histogram(BINS)
        ],
        "examples": [
            _example(each, found.texts) | {"distance": round(each.distance or 0.0, 6)}
            for each in distances.examples()
        ],
    }


def _changes(found: Found, kind: Any) -> dict[str, Any]:
    comparison = found.comparison
    section = comparison.texts if kind == "text" else comparison.values
    count, equal = comparison.compared[kind], comparison.equal[kind]
    return {
        "compared": count,
        "equal": equal,
        "changed": count - equal,
        "agreement": _share(equal, count),
        "examples": [_example(each, found.texts) for each in section.sample.items()],
    }


def _missing(comparison: Comparison, side: Side, texts: SourceTexts) -> list[dict[str, Any]]:
    return [item_of(result, texts) for result in comparison.missing_examples[side].items()]


def _example(example: Example, texts: SourceTexts) -> dict[str, Any]:
    pair = example.pair
    named = pair.a if pair.a.topic else pair.b
    return {**item_of(named, texts), "a": example.a, "b": example.b}


def item_of(result: Enriched, texts: SourceTexts) -> dict[str, Any]:
    """What names an item, and its text where the source still has it."""
    position = Position(result.topic, result.partition, result.offset)
    known = result.offset >= 0
    return {
        "id": _id(result.id),
        "key": key_text(result.key),
        "source": position._asdict() | {"topic": result.topic or None} if known else None,
        "text": texts.get(position),
    }


def _id(raw: bytes) -> Any:
    """As its source has it; fit for UTF-8."""
    if not raw:
        return None
    value = read(raw)
    return as_text(value) if isinstance(value, str | list | dict) else value


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
