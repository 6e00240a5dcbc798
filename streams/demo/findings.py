"""The demo's outcomes: the sink and the dead letters, read back and compared with the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.codec.strict_json import read
from streams.jobs.judge import Outcome, Verdict, judge, outcome_of
from streams.kafka.client import client_arguments, connected
from streams.policies.code_counts import CodeCounts
from streams.settings import KafkaSettings

SAMPLES: Final = 5
Place = tuple[int, int]
"""Partition and offset of an item."""


@dataclass
class Findings:
    """`samples`: the first few results, as (place of the item, envelope). `labels`: number of items
    by label; `dead_letters`: by code."""

    verdict: Verdict = field(default_factory=lambda: Verdict(0, 0, 0))
    samples: list[tuple[Place, dict[str, Any]]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    dead_letters: CodeCounts = field(default_factory=CodeCounts)

    def add(self, outcome: Outcome, record: Any) -> None:
        code = dict(record.headers).get("streams-error-code")
        if code is not None:
            self.dead_letters.add(code.decode("utf-8", "replace"))
            return
        envelope = read(record.value)
        self.labels[envelope["result"]["label"]] += 1
        if len(self.samples) < SAMPLES:
            place = outcome.source_partition, outcome.source_offset
            self.samples.append((place, envelope))


async def find(
    kafka: KafkaSettings, topics: Sequence[TopicPartition], places: list[Place]
) -> Findings:
    """Read these partitions to their ends. `places`: of every item that was published."""
    consumer = AIOKafkaConsumer(
        **client_arguments(kafka), auto_offset_reset="earliest", enable_auto_commit=False
    )
    findings = Findings()
    outcomes: list[Outcome] = []
    quiet = 0
    async with connected(consumer, kafka.bootstrap_servers):
        consumer.assign(list(topics))
        while quiet < 2 and (len(outcomes) < len(places) or not quiet):
            fetched = await consumer.getmany(timeout_ms=500)
            quiet = 0 if fetched else quiet + 1
            for records in fetched.values():
                for record in records:
                    outcome = outcome_of(record)
                    if outcome is not None:
                        outcomes.append(outcome)
                        findings.add(outcome, record)
    findings.verdict = judge(places, outcomes)
    return findings
