"""The runs of a worker id: showing them, and giving one up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

from streams.errors import StreamsError
from streams.jobs.claim import Claim, claimant
from streams.jobs.replay.run_context import progress_of
from streams.jobs.replay.run_facts import (
    CANCEL,
    FACTS,
    OVER,
    PROGRESS,
    RunFacts,
    RunProgress,
    RunState,
)
from streams.jobs.replay.run_topic import RunKeys, RunTopic, of_run, replays_topic, run_topic
from streams.kafka.admin import Admin
from streams.kafka.client import broker_answer, client_arguments, connected
from streams.kafka.groups import has_members
from streams.kafka.produce.job_writer import job_producers
from streams.kafka.tail import is_embedded
from streams.settings import Settings

CANCELLED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.5


class Run(NamedTuple):
    """`state`: as it is now: a run whose process was killed is "stopped"."""

    facts: RunFacts
    progress: RunProgress
    state: RunState

    def line(self) -> dict[str, Any]:
        """What `replay --list --json` prints of it (contract section 6)."""
        return {
            "run": self.facts.run,
            "task": self.facts.task,
            "mode": self.facts.mode,
            "state": self.state,
            "items": self.progress.items or self.facts.offsets,
            "done": self.progress.done,
            "cost_usd": self.progress.cost_usd,
            "started_at_ms": self.facts.started_at_ms,
        }


def claim_group(worker_id: str, run: str) -> str:
    """The consumer group that stands for a run; its one member does the run. ("/" is legal in no
    worker id.)"""
    return f"streams-replay-{worker_id}/{run}"


async def runs(settings: Settings) -> list[Run]:
    """In the order in which they began. Raises BrokerError."""
    async with _state(settings, writes=False) as (admin, topic):
        if topic is None:
            return []
        state = await topic.read()
        names = sorted(key.partition("/")[0] for key in state if key.endswith(f"/{FACTS}"))
        found = [await _run(settings, admin, state, name) for name in names]
    return sorted(found, key=lambda run: run.facts.started_at_ms)


async def _run(settings: Settings, admin: Admin, state: Mapping[str, bytes], name: str) -> Run:
    own = of_run(state, f"{name}/")
    progress = progress_of(own)
    now = progress.state
    if now == "running" and not await _lives(settings, admin, name):
        now = "stopped"
    return Run(RunFacts.read(own[FACTS]), progress, now)


async def _lives(settings: Settings, admin: Admin, run: str) -> bool:
    """Whether a process does the run; one that was killed counts until its session ends. The
    embedded broker does not tell."""
    if await broker_answer(is_embedded(admin), admin):
        return True
    asking = has_members(admin, claim_group(settings.worker.id, run))
    return await broker_answer(asking, admin)


async def cancel(settings: Settings, run: str) -> Run:
    """Give the run up: its process ends, what is answered is kept. Returns it with its state then,
    which is another one if it was over before; "stopped": nobody does it, and its batches are still
    to be cancelled. Raises StreamsError for an unknown run, BrokerError."""
    async with _state(settings, writes=True) as (admin, topic):
        keys = None if topic is None else RunKeys(topic, run)
        if keys is None or FACTS not in (state := await keys.load()):
            raise unknown(run, settings)
        facts = RunFacts.read(state[FACTS])
        if progress_of(state).state in OVER:
            return Run(facts, progress_of(state), progress_of(state).state)
        await keys.put(CANCEL, b"{}")
        until = asyncio.get_running_loop().time() + CANCELLED_WITHIN_S
        while await _lives(settings, admin, run):
            progress = progress_of(await keys.load())
            if progress.state in OVER:
                return Run(facts, progress, progress.state)
            if asyncio.get_running_loop().time() > until:
                raise StreamsError(f"the process of run {run} has not ended yet; it has been asked")
            await asyncio.sleep(LOOK_EVERY_S)
        progress = progress_of(await keys.load())
        if progress.state not in OVER and facts.mode == "batch":
            return Run(facts, progress, "stopped")
        progress = await _end(settings, keys, run)
        return Run(facts, progress, progress.state)


async def _end(settings: Settings, keys: RunKeys, run: str) -> RunProgress:
    """Nobody does the run: end it here, as the one process that has it."""
    async with claim_of(settings, run, lambda _: None) as claim:
        await claim.take(keys.load)
        progress = progress_of(await keys.load())
        if progress.state not in OVER:
            progress.state = "cancelled"
            await keys.put(PROGRESS, progress.write())
        return progress


@contextlib.asynccontextmanager
async def claim_of(
    settings: Settings, run: str, tell: Callable[[str], None]
) -> AsyncIterator[Claim]:
    """The right to do a run, connected while the block runs and not taken yet. Raises
    BrokerError."""
    session_s, worker_id = settings.kafka.session_timeout_s, settings.worker.id
    member = claimant(client_arguments(settings.kafka), claim_group(worker_id, run), session_s)
    async with connected(member, settings.kafka.bootstrap_servers):
        yield Claim(member, replays_topic(worker_id), session_s, tell, f"process of run {run}")


def unknown(run: str, settings: Settings) -> StreamsError:
    return StreamsError(
        f"there is no run {run} of {settings.worker.id}; `streams replay --list` shows those there"
        " are"
    )


@contextlib.asynccontextmanager
async def _state(
    settings: Settings, *, writes: bool
) -> AsyncIterator[tuple[Admin, RunTopic | None]]:
    """The state topic; None: no replay has made it."""
    arguments, servers = client_arguments(settings.kafka), settings.kafka.bootstrap_servers
    admin, name = Admin(**arguments), replays_topic(settings.worker.id)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(connected(admin, servers))
        if name not in await broker_answer(admin.list_topics(), admin):
            yield admin, None
            return
        producers = job_producers(arguments, lambda _: None) if writes else None
        if producers is not None:
            await stack.enter_async_context(connected(producers, servers))
        yield admin, await stack.enter_async_context(run_topic(arguments, name, producers))
