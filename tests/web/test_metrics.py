"""The metrics are the contract's, and their figures those of the work that was done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from streams.core.account import Account
from streams.core.rate_line import RateLine
from streams.errors import CallError, Fault, ItemError
from streams.model import Item
from streams.observe.metric_table import METRICS, MetricName
from streams.observe.metrics import WorkerMetrics
from streams.observe.web.state import StateView
from streams.policies.budget import Budgets
from streams.policies.code_counts import MAX_CODES
from streams.policies.demand import PerMinute
from streams.policies.rate import Rate
from tests.web.assembly import NO_WAIT, Played, Steered, money

CONTRACT = {
    "streams_items_total": {"outcome"},
    "streams_calls_total": {"status"},
    "streams_call_seconds": set(),
    "streams_batch_items": set(),
    "streams_batch_wait_seconds": set(),
    "streams_batch_flush_total": {"reason"},
    "streams_in_flight_calls": set(),
    "streams_in_flight_limit": set(),
    "streams_reorder_items": {"partition"},
    "streams_lag_items": {"partition"},
    "streams_watermark_age_seconds": {"partition"},
    "streams_retries_total": {"reason"},
    "streams_splits_total": set(),
    "streams_throttled_seconds_total": set(),
    "streams_dead_letters_total": {"code"},
    "streams_tokens_total": {"kind"},
    "streams_cost_usd_total": set(),
    "streams_budget_left_usd": {"period"},
    "streams_latency_seconds": set(),
    "streams_late_items_total": set(),
    "streams_invalid_flush_by_total": set(),
    "streams_token_estimate_error": set(),
    "streams_limit_per_minute": {"limit"},
    "streams_limit_pace": set(),
    "streams_limit_wait_seconds_total": {"reason"},
    "streams_batch_items_limit": set(),
}
"""Section 8 of the contract, and what issue 12 adds: each name and its labels besides `task`."""

NEEDS_REPLIES = "streams_token_estimate_error"
"""It has no sample before an API has said what a call took; a function never does."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(played: Played) -> Samples:
    """Every sample, by its name and its labels besides `task`."""
    samples: Samples = {}
    for family in text_string_to_metric_families(
        WorkerMetrics(played.worker).exposition().decode()
    ):
        for sample in family.samples:
            labels = {**sample.labels}
            assert labels.pop("task") == "sentiment"
            samples[sample.name, frozenset(labels.items())] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def by(samples: Samples, name: str) -> dict[str, float]:
    """The values of a metric with one label, by its value."""
    return {
        next(iter(labels))[1]: number for (each, labels), number in samples.items() if each == name
    }


async def judge(items: Sequence[Item]) -> list[Any]:
    """A custom function: some results, a dead letter, a drop, and one item that breaks its call."""
    if any(item.text == "breaks" for item in items):
        raise ValueError(items[0].text)
    special = {"bad": ItemError("odd", "is odd"), "drop": None}
    return [special.get(item.text, {"label": "good"}) for item in items]


async def worked() -> Played:
    """Six items in calls of two: three results, a drop, a dead letter, a breaking item."""
    rate = Rate(PerMinute(1e6, 1e9, 1e9), -60.0)
    account = Account(NO_WAIT, NO_WAIT, lambda: 0.5, rates=RateLine(rate), adapts=True)
    played = Played(judge, money=money(Budgets(day=10**9, total=10**10)), account=account)
    (lane,) = played.assign(3)
    played.arrive(lane, "a", "bad", "drop", "b", "breaks", "c")
    await played.until_settled(6)
    return played


async def test_the_exposition_has_exactly_the_contracts_names_types_and_labels() -> None:
    async with await worked() as played:
        text = WorkerMetrics(played.worker).exposition().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert METRICS[name].kind == family.type  # type: ignore[index]
        assert family.documentation == METRICS[name].meaning  # type: ignore[index]
        assert family.samples or name == NEEDS_REPLIES
        for sample in family.samples:
            labels = set(sample.labels)
            assert "task" in labels
            found.setdefault(name, set()).update(labels - {"task", "le"})
            assert family.type == "histogram" or sample.name == name
    assert found == {name: labels for name, labels in CONTRACT.items() if name != NEEDS_REPLIES}


