"""The JSON of `/state`: what each task and partition is doing, and what holds it back.

Times: `*_ms` are milliseconds since the epoch, `*_s` durations in seconds. Counts are since the
start of the worker. `committed` is one below where reading began until something is committed.
Nothing of an item but its offset is in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from math import inf
from typing import Any, Protocol

from streams.core.call import State
from streams.core.inspect import Blocking, Statistics
from streams.policies.budget import Budgets, BudgetView
from streams.worker.partition import Partition
from streams.worker.task import TaskShell


class ViewedWorker(Protocol):
    """The attributes of a worker that are read; `streams.worker.worker.Worker` has them."""

    @property
    def ready(self) -> bool: ...
    @property
    def draining(self) -> bool: ...
    @property
    def tasks(self) -> Sequence[TaskShell]: ...
    @property
    def partitions(self) -> Sequence[Partition]: ...
    def position(self, partition: Partition) -> int | None: ...
    def end(self, partition: Partition) -> int | None: ...
    def lag(self, partition: Partition) -> int | None: ...
    def has_room(self, partition: Partition) -> bool: ...


class StateView:
    """Makes the JSON values of one worker, in its loop. `started_at_ms`: when the worker began."""

    def __init__(self, worker: ViewedWorker, worker_id: str) -> None:
        self._worker = worker
        self._id = worker_id
        self._started_at_ms = int(time.time() * 1000)

    def worker(self) -> dict[str, Any]:
        """The whole of `/state`."""
        clock = Clock()
        worker = self._worker
        return {
            "worker": self._id,
            "state": self.phase,
            "started_at_ms": self._started_at_ms,
            "now_ms": clock.now_ms,
            "tasks": [self._task(task, clock) for task in worker.tasks],
        }

    def stopped_budgets(self) -> list[dict[str, Any]]:
        """The tasks that a budget stops, as `/health` has them."""
        clock, found = Clock(), []
        for task in self._worker.tasks:
            state = budget_state(task.budget(), clock)
            if state is not None and state["stopped_by"] is not None:
                facts = {key: state[key] for key in ("stopped_by", "until_ms")}
                found.append({"task": task.parts.name, **facts})
        return found

    @property
    def phase(self) -> str:
        """ "starting" until partitions are assigned, then "running", "stopping" at the end."""
        if self._worker.draining:
            return "stopping"
        return "running" if self._worker.ready else "starting"

    def _task(self, task: TaskShell, clock: Clock) -> dict[str, Any]:
        statistics, tally, calls = task.statistics(), task.tally, task.call_tally
        partitions = sorted(
            (partition for partition in self._worker.partitions if partition.task is task),
            key=lambda partition: partition.where.partition,
        )
        return {
            "name": task.parts.name,
            "source": task.parts.source,
            "sink": task.route.sink,
            "dead_letter": task.route.dead_letter,
            "items": {
                "outcomes": tally.items,
                "results": tally.results + tally.forwarded,
                "dead_letters": sum(tally.dead_letters.values()),
                "drops": tally.drops,
                "from_ledger": tally.from_ledger,
                "late": tally.late,
                "waiting": statistics.waiting + statistics.parked,
                "retrying": statistics.retrying,
                "reordering": statistics.reordering,
                "delivering": statistics.delivering,
            },
            "dead_letters": dict(tally.dead_letters),
            "calls": _calls(task, statistics),
            "limits": _limits(task),
            **_stages(task),
            "paused": _paused(statistics, clock),
            "budget": budget_state(task.budget(), clock),
            "throttled_s": round(calls.throttled_s(clock.now), 3),
            "latency_ms": {f"p{p}": tally.latencies.percentile(p / 100) for p in (50, 99)},
            "tokens": _tokens(task, statistics),
            "cost_usd": calls.cost_usd,
            "held_bytes": statistics.buffered_bytes,
            "partitions": [
                self._partition(task, partition, statistics, clock) for partition in partitions
            ],
        }

    def _partition(
        self, task: TaskShell, partition: Partition, statistics: Statistics, clock: Clock
    ) -> dict[str, Any]:
        found = statistics.lanes.get(partition)
        blocking = task.blocking(partition)
        return {
            "partition": partition.where.partition,
            "watermark": task.watermark(partition),
            "committed": partition.committed.offset if partition.committed.is_committed else None,
            "position": self._worker.position(partition),
            "end": self._worker.end(partition),
            "lag": self._worker.lag(partition),
            "watermark_age_s": round(task.watermark_age_s(partition), 3),
            "held_bytes": task.buffered_bytes(partition),
            "full": not self._worker.has_room(partition),
            "unsettled": found.unsettled if found else 0,
            "reordering": found.reordering if found else 0,
            "delivering": found.delivering if found else 0,
            "halted": found.halted if found else False,
            "blocking": None if blocking is None else _blocking(blocking, statistics, task, clock),
        }


class Clock:
    """The same moment on both clocks of a worker."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time()
        self.now_ms = int(time.time() * 1000)

    def epoch_ms(self, loop_s: float | None) -> int | None:
        return None if loop_s is None else self.now_ms + round((loop_s - self.now) * 1000)


