"""Opens a run: makes a new one, or finds an earlier one again, and connects all that it needs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.codec.answers import TOPIC_SETTINGS
from streams.errors import StreamsError, UsageError
from streams.jobs.claim import Claim
from streams.jobs.replay.live_run import ledger_prefix
from streams.jobs.replay.range_choice import RangeChoice
from streams.jobs.replay.range_scan import extents_of_choice
from streams.jobs.replay.replay_job import ReplayJob, ReplayProgress, Resumption
from streams.jobs.replay.run_context import RunContext, progress_of
from streams.jobs.replay.run_facts import CANCEL, FACTS, RunFacts, new_run_id, task_digest
from streams.jobs.replay.run_hold import HeldKeys, RunHold
from streams.jobs.replay.run_list import claim_of, unknown
from streams.jobs.replay.run_topic import RunKeys, RunTopic, replays_spec, replays_topic, run_topic
from streams.jobs.replay.where_filter import Where
from streams.kafka.admin import Admin
from streams.kafka.client import broker_answer, broker_error, client_arguments, connected
from streams.kafka.extents import Extent, whole
from streams.kafka.produce.job_writer import job_producers
from streams.kafka.tail import is_embedded, partitions_of, reading_consumer
from streams.kafka.topics import TopicFacts, TopicSpec, prepare_with_retries
from streams.plans import Plan, caller_of, parts_of
from streams.running.collector import A_LONG_JOB, collect_seldom
from streams.running.pipeline_caller import PipelineCaller
from streams.settings import Settings
from streams.settings.values import ledger_topic

ANSWERS_KEPT_MS = 7 * 24 * 3_600_000
"""How long a recorded answer waits for its run to be resumed; what has reached the sink needs
none."""


Extents = dict[int, Extent]
"""By partition."""


class _Connections:
    """What is connected before there is a run."""

    def __init__(self, settings: Settings, admin: Admin, embedded: bool) -> None:
        self.settings, self.admin, self.embedded = settings, admin, embedded
        self.arguments = client_arguments(settings.kafka)
        self.consumer: Any = None

    @property
    def servers(self) -> str:
        return self.settings.kafka.bootstrap_servers

    async def prepared(self, plan: Plan, sink: str, dead: str) -> dict[str, TopicFacts]:
        """The topics of a run; those that are missing are made. Raises BrokerError."""
        task, worker_id = plan.task, self.settings.worker.id
        specs = [
            TopicSpec(sink, task.source, compacts=True),
            TopicSpec(dead, task.source, compacts=False),
            replays_spec(worker_id, task.source),
        ]
        if not self.embedded and plan.pipeline is None:
            name = ledger_topic(ledger_prefix(worker_id), task.source)
            settings = (*TOPIC_SETTINGS, ("retention.ms", str(ANSWERS_KEPT_MS)))
            specs.append(TopicSpec(name, task.source, compacts=True, settings=settings))
        try:
            facts, _ = await prepare_with_retries(
                self.admin, [task.source], list(dict.fromkeys(specs))
            )
        except KafkaError as error:
            raise broker_error(error, self.servers, self.admin) from error
        return facts

    async def ends(self, topic: str, partitions: int) -> dict[int, int]:
        """Where each partition ends now, with transactions under way."""
        where = [TopicPartition(topic, number) for number in range(partitions)]
        consumer = reading_consumer(self.arguments, True)
        async with connected(consumer, self.servers):
            consumer.assign(where)
            logs = await broker_answer(whole(consumer, where), consumer)
        return {place.partition: log.end for place, log in logs.items()}


@contextlib.asynccontextmanager
async def _connections(settings: Settings) -> AsyncIterator[_Connections]:
    if not settings.worker.id:
        raise UsageError("worker.id: is missing; it names the topic of the runs")
    arguments = client_arguments(settings.kafka)
    admin, consumer = Admin(**arguments), reading_consumer(arguments)
    servers = settings.kafka.bootstrap_servers
    async with connected(admin, servers), connected(consumer, servers):
        embedded = await broker_answer(is_embedded(admin), admin)
        connections = _Connections(settings, admin, embedded)
        connections.consumer = consumer
        yield connections


async def _frozen(connections: _Connections, source: str, choice: RangeChoice) -> Extents:
    partitions = await partitions_of(connections.admin, source)
    return await extents_of_choice(
        connections.consumer, source, partitions, choice, embedded=connections.embedded
    )


@contextlib.asynccontextmanager
async def begun(job: ReplayJob, progress: ReplayProgress) -> AsyncIterator[RunContext]:
    """A new run. Raises UsageError, ConfigError, BrokerError."""
    task = job.plan.task
    where = None if job.where is None else Where(job.where)
    digest = await _fingerprint(job.plan, job.settings, job.environ)  # needs the API's key, too
    async with _connections(job.settings) as connections:
        extents = await _frozen(connections, task.source, job.choice)
        topics = await connections.prepared(job.plan, job.into or task.sink, task.dead_letter)
        facts = replace(await _facts(job, connections, extents, topics), fingerprint=digest)
        progress.tell(f"run {facts.run}")
        opening = _opened(connections, facts, job.plan, job.environ, topics, where, progress)
        async with opening as (context, keys):
            await keys.put(FACTS, facts.write())
            yield context


async def _facts(
    job: ReplayJob, connections: _Connections, extents: Extents, topics: Mapping[str, TopicFacts]
) -> RunFacts:
    """Of a new run: what it does, and where its records will stand. Without its fingerprint."""
    task, now_ms = job.plan.task, int(time.time() * 1000)
    sink = job.into or task.sink
    ledger = ledger_topic(ledger_prefix(job.settings.worker.id), task.source)
    starts = {
        name: await connections.ends(name, topics[name].partitions)
        for name in (sink, task.dead_letter, ledger)
        if name in topics
    }
    return RunFacts(
        run=new_run_id(now_ms),
        task=task.name,
        mode=job.mode,
        fingerprint="",
        digest=task_digest(task),
        source=task.source,
        sink=sink,
        dead_letter=task.dead_letter,
        first=job.first,
        until=job.until,
        where=job.where,
        share=job.share,
        deadline_at_ms=_at_ms(job.deadline_s),
        max_cost_usd=job.max_cost_usd,
        started_at_ms=now_ms,
        extents=extents,
        sink_starts=starts[sink],
        dead_starts=starts[task.dead_letter],
        ledger_starts=starts.get(ledger, {}),
    )


@contextlib.asynccontextmanager
async def resumed(job: Resumption, progress: ReplayProgress) -> AsyncIterator[RunContext]:
    """An earlier run. Raises StreamsError where there is none of that name or it was cancelled,
    UsageError where its task has changed."""
    async with _connections(job.settings) as connections:
        facts = await _found(connections, job)
        plan = job.plans.get(facts.task)
        if plan is None:
            raise UsageError(f"run {job.run} is of the task {facts.task}, which is not configured")
        await _check_unchanged(plan, job, facts)
        topics = await connections.prepared(plan, facts.sink, facts.dead_letter)
        where = None if facts.where is None else Where(facts.where)
        progress.tell(f"run {facts.run}")
        opening = _opened(connections, facts, plan, job.environ, topics, where, progress)
        async with opening as (context, keys):
            await keys.put(FACTS, facts.write())  # with what this command changes
            yield context


async def _found(connections: _Connections, job: Resumption) -> RunFacts:
    topic = replays_topic(job.settings.worker.id)
    there = await broker_answer(connections.admin.list_topics(), connections.admin)
    found: Mapping[str, bytes] = {}
    if topic in there:
        async with run_topic(connections.arguments, topic, None) as state:
            found = await RunKeys(state, job.run).load()
    if FACTS not in found:
        raise unknown(job.run, job.settings)
    is_cancelled = CANCEL in found or progress_of(found).state == "cancelled"
    if is_cancelled and not job.cancels:
        raise StreamsError(f"run {job.run} was cancelled; begin a new one")
    given = {
        "share": job.share,
        "deadline_at_ms": _at_ms(job.deadline_s),
        "max_cost_usd": job.max_cost_usd,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(RunFacts.read(found[FACTS]), **changes)


def _at_ms(seconds: float | None) -> int | None:
    """So long from now, in ms since the epoch."""
    return None if seconds is None else int((time.time() + seconds) * 1000)


async def _check_unchanged(plan: Plan, job: Resumption, facts: RunFacts) -> None:
    now = await _fingerprint(plan, job.settings, job.environ)
    task = plan.task
    if (now, task_digest(task), task.source) != (facts.fingerprint, facts.digest, facts.source):
        why = "another prompt, model or schema" if now != facts.fingerprint else "other settings"
        raise UsageError(
            f"run {facts.run} was begun with {why} of the task {facts.task}: its results would be"
            " of two kinds. Put the task back as it was, or --cancel the run and begin a new one"
        )


async def _fingerprint(plan: Plan, settings: Settings, environ: Mapping[str, str]) -> str:
    caller = caller_of(plan, settings, environ, stage_bytes=1, on_defect=lambda _: None)
    try:
        if isinstance(caller, PipelineCaller):
            await caller.start()
        return parts_of(plan, caller, settings).fingerprint
    finally:
        await caller.aclose()


@contextlib.asynccontextmanager
async def _opened(
    connections: _Connections,
    facts: RunFacts,
    plan: Plan,
    environ: Mapping[str, str],
    topics: Mapping[str, TopicFacts],
    where: Where | None,
    progress: ReplayProgress,
) -> AsyncIterator[tuple[RunContext, RunKeys]]:
    collect_seldom(A_LONG_JOB)  # the SDK is imported, and there is no claim to keep yet
    settings, arguments = connections.settings, connections.arguments
    progress.facts, progress.where, progress.total = facts, where, facts.offsets
    topic = replays_topic(settings.worker.id)
    async with contextlib.AsyncExitStack() as stack:
        holds: list[RunHold] = []
        producers = job_producers(
            arguments, progress.tell, may_send=lambda: all(hold.may_send() for hold in holds)
        )
        await stack.enter_async_context(connected(producers, connections.servers))
        state: RunTopic = await stack.enter_async_context(run_topic(arguments, topic, producers))
        claim = await _claim(connections, facts.run, progress, stack)
        keys = RunKeys(state, facts.run)
        hold = RunHold(facts.run, keys, claim)
        holds.append(hold)
        yield (
            RunContext(
                settings=settings,
                environ=environ,
                plan=plan,
                facts=facts,
                where=where,
                keys=HeldKeys(keys, hold),
                arguments=arguments,
                consumer=connections.consumer,
                topics=topics,
                hold=hold,
                embedded=connections.embedded,
            ),
            keys,
        )


async def _claim(
    connections: _Connections,
    run: str,
    progress: ReplayProgress,
    stack: contextlib.AsyncExitStack,
) -> Claim | None:
    """None on the embedded broker, which lets several in."""
    if connections.embedded:
        return None
    return await stack.enter_async_context(claim_of(connections.settings, run, progress.tell))
