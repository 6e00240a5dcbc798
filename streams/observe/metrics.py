"""Every metric of a worker: one typed table, and the collector that fills it.

Nothing here runs while items are processed: a scrape reads the engines' statistics, the tallies and
the partitions as they are. Labels hold names of tasks, partitions, reasons and codes, never
anything of an item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from streams.running.histograms import Distribution
from streams.worker.partition import Partition
from streams.worker.task import TaskShell

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["items", "calls", "seconds", "tokens", "dollars", "ratio"]

MetricName = Literal[
    "streams_items_total",
    "streams_calls_total",
    "streams_call_seconds",
    "streams_batch_items",
    "streams_batch_wait_seconds",
    "streams_batch_flush_total",
    "streams_in_flight_calls",
    "streams_in_flight_limit",
    "streams_reorder_items",
    "streams_lag_items",
    "streams_watermark_age_seconds",
    "streams_retries_total",
    "streams_splits_total",
    "streams_throttled_seconds_total",
    "streams_dead_letters_total",
    "streams_tokens_total",
    "streams_token_estimate_error",
    "streams_cost_usd_total",
    "streams_budget_left_usd",
    "streams_latency_seconds",
    "streams_late_items_total",
    "streams_invalid_flush_by_total",
]


class Metric(NamedTuple):
    """`labels`: besides `task`, which every metric has."""

    kind: Kind
    unit: Unit
    meaning: str
    labels: tuple[str, ...] = ()


METRICS: Final[Mapping[MetricName, Metric]] = {
    "streams_items_total": Metric(
        "counter",
        "items",
        "Items whose outcome is durable: result (also a tombstone passed on), dead_letter or drop.",
        ("outcome",),
    ),
    "streams_calls_total": Metric(
        "counter",
        "calls",
        "Calls that have ended: ok where they were answered, else what was wrong.",
        ("status",),
    ),
    "streams_call_seconds": Metric(
        "histogram", "seconds", "How long calls took, also those that failed."
    ),
    "streams_batch_items": Metric(
        "histogram", "items", "Items in each call, also in repeated ones."
    ),
    "streams_batch_wait_seconds": Metric(
        "histogram",
        "seconds",
        "From the arrival of a new microbatch's oldest item to the start of its call.",
    ),
    "streams_batch_flush_total": Metric(
        "counter", "calls", "New microbatches, by what closed their window.", ("reason",)
    ),
    "streams_in_flight_calls": Metric("gauge", "calls", "Calls without a reply yet."),
    "streams_in_flight_limit": Metric("gauge", "calls", "The most calls in flight: max_in_flight."),
    "streams_reorder_items": Metric(
        "gauge",
        "items",
        "Items that have their outcome and wait for an earlier one of their partition.",
        ("partition",),
    ),
    "streams_lag_items": Metric(
        "gauge",
        "items",
        "Offsets from the watermark to the end of the partition as last fetched; no sample before "
        "the first fetch.",
        ("partition",),
    ),
    "streams_watermark_age_seconds": Metric(
        "gauge",
        "seconds",
        "For how long the watermark has stood still while an item waited behind it; 0 where none "
        "does.",
        ("partition",),
    ),
    "streams_retries_total": Metric(
        "counter",
        "calls",
        "Calls that repeat an item, by the failure or the missing answer that caused them.",
        ("reason",),
    ),
    "streams_splits_total": Metric(
        "counter", "calls", "Further calls from dividing one microbatch; none of them is a retry."
    ),
    "streams_throttled_seconds_total": Metric(
        "counter", "seconds", "Time without new calls because the API's limits were reached."
    ),
    "streams_dead_letters_total": Metric(
        "counter", "items", "Dead letters, by their error code: 100 by name.", ("code",)
    ),
    "streams_tokens_total": Metric(
        "counter", "tokens", "Tokens of calls, counted at their reply: input or output.", ("kind",)
    ),
    "streams_token_estimate_error": Metric(
        "gauge",
        "ratio",
        "How far the latest estimates of calls' input tokens were off, as a part of what was used: "
        "0.1 is a tenth above or below; no sample before the first reply.",
    ),
    "streams_cost_usd_total": Metric(
        "counter",
        "dollars",
        "Cost of calls, counted at their reply, by the price list; no sample where a model's price "
        "is not known.",
    ),
    "streams_budget_left_usd": Metric(
        "gauge",
        "dollars",
        "What a budget of the task's group has left, less what calls under way and claims of other "
        "workers may cost: of the hour, of the day, in total; no sample without a budget.",
        ("period",),
    ),
    "streams_latency_seconds": Metric(
        "histogram", "seconds", "From an item's timestamp to the acknowledgement of its outcome."
    ),
    "streams_late_items_total": Metric(
        "counter", "items", "Items whose outcome was acknowledged after their flush_by."
    ),
    "streams_invalid_flush_by_total": Metric(
        "counter", "items", "Items whose flush_by is no time; they wait as items without one."
    ),
}

LATENCY_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600)


class ObservedWorker(Protocol):
    """The attributes of a worker that are read; `streams.worker.worker.Worker` has them."""

    @property
    def tasks(self) -> Sequence[TaskShell]: ...
    @property
    def partitions(self) -> Sequence[Partition]: ...
    def lag(self, partition: Partition) -> int | None: ...


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class WorkerMetrics(Collector):
    """The metrics of one worker, in a registry of their own. Used in the worker's loop."""

    def __init__(self, worker: ObservedWorker) -> None:
        self._worker = worker
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def exposition(self) -> bytes:
        """Every metric, as Prometheus reads it (text format 0.0.4)."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Family]:
        """Empty: otherwise the registry would collect once to learn the names."""
        return ()

    def collect(self) -> Iterator[Family]:
        tasks = self._worker.tasks
        now = asyncio.get_running_loop().time()
        yield from _item_metrics(tasks)
        yield from _call_metrics(tasks, now)
        yield from _histograms(tasks)
        yield from _partition_metrics(self._worker)


def _item_metrics(tasks: Sequence[TaskShell]) -> Sequence[Family]:
    items = _counter("streams_items_total")
    dead_letters = _counter("streams_dead_letters_total")
    tokens = _counter("streams_tokens_total")
    cost = _counter("streams_cost_usd_total")
    late = _counter("streams_late_items_total")
    invalid = _counter("streams_invalid_flush_by_total")
    budget = _gauge("streams_budget_left_usd")
    for task in tasks:
        name, tally, calls = task.parts.name, task.tally, task.call_tally
        items.add_metric([name, "result"], tally.results + tally.forwarded)
        items.add_metric([name, "dead_letter"], sum(tally.dead_letters.values()))
        items.add_metric([name, "drop"], tally.drops)
        _add_each(dead_letters, name, tally.dead_letters)
        late.add_metric([name], tally.late)
        invalid.add_metric([name], tally.invalid_flush_bys)
        tokens.add_metric([name, "input"], calls.input_tokens)
        tokens.add_metric([name, "output"], calls.output_tokens)
        if calls.cost_usd is not None:
            cost.add_metric([name], calls.cost_usd)
        if (view := task.budget()) is not None:
            for period, left in view.left._asdict().items():
                if left is not None:
                    budget.add_metric([name, period], left / 1e9)
    return (items, dead_letters, tokens, cost, budget, late, invalid)


def _call_metrics(tasks: Sequence[TaskShell], now: float) -> Sequence[Family]:
    calls = _counter("streams_calls_total")
    flushes = _counter("streams_batch_flush_total")
    retries = _counter("streams_retries_total")
    splits = _counter("streams_splits_total")
    throttled = _counter("streams_throttled_seconds_total")
    in_flight = _gauge("streams_in_flight_calls")
    limit = _gauge("streams_in_flight_limit")
    error = _gauge("streams_token_estimate_error")
    for task in tasks:
        name, statistics = task.parts.name, task.statistics()
        _add_each(calls, name, task.call_tally.by_status)
        _add_each(flushes, name, statistics.calls_by_reason)
        _add_each(retries, name, task.call_tally.retries)
        splits.add_metric([name], statistics.splits)
        throttled.add_metric([name], task.call_tally.throttled_s(now))
        in_flight.add_metric([name], statistics.in_flight)
        limit.add_metric([name], task.parts.max_in_flight)
        if statistics.token_estimate_error is not None:
            error.add_metric([name], statistics.token_estimate_error)
    return (calls, flushes, retries, splits, throttled, in_flight, limit, error)


def _histograms(tasks: Sequence[TaskShell]) -> Sequence[Family]:
    seconds = _histogram("streams_call_seconds")
    items = _histogram("streams_batch_items")
    wait = _histogram("streams_batch_wait_seconds")
    latency = _histogram("streams_latency_seconds")
    for task in tasks:
        name, calls = task.parts.name, task.call_tally
        _add_distribution(seconds, name, calls.seconds)
        _add_distribution(items, name, calls.items)
        _add_distribution(wait, name, calls.wait_s)
        _add_distribution(latency, name, task.tally.latencies.distribution(LATENCY_S))
    return (seconds, items, wait, latency)


def _partition_metrics(worker: ObservedWorker) -> Sequence[Family]:
    reorder = _gauge("streams_reorder_items")
    lag = _gauge("streams_lag_items")
    age = _gauge("streams_watermark_age_seconds")
    tasks = {task.parts.source: (task, task.statistics().lanes) for task in worker.tasks}
    for partition in worker.partitions:
        task, statistics = tasks[partition.where.topic]
        labels = [task.parts.name, str(partition.where.partition)]
        if (found := statistics.get(partition)) is not None:
            reorder.add_metric(labels, found.reordering)
        if (behind := worker.lag(partition)) is not None:
            lag.add_metric(labels, behind)
        age.add_metric(labels, task.watermark_age_s(partition))
    return (reorder, lag, age)


def _add_each(family: CounterMetricFamily, task: str, counts: Mapping[str, int]) -> None:
    for label, count in counts.items():
        family.add_metric([task, label], count)


def _add_distribution(family: HistogramMetricFamily, task: str, values: Distribution) -> None:
    buckets, below = [], 0
    for bound, count in zip((*values.bounds, float("inf")), values.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), float(below)))
    family.add_metric([task], buckets, values.total)


def _labels(name: MetricName) -> list[str]:
    return ["task", *METRICS[name].labels]


def _counter(name: MetricName) -> CounterMetricFamily:
    return CounterMetricFamily(name, METRICS[name].meaning, labels=_labels(name))


def _gauge(name: MetricName) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, METRICS[name].meaning, labels=_labels(name))


def _histogram(name: MetricName) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, METRICS[name].meaning, labels=_labels(name))
