"""The collector that fills the metrics of a worker (`metric_table`).

Nothing here runs while items are processed: a scrape reads the engines' statistics, the tallies and
the partitions as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from streams.observe.metric_table import METRICS, MetricName
from streams.policies.demand import KINDS
from streams.running.histograms import Distribution
from streams.worker.partition import Partition
from streams.worker.task import TaskShell

REASONS: Final = (*KINDS, "in_flight")
"""Of waits; those that are always told, so that a rate over them begins at 0."""
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
        yield from _limit_metrics(tasks)
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
    error = _gauge("streams_token_estimate_error")
    for task in tasks:
        name, statistics = task.parts.name, task.statistics()
        _add_each(calls, name, task.call_tally.by_status)
        _add_each(flushes, name, statistics.calls_by_reason)
        _add_each(retries, name, task.call_tally.retries)
        splits.add_metric([name], statistics.splits)
        throttled.add_metric([name], task.call_tally.throttled_s(now))
        in_flight.add_metric([name], statistics.in_flight)
        if statistics.token_estimate_error is not None:
            error.add_metric([name], statistics.token_estimate_error)
    return (calls, flushes, retries, splits, throttled, in_flight, error)


def _limit_metrics(tasks: Sequence[TaskShell]) -> Sequence[Family]:
    in_flight = _gauge("streams_in_flight_limit")
    items = _gauge("streams_batch_items_limit")
    per_minute = _gauge("streams_limit_per_minute")
    pace = _gauge("streams_limit_pace")
    waits = _counter("streams_limit_wait_seconds_total")
    for task in tasks:
        name, view = task.parts.name, task.limits()
        in_flight.add_metric([name], task.parts.calls_now(view.in_flight))
        items.add_metric([name], view.batch_items)
        pace.add_metric([name], view.pace)
        for limit, value in view.per_minute._asdict().items():
            if value is not None:
                per_minute.add_metric([name, limit], value)
        _add_each(waits, name, {**dict.fromkeys(REASONS, 0.0), **view.waited_s})
    return (in_flight, items, per_minute, pace, waits)


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


def _add_each(family: CounterMetricFamily, task: str, counts: Mapping[str, float]) -> None:
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
