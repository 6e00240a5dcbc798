"""What results of a task really took: corrects the estimate of further ones.

The last results in a sink are put together to the calls that gave them, and their items are read
from the source; so the same call is known by what it took and by what would have been estimated.
Only calls that are there as a whole, that nothing repeated, and that have the task's fingerprint:
another prompt, schema or model takes other tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from streams.jobs.call_estimate import NO_CORRECTION, CallModel, Correction
from streams.jobs.replay.range_scan import RangeScanner
from streams.kafka.extents import Extent
from streams.plans import decoder_of
from streams.settings import TaskSettings

RESULTS: Final = 2_000
"""So many results at the end of a sink are looked at."""
SPAN: Final = 10_000
"""And so many offsets of a source partition for their items."""
MIN_ITEMS: Final = 40
LIMITS: Final = (0.2, 5.0)


class Share(NamedTuple):
    """One result's part of a call. `number`: in the call; `place`: of its item in the source."""

    number: int
    place: tuple[int, int]
    input_tokens: int
    output_tokens: int


class PaidCall(NamedTuple):
    """`places`: of its items in the source, in the call's order."""

    places: Sequence[tuple[int, int]]
    input_tokens: int
    output_tokens: int


class PaidCalls:
    """Puts results together to calls."""

    def __init__(self, task: TaskSettings, fingerprint: str) -> None:
        self._task = task
        self._fingerprint = fingerprint
        self._shares: defaultdict[tuple[str, int], dict[int, Share]] = defaultdict(dict)

    def add(self, value: bytes | None) -> None:
        """A record of a sink; what is no envelope of the task tells nothing."""
        try:
            found = orjson.loads(value or b"null")
            source, batch, usage = found["source"], found["batch"], found["usage"]
            wanted = self._task.name, self._task.source, self._fingerprint, 1
            is_ours = wanted == (
                found["task"],
                source["topic"],
                found["fingerprint"],
                found["attempts"],
            )
            if is_ours and batch["id"] is not None:
                place = int(source["partition"]), int(source["offset"])
                tokens = int(usage["input_tokens"]), int(usage["output_tokens"])
                one = Share(int(batch["index"]), place, *tokens)
                self._shares[batch["id"], int(batch["size"])][one.number] = one
        except (ValueError, LookupError, TypeError):
            return

    def whole(self) -> list[PaidCall]:
        """Those of which all results are there."""
        found = []
        for (_, size), shares in self._shares.items():
            if sorted(shares) == list(range(size)):
                items = [shares[number] for number in range(size)]
                tokens_in = sum(each.input_tokens for each in items)
                tokens_out = sum(each.output_tokens for each in items)
                found.append(PaidCall([each.place for each in items], tokens_in, tokens_out))
        return found


def correction(
    task: TaskSettings, calls: Sequence[PaidCall], texts: Mapping[tuple[int, int], str]
) -> tuple[Correction, int]:
    """By how much estimates of these calls were wrong, and of how many items that is known.
    `texts`: of the items, by their places."""
    model = CallModel(task)
    items = 0
    paid_in = paid_out = 0
    estimated_in = estimated_out = 0.0
    for call in calls:
        found = [texts.get(place) for place in call.places]
        known = [text for text in found if text is not None]
        if len(known) < len(found):
            continue
        estimated = model.tokens(known)
        items += len(known)
        paid_in, paid_out = paid_in + call.input_tokens, paid_out + call.output_tokens
        estimated_in, estimated_out = (
            estimated_in + estimated.input,
            estimated_out + estimated.output,
        )
    if items < MIN_ITEMS:
        return NO_CORRECTION, 0
    return Correction(_ratio(paid_in, estimated_in), _ratio(paid_out, estimated_out)), items


def _ratio(paid: int, estimated: float) -> float:
    return min(max(paid / estimated, LIMITS[0]), LIMITS[1]) if paid and estimated else 1.0


async def calls_in(
    sink: RangeScanner, extents: Mapping[int, Extent], task: TaskSettings, fingerprint: str
) -> list[PaidCall]:
    """Those at the end of a sink's partitions. Raises BrokerError."""
    calls = PaidCalls(task, fingerprint)
    share = RESULTS // max(1, len(extents))
    for partition, (first, end) in extents.items():
        async for records in sink.scan(partition, Extent(max(first, end - share), end)):
            for record in records:
                calls.add(record.value)
    return calls.whole()


async def texts_of(
    source: RangeScanner,
    extents: Mapping[int, Extent],
    task: TaskSettings,
    calls: Sequence[PaidCall],
) -> dict[tuple[int, int], str]:
    """The texts of the calls' items, as far as the source still has them. `extents`: of the
    source. Raises BrokerError."""
    offsets: defaultdict[int, list[int]] = defaultdict(list)
    for call in calls:
        for partition, offset in call.places:
            offsets[partition].append(offset)
    decoder, texts = decoder_of(task), {}
    for partition, wanted in offsets.items():
        log, last = extents.get(partition), max(wanted)
        if log is None:
            continue
        first = max(min(wanted), last - SPAN, log.first)
        async for records in source.scan(partition, Extent(first, min(last + 1, log.end))):
            decoded: Any = decoder.decode(records, task.source, partition)
            for place, item in enumerate(decoded.items):
                if place not in decoded.settled:
                    texts[partition, item.offset] = item.text
    return texts