def test_the_table_is_the_contracts_and_says_what_each_metric_means() -> None:
    assert {name: set(metric.labels) for name, metric in METRICS.items()} == CONTRACT
    assert set(get_args(MetricName)) == set(CONTRACT)
    for name, metric in METRICS.items():
        assert len(metric.meaning) > 20
        assert name.endswith("_total") == (metric.kind == "counter")
        assert ("_seconds" in name) == (metric.unit == "seconds")


async def test_items_are_counted_by_outcome_and_dead_letters_by_code() -> None:
    async with await worked() as played:
        samples = scrape(played)
    outcomes = {"result": 3.0, "dead_letter": 2.0, "drop": 1.0}
    assert by(samples, "streams_items_total") == outcomes
    assert by(samples, "streams_dead_letters_total") == {"odd": 1.0, "function_error": 1.0}


async def test_what_a_budget_has_left_is_told_by_period() -> None:
    async with await worked() as played:
        left = by(scrape(played), "streams_budget_left_usd")
    assert set(left) == {"day", "total"}
    assert 0.9 < left["day"] < 1
    async with Played(judge) as played:
        assert by(scrape(played), "streams_budget_left_usd") == {}


async def test_what_the_account_allows_and_what_held_calls_back_is_told() -> None:
    async with await worked() as played:
        samples = scrape(played)
        limits = StateView(played.worker, "w").worker()["tasks"][0]["limits"]
    allowed = {"requests": 1e6, "input_tokens": 1e9, "output_tokens": 1e9}
    assert by(samples, "streams_limit_per_minute") == pytest.approx(allowed)
    assert 0.1 <= value(samples, "streams_limit_pace") <= 1
    assert value(samples, "streams_in_flight_limit") == value(samples, "streams_batch_items_limit")
    waits = by(samples, "streams_limit_wait_seconds_total")
    assert set(waits) == {"requests", "input_tokens", "output_tokens", "in_flight"}
    assert limits["per_minute"]["requests"] == 1e6
    assert limits["allows_items_per_s"] > 0
    async with Played(judge) as played:
        assert by(scrape(played), "streams_limit_per_minute") == {}


async def test_a_tombstone_that_is_passed_on_is_a_result() -> None:
    async with Played(judge) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, None)
        await played.until_settled(1)
        assert by(scrape(played), "streams_items_total")["result"] == 1.0


async def test_every_call_is_counted_once_as_new_as_retry_or_as_split() -> None:
    async with await worked() as played:
        samples = scrape(played)
    assert by(samples, "streams_calls_total") == {"ok": 3.0, "function_error": 2.0}
    assert by(samples, "streams_batch_flush_total") == {"count": 3.0}
    assert by(samples, "streams_retries_total") == {"function_error": 1.0}
    assert value(samples, "streams_splits_total") == 1.0
    assert value(samples, "streams_call_seconds_count") == 5.0


async def test_batch_items_tell_how_full_calls_were_and_batch_wait_counts_new_ones_alone() -> None:
    async with await worked() as played:
        samples = scrape(played)
    assert value(samples, "streams_batch_items_count") == 5.0
    assert value(samples, "streams_batch_items_sum") == 8.0
    assert value(samples, "streams_batch_items_bucket", le="1.0") == 2.0
    assert value(samples, "streams_batch_items_bucket", le="2.0") == 5.0
    assert value(samples, "streams_batch_wait_seconds_count") == 3.0


async def test_latency_counts_every_item_with_an_outcome_from_its_timestamp() -> None:
    async with await worked() as played:
        samples = scrape(played)
    assert value(samples, "streams_latency_seconds_count") == 6.0
    assert value(samples, "streams_latency_seconds_bucket", le="3600.0") == 0.0


async def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    async with await worked() as played:
        samples = scrape(played)
    for name, metric in METRICS.items():
        if metric.kind == "histogram":
            buckets = sorted(
                (float(bound), number) for bound, number in _bounds(samples, f"{name}_bucket")
            )
            counts = [number for _, number in buckets]
            assert counts == sorted(counts)
            assert buckets[-1] == (float("inf"), value(samples, f"{name}_count"))


