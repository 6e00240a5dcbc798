"""The compacted topic `{worker id}.budget`: the log through which workers share their budgets.

Its order decides (`streams.policies.shared_budget`). Reading begins at its beginning, before the
first call, and goes on to the end of the worker. Where it cannot be written or read no new money is
claimed, and calls wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from streams.codec.budget_records import BudgetRecord, decode_budget, encode_budget
from streams.kafka.topics import TopicSpec
from streams.settings.values import budget_topic
from streams.worker.group_topic import GroupTopic, RecordCodec

SETTINGS: Final = (
    ("cleanup.policy", "compact"),
    ("min.compaction.lag.ms", "3600000"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "LogAppendTime"),
)
"""Whatever the source has. Who judges a claim must find the records before it; that takes seconds,
and the lag is an hour."""


def budget_spec(worker_id: str, source: str) -> TopicSpec:
    """How the topic is created."""
    return TopicSpec(
        budget_topic(worker_id), source, compacts=True, settings=SETTINGS, partitions=1
    )


def make_budget_topic(
    worker_id: str, keywords: Mapping[str, Any], on_record: Callable[[BudgetRecord], None]
) -> GroupTopic[BudgetRecord]:
    """Not started. `keywords`: of Kafka's clients."""
    codec = RecordCodec(encode_budget, decode_budget)
    meanwhile = "Calls wait for money meanwhile"
    return GroupTopic(budget_topic(worker_id), keywords, codec, on_record, meanwhile=meanwhile)
