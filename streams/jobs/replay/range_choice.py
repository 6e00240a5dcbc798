"""What a replay is asked to do again, as the command line says it: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from streams.errors import UsageError
from streams.kafka.extents import Extent
from streams.kafka.tail import Start, parse_start

_PARTITIONS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)


class RangeChoice(NamedTuple):
    """`first`: the first record of each partition, included; `until`: the end, itself not part of
    it. `partitions`: only these; None: all."""

    first: Start
    until: Start
    partitions: frozenset[int] | None = None

    @property
    def by_time(self) -> str | None:
        """The option that names a time; None: neither does."""
        names = {"--from": self.first, "--until": self.until}
        return next((name for name, start in names.items() if start.kind == "time"), None)


def range_choice(first: str, until: str, partitions: str | None, now: datetime) -> RangeChoice:
    """`first`, `until`: see `parse_start`. Raises UsageError."""
    return RangeChoice(
        parse_start(first, now),
        parse_start(until, now, "--until"),
        None if partitions is None else partition_numbers(partitions),
    )


def partition_numbers(text: str) -> frozenset[int]:
    """`0,3-5` are 0, 3, 4 and 5. Raises UsageError."""
    compact = "".join(text.split())
    if not _PARTITIONS.fullmatch(compact):
        raise UsageError(f"--partitions must be numbers and ranges as 0,3-5, not {text!r}")
    found: set[int] = set()
    for part in compact.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if last < first or last - first >= 100_000:
            raise UsageError(f"--partitions: {part} is no range of partitions")
        found.update(range(first, last + 1))
    return frozenset(found)


def bounded(
    begins: Mapping[int, int], untils: Mapping[int, int], logs: Mapping[int, Extent]
) -> dict[int, Extent]:
    """The range in each partition, within what its log holds; an empty one begins and ends at the
    same offset."""
    found = {}
    for partition, log in logs.items():
        first = min(max(begins[partition], log.first), log.end)
        found[partition] = Extent(first, max(first, min(untils[partition], log.end)))
    return found


def as_shown(text: str, start: Start) -> str:
    """An end of the range as the run remembers it: a time that was relative has become one of the
    clock."""
    if start.kind != "time":
        return text
    moment = datetime.fromtimestamp(start.at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