def _bounds(samples: Samples, name: str) -> list[tuple[str, float]]:
    return [(dict(labels)["le"], n) for (each, labels), n in samples.items() if each == name]


async def test_a_counter_is_there_before_it_counts_anything() -> None:
    async with Played(judge) as played:
        samples = scrape(played)
    assert by(samples, "streams_items_total") == {"result": 0.0, "dead_letter": 0.0, "drop": 0.0}
    assert by(samples, "streams_tokens_total") == {"input": 0.0, "output": 0.0}
    assert value(samples, "streams_splits_total") == 0.0
    assert value(samples, "streams_throttled_seconds_total") == 0.0


async def test_calls_in_flight_and_their_limit_are_those_of_the_moment() -> None:
    steered = Steered()
    async with Played(caller=steered, max_in_flight=3) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a", "b", "c")
        await steered.begun(2)
        samples = scrape(played)
        assert value(samples, "streams_in_flight_calls") == 2.0
        assert value(samples, "streams_in_flight_limit") == 3.0
        steered.answer(0)
        await played.until_settled(2)
        assert value(scrape(played), "streams_in_flight_calls") == 1.0


async def test_what_waits_for_its_turn_is_counted_for_its_partition_alone() -> None:
    steered = Steered()
    async with Played(caller=steered, max_items=1) as played:
        first, _ = played.assign(1, 2)
        played.arrive(first, "a", "b")
        await steered.begun(2)
        steered.answer(1)
        await played.until(lambda: played.task.statistics().reordering == 1)
        assert by(scrape(played), "streams_reorder_items") == {"1": 1.0, "2": 0.0}


async def test_lag_is_the_end_of_the_log_minus_the_watermark() -> None:
    steered = Steered()
    async with Played(caller=steered) as played:
        lane, unread = played.assign(0, 1, offset=100)
        played.arrive(lane, "a", "b", "c", end=130)
        await steered.begun(1)
        assert by(scrape(played), "streams_lag_items") == {"0": 30.0}
        steered.answer(0)
        await played.until_settled(2)
        assert by(scrape(played), "streams_lag_items") == {"0": 28.0}
        played.consumer.ends[unread.where] = 100
        assert by(scrape(played), "streams_lag_items")["1"] == 0.0


async def test_offsets_that_are_no_records_are_no_lag_once_the_reader_has_passed_them() -> None:
    async with Played(judge) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a", end=2)
        await played.until_settled(1)
        assert by(scrape(played), "streams_lag_items") == {"0": 1.0}
        played.consumer.positions[lane.where] = 2  # a transaction's marker at offset 1
        assert by(scrape(played), "streams_lag_items") == {"0": 0.0}


async def test_the_watermarks_age_counts_from_its_last_move_while_an_item_waits_behind_it() -> None:
    steered = Steered()
    async with Played(caller=steered, max_items=1) as played:
        lane, other = played.assign(0, 1)
        began, opened, loop_time = (
            lane.watermark_moved_at,
            other.watermark_moved_at,
            asyncio.get_running_loop().time,
        )
        played.arrive(lane, "a", "b")
        await steered.begun(2)
        steered.answer(0)
        await played.until_settled(1)
        assert lane.watermark_moved_at > began
        ages = by(scrape(played), "streams_watermark_age_seconds")
        assert ages["1"] == 0.0
        assert 0.0 < ages["0"] <= loop_time() - lane.watermark_moved_at
        steered.answer(1)
        await played.until_settled(2)
        assert by(scrape(played), "streams_watermark_age_seconds") == {"0": 0.0, "1": 0.0}
        assert other.watermark_moved_at == opened


async def test_the_watermarks_age_is_that_of_the_wait_not_of_the_quiet_before_it() -> None:
    steered = Steered()
    async with Played(caller=steered) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        await steered.begun(1)
        head = played.task._engine.lanes[lane].unsettled[0]
        now = asyncio.get_running_loop().time()
        for moved_s, arrived_s, age in ((500, 20, 20), (20, 500, 20)):
            lane.watermark_moved_at, head.arrived_at = now - moved_s, now - arrived_s
            seen = by(scrape(played), "streams_watermark_age_seconds")["0"]
            assert age <= seen < age + 10


