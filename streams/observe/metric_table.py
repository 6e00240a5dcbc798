"""Every metric of a worker in one typed table: what it is called, counts and says.

Labels hold names of tasks, partitions, reasons and codes, never anything of an item.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["items", "calls", "seconds", "tokens", "dollars", "ratio", "per minute"]

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
    "streams_limit_per_minute",
    "streams_limit_pace",
    "streams_limit_wait_seconds_total",
    "streams_batch_items_limit",
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
    "streams_in_flight_limit": Metric(
        "gauge",
        "calls",
        "The most calls in flight now: max_in_flight, or what the API takes at once.",
    ),
    "streams_batch_items_limit": Metric(
        "gauge",
        "items",
        "The most items in a call now: max_items, or fewer while replies show that these are too "
        "many.",
    ),
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
    "streams_limit_per_minute": Metric(
        "gauge",
        "per minute",
        "What the account allows, our share of it: requests, input_tokens, output_tokens; no "
        "sample for what is not known.",
        ("limit",),
    ),
    "streams_limit_pace": Metric(
        "gauge", "ratio", "The part of the limits that the slow start allows: 1 after it."
    ),
    "streams_limit_wait_seconds_total": Metric(
        "counter",
        "seconds",
        "For how long a call was due and waited, by what held it back: a limit per minute, "
        "in_flight (what the API takes at once), retry_after, first_replies, or the cause of a "
        "pause.",
        ("reason",),
    ),
    "streams_invalid_flush_by_total": Metric(
        "counter", "items", "Items whose flush_by is no time; they wait as items without one."
    ),
}
