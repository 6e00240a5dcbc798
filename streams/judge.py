"""Judges a run from what is in the topics alone: is anything lost, twice, or out of order?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson


class Outcome(NamedTuple):
    """One record of a sink or dead-letter topic, and the source position it speaks of."""

    topic: str
    partition: int
    source_partition: int
    source_offset: int


class Verdict(NamedTuple):
    """`lost`: source records without an outcome. `duplicated`: further outcomes of a record that
    has one. `out_of_order`: outcomes whose first copy came after a later one of its source
    partition, in the same partition of the same topic (contract G2)."""

    lost: int
    duplicated: int
    out_of_order: int


def outcome_of(record: Any) -> Outcome | None:
    """The outcome that a record of a sink (envelope) or a dead-letter topic is; None: neither."""
    headers = dict(record.headers)
    if b := headers.get("streams-source-offset"):
        source = int(headers["streams-source-partition"]), int(b)
    else:
        try:
            found = orjson.loads(record.value)["source"]
            source = found["partition"], found["offset"]
        except (ValueError, KeyError, TypeError):
            return None
    return Outcome(record.topic, record.partition, *source)


def judge(expected: Iterable[tuple[int, int]], outcomes: Iterable[Outcome]) -> Verdict:
    """`expected`: (partition, offset) of every source record. `outcomes`: in the order of their
    offsets within each partition of each topic."""
    copies: Counter[tuple[int, int]] = Counter()
    last: dict[tuple[str, int, int], int] = {}
    out_of_order = 0
    for topic, partition, source_partition, source_offset in outcomes:
        source = source_partition, source_offset
        copies[source] += 1
        if copies[source] > 1:
            continue
        place = topic, partition, source_partition
        if source_offset < last.get(place, -1):
            out_of_order += 1
        else:
            last[place] = source_offset
    lost = sum(1 for source in expected if source not in copies)
    return Verdict(lost, sum(copies.values()) - len(copies), out_of_order)
