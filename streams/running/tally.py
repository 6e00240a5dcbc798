"""What is counted: of calls, of outcomes, and of a whole run (the summary, contract section 6).

Fed once per call, per pause and per list of outcomes, never per item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from streams.core.call import Call, Slot
from streams.core.events import Cancelled, Failed, Replied
from streams.core.inspect import Statistics
from streams.errors import ItemError
from streams.model import DROP, FORWARD, Usage, added
from streams.policies.budget import BudgetView
from streams.policies.code_counts import CodeCounts
from streams.running.histograms import Distribution, Latencies

CALL_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
WAIT_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
ITEMS: Final = (1, 2, 5, 10, 20, 50, 96, 100, 200, 500, 1000, 10_000)

OK: Final = "ok"
CANCELLED: Final = "cancelled"
THROTTLED: Final = "throttled"


class CallTally:
    """Counts of one engine's calls since its start; times in the loop's seconds.

    `by_status`: calls that ended, "ok" for those that were answered, else the fault or "cancelled".
    `answered_calls_s`: what those that were answered took together.
    `retries`: calls that repeat an item, by what caused them. `wait_s`: from the arrival of a new
    microbatch's oldest item to its call. `input_tokens`, `output_tokens`, `cost_nano_usd`: of all
    replies and billed refusals, whatever happens to their items; a cost of None: not known, since
    the model's price (`has_price`) is not, or a reply did not say its tokens.
    """

    def __init__(self, *, has_price: bool = True) -> None:
        self.by_status: Counter[str] = Counter({OK: 0})
        self.retries: Counter[str] = Counter()
        self.seconds = Distribution(CALL_S)
        self.items = Distribution(ITEMS)
        self.wait_s = Distribution(WAIT_S)
        self.answered_calls_s = 0.0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_nano_usd: int | None = 0 if has_price else None
        self._throttled_s = 0.0
        self._throttled_since: float | None = None

    @classmethod
    def of(cls, tallies: Iterable[CallTally]) -> CallTally:
        """The calls of several together."""
        total = cls()
        for tally in tallies:
            total.by_status.update(tally.by_status)
            total.retries.update(tally.retries)
            total.seconds.include(tally.seconds)
            total.items.include(tally.items)
            total.wait_s.include(tally.wait_s)
            total.answered_calls_s += tally.answered_calls_s
            total._throttled_s += tally._throttled_s
            total._throttled_since = total._throttled_since or tally._throttled_since
            total.input_tokens += tally.input_tokens
            total.output_tokens += tally.output_tokens
            total.cost_nano_usd = added(total.cost_nano_usd, tally.cost_nano_usd)
        return total

    @property
    def called_items(self) -> int:
        """Items of all calls; those of repeated calls count again."""
        return int(self.items.total)

    def started(self, call: Call) -> None:
        self.items.add(call.size)
        if call.cause == "new":
            oldest = min(slot.arrived_at for slot in call.slots)
            self.wait_s.add(max(0.0, call.started_at - oldest))
        elif call.cause != "split":
            self.retries[call.reason] += 1

    def ended(self, event: Replied | Failed | Cancelled, seconds: float) -> None:
        if isinstance(event, Failed):
            self.by_status[event.error.fault.value] += 1
            self._add_usage(event.error.usage)
        elif isinstance(event, Replied):
            self.by_status[OK] += 1
            self.answered_calls_s += seconds
            self._add_usage(event.usage)
        else:
            self.by_status[CANCELLED] += 1
        self.seconds.add(seconds)

    def _add_usage(self, usage: Usage | None) -> None:
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.cost_nano_usd = added(self.cost_nano_usd, usage.cost_nano_usd)

    @property
    def cost_usd(self) -> float | None:
        return None if self.cost_nano_usd is None else self.cost_nano_usd / 1e9

    @property
    def bill(self) -> str:
        """What its calls took, in a line."""
        cost = "cost not known" if self.cost_usd is None else f"${self.cost_usd:.6f}"
        calls = sum(self.by_status.values())
        return f"{calls} calls, {self.input_tokens} tokens in, {self.output_tokens} out, {cost}"

    def paused(self, reason: str, now: float) -> None:
        """No call may start, for this reason; called again whenever the reason changes."""
        if reason != THROTTLED:
            self.resumed(now)
        elif self._throttled_since is None:
            self._throttled_since = now

    def resumed(self, now: float) -> None:
        self._throttled_s = self.throttled_s(now)
        self._throttled_since = None

    def throttled_s(self, now: float) -> float:
        """Seconds in which the API's limits kept the task from calling, with the current pause."""
        since = self._throttled_since
        return self._throttled_s + (0.0 if since is None else now - since)