async def test_an_outcome_that_is_durable_before_an_earlier_one_does_not_move_the_watermark() -> (
    None
):
    async with Played(judge) as played:
        played.sink.holding = True
        (lane,) = played.assign(0)
        played.arrive(lane, "bad", "a")  # a dead letter and a result go to two topics
        await played.until(lambda: len(played.sink.held) == 2)
        results, dead_letters = played.sink.held
        began = lane.watermark_moved_at
        results.sender.delivered(results.lane, results.slots)
        assert played.task.watermark(lane) == 0
        assert lane.watermark_moved_at == began
        dead_letters.sender.delivered(dead_letters.lane, dead_letters.slots)
        assert played.task.watermark(lane) == 2
        assert lane.watermark_moved_at > began


async def test_a_partition_that_went_away_has_no_samples() -> None:
    async with await worked() as played:
        assert by(scrape(played), "streams_reorder_items")
        await played.worker.on_revoked()
        samples = scrape(played)
        for name in ("streams_reorder_items", "streams_lag_items", "streams_watermark_age_seconds"):
            assert by(samples, name) == {}
        assert value(samples, "streams_items_total", outcome="result") == 3.0


async def test_time_under_the_apis_limits_is_throttled_time_while_it_lasts() -> None:
    steered = Steered()
    async with Played(caller=steered) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "a")
        await steered.begun(1)
        steered.fail(0, CallError(Fault.THROTTLED, "slow down", retry_after_s=3600))
        await played.until(lambda: played.task.statistics().paused_reason is not None)
        first = value(scrape(played), "streams_throttled_seconds_total")
        assert value(scrape(played), "streams_throttled_seconds_total") > first > 0
        assert by(scrape(played), "streams_calls_total") == {"ok": 0.0, "throttled": 1.0}


async def test_no_label_ever_holds_anything_of_an_item() -> None:
    async def careless(items: Sequence[Item]) -> list[Any]:
        return [ItemError(item.text, item.text) for item in items]

    async with Played(careless) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, "A secret text", "a", "Ünïcode", "x" * 500, "with-dash")
        await played.until_settled(5)
        text = WorkerMetrics(played.worker).exposition().decode()
        assert by(scrape(played), "streams_dead_letters_total") == {"a": 1.0, "function_error": 4.0}
    for told in ("secret", "Ünïcode", "xxx", "dash", "key-of-the-item"):
        assert told not in text


async def test_a_function_that_makes_up_a_code_for_each_item_fills_a_bounded_number_of_labels() -> (
    None
):
    async def careless(items: Sequence[Item]) -> list[Any]:
        return [ItemError(f"bad_{item.offset}") for item in items]

    async with Played(careless) as played:
        (lane,) = played.assign(0)
        played.arrive(lane, *["text"] * (MAX_CODES + 50))
        await played.until_settled(MAX_CODES + 50)
        counts = by(scrape(played), "streams_dead_letters_total")
        (shown,) = StateView(played.worker, "one").worker()["tasks"]  # type: ignore[arg-type]
    assert len(counts) == MAX_CODES + 1
    assert counts["other"] == 50.0
    assert shown["dead_letters"] == counts
    assert shown["items"]["dead_letters"] == MAX_CODES + 50


async def test_two_workers_in_one_process_do_not_meet_and_the_global_registry_stays_empty() -> None:
    async with await worked() as one, Played(judge) as other:
        assert value(scrape(one), "streams_items_total", outcome="result") == 3.0
        assert value(scrape(other), "streams_items_total", outcome="result") == 0.0
    names: Mapping[str, Any] = REGISTRY._names_to_collectors
    assert not [name for name in names if name.startswith("streams_")]


async def test_a_task_without_a_known_price_has_no_sample_of_its_cost() -> None:
    """0 would be a claim, and is one for a task whose price is known."""
    name = "streams_cost_usd_total"
    async with Played(judge) as priced, Played(judge, has_price=False) as unpriced:
        assert value(scrape(priced), name) == 0
        assert (name, frozenset()) not in scrape(unpriced)
        assert StateView(unpriced.worker, "w").worker()["tasks"][0]["cost_usd"] is None
