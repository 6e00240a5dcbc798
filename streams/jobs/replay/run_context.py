"""A run that is open: its facts, its state, and the connections that both modes use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.codec.results import RUN_HEADER
from streams.core.limits import Order
from streams.jobs.judge import outcome_of
from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.run_facts import DROPS, PROGRESS, RunFacts, RunProgress, read_ranges
from streams.jobs.replay.run_hold import HeldKeys, RunHold
from streams.jobs.replay.where_filter import Where
from streams.kafka.tail import Start, tail
from streams.kafka.topics import TopicFacts
from streams.plans import Plan
from streams.settings import KafkaSettings, Settings


@dataclass(frozen=True, slots=True)
class RunContext:
    """`arguments`: how every client connects. `consumer`: without a group, for one reader at a
    time. `topics`: facts of source, sink, dead letters and recorded answers. `hold`: our right to
    do the run. `embedded`: the broker is the embedded one."""

    settings: Settings
    environ: Mapping[str, str]
    plan: Plan
    facts: RunFacts
    where: Where | None
    keys: HeldKeys
    arguments: Mapping[str, Any]
    consumer: Any
    topics: Mapping[str, TopicFacts]
    hold: RunHold
    embedded: bool

    @property
    def kafka(self) -> KafkaSettings:
        return self.settings.kafka

    @property
    def order(self) -> Order:
        return self.plan.task.order

    @property
    def may_write(self) -> Callable[[], bool]:
        """Whether this process still has the run."""
        return self.hold.may_write

    async def written(self, state: Mapping[str, bytes]) -> Completeness:
        """What the run has written so far, by the topics and its noted drops. Raises
        BrokerError."""
        facts = self.facts
        found = Completeness(dict(facts.extents), self.order)
        run = facts.run.encode()
        starts = {facts.sink: facts.sink_starts, facts.dead_letter: facts.dead_starts}
        for topic, offsets in starts.items():
            start = Start("offsets", offsets=offsets)
            async for records in tail(self.kafka, topic, start, to_end=True, uncommitted=True):
                for record in records:
                    if (RUN_HEADER, run) not in record.headers:
                        continue
                    outcome = outcome_of(record)
                    if outcome is not None:
                        found.outcome(outcome, dead=topic == facts.dead_letter)
        for partition, ranges in drops_of(state).items():
            found.dropped(partition, ranges)
        return found


def drops_of(state: Mapping[str, bytes]) -> dict[int, Any]:
    """By partition, the positions that the run's state notes as dropped."""
    return {
        int(key.removeprefix(DROPS)): read_ranges(value)
        for key, value in state.items()
        if key.startswith(DROPS)
    }


def progress_of(state: Mapping[str, bytes]) -> RunProgress:
    return RunProgress.read(state.get(PROGRESS))
