"""What doing a range of a task's source would take: `replay --dry-run`, and the question before a
large run or a worker's first start. Calls nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from streams.codec.fingerprint import fingerprint
from streams.errors import ConfigError
from streams.jobs.call_estimate import NO_CORRECTION, Correction, Estimate
from streams.jobs.replay.range_choice import RangeChoice
from streams.jobs.replay.range_sample import add_range
from streams.jobs.replay.range_scan import RangeScanner, extents_of_choice
from streams.jobs.replay.sink_usage import calls_in, correction, texts_of
from streams.jobs.replay.where_filter import Where
from streams.kafka.admin import Admin
from streams.kafka.client import broker_answer, client_arguments, connected
from streams.kafka.extents import Extent
from streams.kafka.tail import Start, is_embedded, partitions_of, reading_consumer
from streams.plans import Plan, caller_of
from streams.settings import KafkaSettings, Settings

SAMPLE_FETCH_BYTES: Final = 262_144
"""Of a fetch for a sample, which takes little from each place."""
WHOLE: Final = RangeChoice(Start("earliest"), Start("latest"))


class RangeEstimate(NamedTuple):
    """`summary`: as `replay --dry-run --json` prints it. `exact`: all of the range was read.
    `known_items`: results of the task by whose usage the tokens were corrected; 0: none were."""

    summary: dict[str, Any]
    exact: bool
    known_items: int


class _Topics(NamedTuple):
    """What reads topics here, one range at a time."""

    admin: Admin
    consumer: Any
    embedded: bool

    async def extents(self, topic: str, choice: RangeChoice) -> dict[int, Extent]:
        partitions = await partitions_of(self.admin, topic)
        return await extents_of_choice(
            self.consumer, topic, partitions, choice, embedded=self.embedded
        )

    async def are_there(self, topics: Sequence[str]) -> list[str]:
        there = await broker_answer(self.admin.list_topics(), self.admin)
        return [topic for topic in dict.fromkeys(topics) if topic in there]


@asynccontextmanager
async def _topics(kafka: KafkaSettings, *, exact: bool) -> AsyncIterator[_Topics]:
    arguments, servers = client_arguments(kafka), kafka.bootstrap_servers
    size: dict[str, Any] = {} if exact else {"max_partition_fetch_bytes": SAMPLE_FETCH_BYTES}
    admin, consumer = Admin(**arguments), reading_consumer(arguments, **size)
    async with connected(admin, servers), connected(consumer, servers):
        yield _Topics(admin, consumer, await broker_answer(is_embedded(admin), admin))


async def estimate_range(
    settings: Settings,
    environ: Mapping[str, str],
    plan: Plan,
    chosen: RangeChoice | Mapping[int, Extent],
    *,
    where: str | None = None,
    into: str | None = None,
    exact: bool = False,
    kafka: KafkaSettings | None = None,
) -> RangeEstimate:
    """`into`: results are looked for there, too, not in its sink
    alone. `exact`: read all of the range, not a sample. `kafka`: None: that of the settings.
    Raises UsageError, ConfigError, BrokerError."""
    task = plan.task
    condition = None if where is None else Where(where)
    async with _topics(kafka or settings.kafka, exact=exact) as topics:
        extents = chosen
        if isinstance(chosen, RangeChoice):
            extents = await topics.extents(task.source, chosen)
        assert not isinstance(extents, RangeChoice)
        paid, known = await _correction(topics, settings, environ, plan, into)
        found = Estimate(task, paid)
        scanner = RangeScanner(topics.consumer, task.source)
        times = await add_range(found, scanner, task, extents, condition, exact=exact)
    return RangeEstimate(found.summary(times), times == 1.0, known)


async def _correction(
    topics: _Topics,
    settings: Settings,
    environ: Mapping[str, str],
    plan: Plan,
    into: str | None,
) -> tuple[Correction, int]:
    """By the first of `into` and the sink that has results of this task."""
    task = plan.task
    if task.operation == "custom" or task.output.mode != "envelope":
        return NO_CORRECTION, 0
    digest = await _fingerprint(settings, environ, plan)
    if digest is None:
        return NO_CORRECTION, 0
    for sink in await topics.are_there([into or task.sink, task.sink]):
        extents = await topics.extents(sink, WHOLE)
        calls = await calls_in(RangeScanner(topics.consumer, sink), extents, task, digest)
        if not calls:
            continue
        source = await topics.extents(task.source, WHOLE)
        scanner = RangeScanner(topics.consumer, task.source)
        texts = await texts_of(scanner, source, task, calls)
        paid, known = correction(task, calls, texts)
        if known:
            return paid, known
    return NO_CORRECTION, 0


async def _fingerprint(settings: Settings, environ: Mapping[str, str], plan: Plan) -> str | None:
    """None: there is no key or no SDK, which an estimate does not need."""
    try:
        caller = caller_of(plan, settings, environ, stage_bytes=1, on_defect=lambda _: None)
    except ConfigError:
        return None
    try:
        return fingerprint(**caller.describe())
    finally:
        await caller.aclose()
