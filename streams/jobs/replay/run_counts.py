"""The sums of a run over its processes, and its summary (contract section 6): pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.run_facts import RunFacts, RunState
from streams.model import added
from streams.running.tally import TaskCounts, summary

COST_FACTOR = 1.5
ANY_NUMBER = 1_000_000
_SUMS = ("calls", "retries", "splits", "input_tokens", "output_tokens")


def added_counts(before: Mapping[str, Any], now: TaskCounts) -> dict[str, Any]:
    """What the run's earlier processes counted, and this one's. `nano_usd`: None: not known."""
    found = summary([now])
    sums = {name: before.get(name, 0) + found[name] for name in _SUMS}
    sums["called_items"] = before.get("called_items", 0) + now.calls.called_items
    sums["answered"] = before.get("answered", 0) + now.calls.by_status["ok"]
    sums["answered_s"] = before.get("answered_s", 0.0) + now.calls.answered_calls_s
    sums["elapsed_s"] = before.get("elapsed_s", 0.0) + found["elapsed_s"]
    sums["max_in_flight_seen"] = max(
        before.get("max_in_flight_seen", 0), found["max_in_flight_seen"]
    )
    nano_usd = added(before.get("nano_usd", 0), now.calls.cost_nano_usd)
    sums["nano_usd"] = nano_usd
    sums["cost_usd"] = None if nano_usd is None else nano_usd / 1e9
    for name in ("latency_ms_p50", "latency_ms_p99"):  # of the newest process that had any
        sums[name] = found[name] if found["items"] else before.get(name, found[name])
    return sums


def calls_allowed(counts: Mapping[str, Any], limit_usd: float) -> int:
    """How many calls may be in flight at once within the limit, if each takes half as much again as
    the mean; one is kept back, since with each reply another call begins before its cost is seen.
    Of the first call nothing is known: it goes alone."""
    cost_usd, answered = counts["cost_usd"], counts["answered"]
    if not answered:
        return 1
    if not cost_usd:  # nothing is paid; a price that is not known is refused before
        return ANY_NUMBER
    return int((limit_usd - cost_usd) / (COST_FACTOR * cost_usd / answered)) - 1


def run_summary(
    facts: RunFacts, state: RunState, counts: Mapping[str, Any], found: Completeness
) -> dict[str, Any]:
    """What `replay --json` prints: outcomes from the topics, calls from the run's sums."""
    verdict = found.verdict
    items = found.items
    calls, elapsed_s = counts.get("calls", 0), counts.get("elapsed_s", 0.0)
    answered = counts.get("answered", 0)
    serial_s = items * counts.get("answered_s", 0.0) / answered if answered else 0.0
    return {
        "run": facts.run,
        "mode": facts.mode,
        "state": state,
        "from": facts.first,
        "until": facts.until,
        "items": items,
        "results": found.outcomes - found.dead,
        "dead_letters": found.dead,
        "drops": found.drops,
        **verdict._asdict(),
        "calls": calls,
        "retries": counts.get("retries", 0),
        "splits": counts.get("splits", 0),
        "mean_batch_items": round(counts["called_items"] / calls, 2) if calls else 0.0,
        "max_in_flight_seen": counts.get("max_in_flight_seen", 0),
        "elapsed_s": round(elapsed_s, 3),
        "items_per_s": round(items / elapsed_s, 1) if elapsed_s else 0.0,
        "latency_ms_p50": counts.get("latency_ms_p50"),
        "latency_ms_p99": counts.get("latency_ms_p99"),
        "input_tokens": counts.get("input_tokens", 0),
        "output_tokens": counts.get("output_tokens", 0),
        "cost_usd": counts.get("cost_usd", 0.0),
        "one_call_per_item_s": round(serial_s, 3),
        "speedup": round(serial_s / elapsed_s, 1) if elapsed_s else 0.0,
    }
