"""Judges a run from the topics alone: is anything lost, duplicated, or out of order?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any, Literal, NamedTuple

from streams.codec.strict_json import read

Order = Literal["partition", "key", "none"]


class Outcome(NamedTuple):
    """One record of a sink or dead-letter topic, and the source position that it names. `key`: the
    item's."""

    topic: str
    partition: int
    source_partition: int
    source_offset: int
    key: bytes | None = None


class Verdict(NamedTuple):
    """`lost`: source records without an outcome. `duplicated`: further outcomes of a record that
    has one. `out_of_order`: outcomes whose first copy came after a later one of its source
    partition (in order "key": and of its key), in the same partition of the same topic (contract
    G2)."""

    lost: int
    duplicated: int
    out_of_order: int


def outcome_of(record: Any) -> Outcome | None:
    """The outcome in a record of a sink (envelope) or a dead-letter topic; None: neither."""
    headers = dict(record.headers)
    if b := headers.get("streams-source-offset"):
        source = int(headers["streams-source-partition"]), int(b)
    else:
        try:
            found = read(record.value)["source"]
            source = found["partition"], found["offset"]
        except (ValueError, KeyError, TypeError):
            return None
    return Outcome(record.topic, record.partition, *source, record.key)


def judge(
    expected: Iterable[tuple[int, int]], outcomes: Iterable[Outcome], order: Order = "partition"
) -> Verdict:
    """`expected`: (partition, offset) of every source record. `outcomes`: in the order of their
    offsets within each partition of each topic. `order`: the task's."""
    copies: Counter[tuple[int, int]] = Counter()
    last: dict[Hashable, int] = {}
    out_of_order = 0
    for topic, partition, source_partition, source_offset, key in outcomes:
        source = source_partition, source_offset
        copies[source] += 1
        if copies[source] > 1 or order == "none" or (order == "key" and key is None):
            continue
        place = topic, partition, source_partition, key if order == "key" else None
        if source_offset < last.get(place, -1):
            out_of_order += 1
        else:
            last[place] = source_offset
    lost = sum(1 for source in expected if source not in copies)
    return Verdict(lost, sum(copies.values()) - len(copies), out_of_order)