class Tally:
    """Counts of one task or one worker since its start; times in the monotonic clock's seconds.
    `from_ledger`: items whose answer had been paid for before they arrived. `late`: items whose
    outcome was durable after their `flush_by`; `invalid_flush_bys`: items that say none that is a
    time."""

    def __init__(self) -> None:
        self.results = 0
        self.dead_letters = CodeCounts()
        self.drops = 0
        self.forwarded = 0
        self.from_ledger = self.late = self.invalid_flush_bys = 0
        self.first_arrival_s: float | None = None
        self.last_delivery_s: float | None = None
        self.latencies = Latencies()

    @property
    def items(self) -> int:
        """Items with a durable outcome."""
        return self.results + sum(self.dead_letters.values()) + self.drops + self.forwarded

    def delivered(self, slots: Sequence[Slot], now_ms: int, now: float) -> None:
        """These outcomes are durable; `now_ms`: since the epoch, `now`: the monotonic clock."""
        results = 0
        for slot in slots:
            if slot.flush_by is not None and slot.flush_by < now:
                self.late += 1
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
        # -1 is Kafka's "no timestamp": the latency is unknown.
        stamps = [slot.item.timestamp_ms for slot in slots]
        self.latencies.add([now_ms - stamp for stamp in stamps if stamp >= 0])
        self.last_delivery_s = now


class TaskCounts(NamedTuple):
    """All counts of one task."""

    tally: Tally
    calls: CallTally
    statistics: Statistics
    budget: BudgetView | None = None


def summary(tasks: Sequence[TaskCounts]) -> dict[str, Any]:
    """The summary of a worker over its tasks. It does not say what is lost, duplicated or out of
    order: only who reads the topics knows."""
    tallies = [task.tally for task in tasks]
    statistics = [task.statistics for task in tasks]
    items = sum(tally.items for tally in tallies)
    elapsed_s, serial_s = _times(tasks, items)
    calls = sum(each.calls for each in statistics)
    called = sum(task.calls.called_items for task in tasks)
    latencies = Latencies()
    for tally in tallies:
        latencies.include(tally.latencies)
    return {
        "items": items,
        "results": sum(tally.results + tally.forwarded for tally in tallies),
        "dead_letters": sum(sum(tally.dead_letters.values()) for tally in tallies),
        "calls": calls,
        "retries": sum(each.retries for each in statistics),
        "splits": sum(each.splits for each in statistics),
        "mean_batch_items": round(called / calls, 2) if calls else 0.0,
        "max_in_flight_seen": max((each.max_in_flight_seen for each in statistics), default=0),
        "elapsed_s": round(elapsed_s, 3),
        "items_per_s": round(items / elapsed_s, 1) if elapsed_s else 0.0,
        "latency_ms_p50": latencies.percentile(0.5),
        "latency_ms_p99": latencies.percentile(0.99),
        "late_items": sum(tally.late for tally in tallies),
        "input_tokens": sum(task.calls.input_tokens for task in tasks),
        "output_tokens": sum(task.calls.output_tokens for task in tasks),
        "cost_usd": _cost_usd(tasks),
        "one_call_per_item_s": round(serial_s, 3),
        "speedup": round(serial_s / elapsed_s, 1) if elapsed_s else 0.0,
        **_budget_left(tasks),
    }


def _budget_left(tasks: Sequence[TaskCounts]) -> dict[str, float]:
    """What the tightest budget has left, where a task has one."""
    lefts = [task.budget.least_left for task in tasks if task.budget is not None]
    return {"budget_left_usd": min(lefts) / 1e9} if lefts else {}


def _cost_usd(tasks: Sequence[TaskCounts]) -> float | None:
    """None where one task's is not known: a part is no total. Each task's own is in `/state`."""
    cost: int | None = 0
    for task in tasks:
        cost = added(cost, task.calls.cost_nano_usd)
    return None if cost is None else cost / 1e9


def _times(tasks: Sequence[TaskCounts], items: int) -> tuple[float, float]:
    """From the first arrival to the last delivery; and the time of one call after the other: the
    items times the mean latency of this run's calls, which is a little more than that of a one-item
    call."""
    tallies = [task.tally for task in tasks]
    first = [tally.first_arrival_s for tally in tallies if tally.first_arrival_s is not None]
    last = [tally.last_delivery_s for tally in tallies if tally.last_delivery_s is not None]
    answered = sum(task.calls.by_status[OK] for task in tasks)
    mean_call_s = sum(task.calls.answered_calls_s for task in tasks) / answered if answered else 0.0
    return max(last) - min(first) if first and last else 0.0, items * mean_call_s
