"""What a run counted: the keys of the summary (contract section 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from streams.codes import CodeCounts
from streams.core.slot import Slot
from streams.errors import ItemError
from streams.model import DROP, Usage
from streams.records import FORWARD
from streams.shells.calls import Distribution

DAY_MS = 86_400_000
FINE_MS = 10_000
STEPS_MS = ((FINE_MS, 1), (1_000_000, 100), (DAY_MS, 10_000))
"""Up to each bound, latencies are told apart by so many milliseconds: a backlog of a day makes
28,000 different ones at most."""


class Latencies:
    """A histogram of whole milliseconds, exact to 1 ms below 10 s, to 1 % above, up to a day.

    Bounded in size, and fed with lists: 0.05 us per item.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, milliseconds: Iterable[int]) -> None:
        # Counted first, since what comes together was mostly made together.
        for ms, count in Counter(milliseconds).items():
            self._counts[ms if 0 <= ms < FINE_MS else _known(ms)] += count

    def distribution(self, bounds_s: Sequence[float]) -> Distribution:
        """The same in a few buckets, in seconds."""
        values = Distribution(bounds_s)
        for ms, count in self._counts.items():
            values.add(ms / 1000, count)
        return values

    def percentile(self, share: float) -> int | None:
        """The smallest value that `share` (0 to 1) of all are not above; None without any."""
        total = sum(self._counts.values())
        if not total:
            return None
        rank, seen = share * total, 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= rank:
                return value
        return max(self._counts)


def _known(ms: int) -> int:
    """The latency that it counts as. Clocks that differ can make it negative: then 0."""
    for bound, step in STEPS_MS:
        if ms < bound:
            return max(0, ms) // step * step
    return DAY_MS


class Tally:
    """Counts of one task or one worker since its start; times in the monotonic clock's seconds.
    `from_ledger`: items whose answer had been paid for before they arrived."""

    def __init__(self) -> None:
        self.results = 0
        self.dead_letters = CodeCounts()
        self.drops = 0
        self.forwarded = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd = 0
        self.call_s = 0.0
        self.answered_calls = 0
        self.called_items = 0
        self.from_ledger = 0
        self.first_arrival_s: float | None = None
        self.last_delivery_s: float | None = None
        self.latencies = Latencies()

    @property
    def items(self) -> int:
        """Items that have their outcome, durable."""
        return self.results + sum(self.dead_letters.values()) + self.drops + self.forwarded

    def paid(self, usage: Usage | None) -> None:
        """A call took this, whatever becomes of its items; None: nothing that is counted."""
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.cost_nano_usd += usage.cost_nano_usd

    def delivered(self, slots: Sequence[Slot], now_ms: int, now: float) -> None:
        """These outcomes are durable; `now_ms`: since the epoch, `now`: the monotonic clock."""
        results = 0
        for slot in slots:
            outcome = slot.outcome
            if isinstance(outcome, ItemError):
                self.dead_letters.add(outcome.code)
            elif outcome is FORWARD:
                self.forwarded += 1
            elif outcome is DROP:
                self.drops += 1
            else:
                results += 1
        self.results += results
        # -1 is Kafka's "no timestamp": since then nothing can be told.
        stamps = [slot.item.timestamp_ms for slot in slots]
        self.latencies.add([now_ms - stamp for stamp in stamps if stamp >= 0])
        self.last_delivery_s = now


def summary(tallies: Sequence[Tally], statistics: Sequence[Any]) -> dict[str, Any]:
    """The summary of a worker over its tasks.

    It does not say what is lost, duplicated or out of order: only who reads the topics knows.
    `one_call_per_item_s`: the items times the mean latency of this run's calls, which is a little
    more than that of a one-item call.
    """
    items = sum(tally.items for tally in tallies)
    calls = sum(each.calls for each in statistics)
    first = [tally.first_arrival_s for tally in tallies if tally.first_arrival_s is not None]
    last = [tally.last_delivery_s for tally in tallies if tally.last_delivery_s is not None]
    elapsed = max(last) - min(first) if first and last else 0.0
    answered = sum(tally.answered_calls for tally in tallies)
    mean_call_s = sum(tally.call_s for tally in tallies) / answered if answered else 0.0
    serial = items * mean_call_s
    latencies = Latencies()
    for tally in tallies:
        latencies._counts.update(tally.latencies._counts)
    called = sum(tally.called_items for tally in tallies)
    return {
        "items": items,
        "results": sum(tally.results + tally.forwarded for tally in tallies),
        "dead_letters": sum(sum(tally.dead_letters.values()) for tally in tallies),
        "calls": calls,
        "retries": sum(each.retries for each in statistics),
        "splits": sum(each.splits for each in statistics),
        "mean_batch_items": round(called / calls, 2) if calls else 0.0,
        "max_in_flight_seen": max((each.max_in_flight_seen for each in statistics), default=0),
        "elapsed_s": round(elapsed, 3),
        "items_per_s": round(items / elapsed, 1) if elapsed else 0.0,
        "latency_ms_p50": latencies.percentile(0.5),
        "latency_ms_p99": latencies.percentile(0.99),
        "input_tokens": sum(tally.input_tokens for tally in tallies),
        "output_tokens": sum(tally.output_tokens for tally in tallies),
        "cost_usd": sum(tally.cost_nano_usd for tally in tallies) / 1e9,
        "one_call_per_item_s": round(serial, 3),
        "speedup": round(serial / elapsed, 1) if elapsed else 0.0,
    }
