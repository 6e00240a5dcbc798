"""Sends dead letters again to where they came from: `streams dead redrive`.

    tail ─► chunk ─► plan ─► send, each partition in order ─► acknowledgement ─► commit

Rules of this file:
1. A letter is committed as done only after its acknowledgement. After a kill in between, at most
   one chunk is sent a second time; no letter is ever missed. Ctrl-C waits for the chunk.
2. A letter that cannot be sent (its omitted value or its topic no longer exists, it is too large,
   or its topic refuses it) is reported, and is not done.
3. Nothing is sent without the claim (`claim.py`): a second redrive of the same letters is refused
   while the first lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from streams.errors import BrokerError
from streams.jobs.claim import Claim, claimant
from streams.jobs.dead.lookup import Lookup
from streams.jobs.dead.memory import Memory, MemoryStore, Read, group_of
from streams.jobs.dead.plan import LetterPlan, Planner, Progress, Redrive
from streams.kafka.admin import Admin
from streams.kafka.client import SILENCE_S, broker_answer, client_arguments, connected
from streams.kafka.produce.job_writer import JobWriter, job_producers
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.quota import Quota
from streams.kafka.tail import Start, is_embedded, tail

if TYPE_CHECKING:
    from streams.settings import KafkaSettings

CHUNK = 200
"""Letters between two commits: what a kill may send twice."""

STOP_WITHIN_S = 5.0


async def redrive(kafka: KafkaSettings, job: Redrive, progress: Progress) -> None:
    """Sends all selected letters that are not done; returns when they are acknowledged and
    committed.

    Raises BrokerError for a broker that does not answer or refuses, StreamsError if another redrive
    is under way or the memory is full. `progress` is correct at any moment.
    """
    arguments, servers = client_arguments(kafka), kafka.bootstrap_servers
    group = group_of(job.topic, job.into)
    session_s = kafka.session_timeout_s
    consumer = claimant(arguments, group, session_s)
    admin = Admin(**arguments)
    async with connected(admin, servers), connected(consumer, servers), Lookup(kafka) as lookup:
        planner = Planner(job, progress, admin, lookup)
        if job.into is not None and await planner.topic(job.into) is None:
            raise BrokerError(f"the topic {job.into} does not exist: create it first")
        facts = await planner.topic(job.topic)
        partitions = 0 if facts is None else facts.partitions
        embedded = await broker_answer(is_embedded(admin), admin)
        what = f"redrive of {job.topic}"
        claim = None if embedded else Claim(consumer, job.topic, session_s, progress.tell, what)
        store = MemoryStore(consumer, job.topic, partitions, claim)
        producers = job_producers(arguments, progress.tell)
        async with contextlib.AsyncExitStack() as stack:
            if not job.dry:
                await stack.enter_async_context(connected(producers, servers))
            memory = Memory({})
            if facts is not None:
                memory = await (store.read() if job.dry else store.take())
            letters = LetterWriter(producers, progress)
            try:
                await _Run(job, progress, planner, store, letters, memory).all(kafka)
            finally:
                await letters.stop()


class LetterWriter:
    """Sends letters again, each partition's in order."""

    def __init__(self, producers: Producers, progress: Progress) -> None:
        self._progress = progress
        self._writer = JobWriter(producers, self._explain, self._refuse)
        self._refused: list[tuple[LetterPlan, str]] = []

    async def send(self, plans: Sequence[LetterPlan]) -> list[tuple[LetterPlan, str]]:
        """Returns when all are acknowledged, with those that their topic will never take, and why.
        Raises BrokerError."""
        self._refused = []
        by_place: dict[TopicPartition, list[LetterPlan]] = {}
        for plan in plans:
            place = TopicPartition(plan.topic, plan.partition)
            by_place.setdefault(place, []).append(plan)
        for place, its_plans in by_place.items():
            self._writer.put(place, [plan.record for plan in its_plans], its_plans)
        await self._writer.finish()
        return self._refused

    def _refuse(self, plan: LetterPlan, reason: str) -> None:
        self._refused.append((plan, reason))

    async def stop(self) -> None:
        await self._writer.stop()

    @property
    def quota(self) -> Quota:
        return self._writer.producers.quota

    def _explain(self, where: TopicPartition, reason: str | None) -> str:
        return (
            f"{where.topic}/{where.partition} takes no letters:"
            f" {reason or f'no answer for {SILENCE_S:g} s'}; {self._progress.sent} are sent again,"
            " and some after them may be"
        )


class _Run:
    def __init__(
        self,
        job: Redrive,
        progress: Progress,
        planner: Planner,
        store: MemoryStore,
        letters: LetterWriter,
        memory: Memory,
    ) -> None:
        self._job, self._progress = job, progress
        self._planner, self._store, self._letters = planner, store, letters
        self._memory = memory
        self._next_offsets: dict[int, int] = {}

    async def all(self, kafka: KafkaSettings) -> None:
        job, progress = self._job, self._progress
        progress.continued = bool(self._memory.partitions) and not job.everything
        start = Start("offsets", offsets={} if job.everything else self._memory.starts)
        self._next_offsets = dict(start.offsets)
        async with aclosing(tail(kafka, job.topic, start, to_end=True)) as batches:
            async for records in batches:
                for chunk in _chunks(records, job.rate):
                    if job.count is not None and progress.sent >= job.count:
                        return
                    if job.rate is not None:
                        due = progress.started + progress.sent / job.rate
                        await asyncio.sleep(max(0.0, due - time.monotonic()))
                    await _finish_step(self._run_chunk(chunk), self._letters.quota)

    async def _run_chunk(self, records: Sequence[Any]) -> None:
        """One chunk: plan, send, wait for the acknowledgement, commit."""
        read: list[Read] = []
        plans: list[LetterPlan] = []
        for record in records:
            plan, done = await self._planner.plan(record, self._memory, room=len(plans))
            if plan is not None:
                plans.append(plan)
            read.append((record.partition, record.offset, done))
        began = dict(self._next_offsets)
        memory = self._memory.after(read, self._next_offsets)
        if not self._job.dry:
            self._store.check_room(memory)
            await self._store.check_alone(self._memory)
            if refused := await self._letters.send(plans):
                for plan, reason in refused:
                    self._planner.skip(plan.letter, reason)
                    plans.remove(plan)
                not_done = {(plan.letter.partition, plan.letter.offset) for plan, _ in refused}
                read = [(n, at, done and (n, at) not in not_done) for n, at, done in read]
                memory = self._memory.after(read, began)
                self._store.check_room(memory)
            await self._store.commit(memory, self._memory)
        self._memory = memory
        self._progress.add(plans)


async def _finish_step(step: Coroutine[Any, Any, None], quota: Quota) -> None:
    """Ctrl-C waits until the sent letters are acknowledged and committed, a broker's quota
    included; a second one does not."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=STOP_WITHIN_S)
        while not task.done() and quota.met(STOP_WITHIN_S):
            await asyncio.wait((task,), timeout=STOP_WITHIN_S)
        task.cancel()
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await task
        raise


def _chunks(records: Sequence[Any], rate: float | None) -> Iterator[Sequence[Any]]:
    step = CHUNK if rate is None else max(1, min(CHUNK, int(rate / 10)))
    for start in range(0, len(records), step):
        yield records[start : start + step]