def _calls(task: TaskShell, statistics: Statistics) -> dict[str, Any]:
    items, calls = task.call_tally.called_items, statistics.calls
    return {
        "in_flight": statistics.in_flight,
        "max_in_flight": task.parts.max_in_flight,
        "max_in_flight_seen": statistics.max_in_flight_seen,
        "started": calls,
        "retries": statistics.retries,
        "splits": statistics.splits,
        "by_status": dict(task.call_tally.by_status),
        "mean_items": round(items / calls, 2) if calls else None,
    }


def _limits(task: TaskShell) -> dict[str, Any]:
    """`binding`: what holds the next call back; None: nothing. `allows_items_per_s`: what the
    limits per minute let through at most; None: not known."""
    view = task.limits()
    allows = view.allows_items_per_s
    return {
        "binding": view.binding,
        "allows_items_per_s": None if allows is None else round(allows, 1),
        "per_minute": {k: round(v) for k, v in view.per_minute._asdict().items() if v is not None},
        "pace": round(view.pace, 3),
        "calls_at_once": task.parts.calls_now(view.in_flight),
        "items_per_call": view.batch_items,
        "waited_s": {reason: round(waited_s, 3) for reason, waited_s in view.waited_s.items()},
    }


def _tokens(task: TaskShell, statistics: Statistics) -> dict[str, Any]:
    calls, error = task.call_tally, statistics.token_estimate_error
    return {
        "input": calls.input_tokens,
        "output": calls.output_tokens,
        "estimate_error": None if error is None else round(error, 3),
    }


def _stages(task: TaskShell) -> dict[str, Any]:
    """The stages of a pipeline, and the one that holds the others up."""
    if task.parts.pipeline is None:
        return {}
    now = task.parts.pipeline.stages()
    return {"stages": [each._asdict() for each in now.stages], "bottleneck": now.bottleneck}


def _paused(statistics: Statistics, clock: Clock) -> dict[str, Any] | None:
    if statistics.paused_until is None:
        return None
    return {
        "reason": statistics.paused_reason,
        "until_ms": clock.epoch_ms(statistics.paused_until),
        "message": statistics.paused_message,
    }


def budget_state(view: BudgetView | None, clock: Clock) -> dict[str, Any] | None:
    """`stopped_by`: "hour", "day" or "total": a call does not fit it; None: calls may start.
    `until_ms`: when that one begins anew; None: it does not."""
    if view is None:
        return None
    stopped = view.binding is not None
    return {
        "on_budget": view.on_budget,
        "budget_usd": _in_usd(view.budgets),
        "left_usd": _in_usd(view.left),
        "stopped_by": view.binding,
        "until_ms": clock.epoch_ms(view.opens_at) if stopped and view.opens_at < inf else None,
        "slowed": view.is_slowed,
    }


def _in_usd(budgets: Budgets) -> dict[str, float]:
    return {name: nano / 1e9 for name, nano in budgets._asdict().items() if nano is not None}


def _blocking(
    blocking: Blocking, statistics: Statistics, task: TaskShell, clock: Clock
) -> dict[str, Any]:
    return {
        "offset": blocking.seq,
        "state": blocking.state.value,
        "since_ms": clock.epoch_ms(blocking.since),
        "until_ms": clock.epoch_ms(blocking.until),
        "calls": blocking.calls,
        "batch_id": blocking.call_id,
        "reason": _reason(blocking, statistics, task, clock.now),
    }


def _reason(blocking: Blocking, statistics: Statistics, task: TaskShell, now: float) -> str:
    """Why the item has no durable outcome yet, in a few words."""
    match blocking.state:
        case State.WAITING:
            return _why_waiting(statistics, task)
        case State.IN_FLIGHT:
            return _why_in_flight(blocking, statistics, task)
        case State.RETRYING:
            if statistics.paused_reason is not None:
                return f"{blocking.reason}; the task is paused: {statistics.paused_reason}"
            wait_s = max(0.0, (blocking.until or now) - now)
            return f"{blocking.reason}; tried again in {wait_s:.1f} s"
        case State.RELEASED:
            return "its outcome is not acknowledged by its topic yet"
    return str(blocking.state.value)


def _why_in_flight(blocking: Blocking, statistics: Statistics, task: TaskShell) -> str:
    if task.parts.pipeline is None:
        return f"no reply from call {blocking.call_id} yet"
    if statistics.paused_reason is not None:
        return f"in the pipeline, which is paused: {statistics.paused_message}"
    return "in the pipeline: its last stage has no outcome yet"


def _why_waiting(statistics: Statistics, task: TaskShell) -> str:
    most = task.parts.max_in_flight
    if statistics.paused_reason is not None:
        return f"the task is paused: {statistics.paused_reason}"
    budget = task.budget()
    if budget is not None and budget.binding is not None:
        return f"the budget is spent ({budget.binding})"
    if budget is not None and budget.is_slowed:
        return "calls are spread, so that the budget lasts"
    if statistics.parked:
        return "no new calls: the partition is handed back"
    if task.parts.pipeline is not None:
        return "the pipeline has no room for more"
    binding = task.limits().binding
    if binding is not None and binding != "in_flight":
        return f"its call waits for the account: {binding}"
    if statistics.in_flight >= most:
        return f"every call that may run is under way ({most})"
    return "its microbatch is still open"
