"""`streams replay`: the whole process, from the range to the count at the end.

    range frozen ─► run in the state topic ─► claim ─► live | batch ─► count ─► done | failed
                         resume ──────────────┘

A run that ends before its time is "stopped" and can be resumed; after a kill it still says
"running", and the claim, which ends with the process's session, tells that nobody does it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from streams.errors import StreamsError
from streams.jobs.replay.batch_mode import BatchMode
from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.live_run import CancelledRunError, LiveRun
from streams.jobs.replay.range_scan import RangeScanner
from streams.jobs.replay.replay_job import ReplayJob, ReplayProgress, Resumption
from streams.jobs.replay.run_context import RunContext, progress_of
from streams.jobs.replay.run_counts import run_summary
from streams.jobs.replay.run_facts import PROGRESS, RunProgress, RunState
from streams.jobs.replay.run_opening import begun, resumed
from streams.jobs.replay.where_filter import Where


async def replay(job: ReplayJob | Resumption, progress: ReplayProgress) -> Completeness:
    """Does the run and counts; `progress.summary` is its summary then.

    Raises UsageError, ConfigError, BrokerError; StreamsError where another process does the run, or
    it was given up.
    """
    async with contextlib.AsyncExitStack() as stack:
        opening = begun(job, progress) if isinstance(job, ReplayJob) else resumed(job, progress)
        context = await stack.enter_async_context(opening)
        return await _Process(context, progress, cancels=_cancels(job)).all()


def _cancels(job: ReplayJob | Resumption) -> bool:
    return isinstance(job, Resumption) and job.cancels


class _Process:
    """This process's part of the run."""

    def __init__(self, context: RunContext, progress: ReplayProgress, *, cancels: bool) -> None:
        self._context = context
        self._progress = progress
        self._cancels = cancels
        self._state = RunProgress()

    async def all(self) -> Completeness:
        context, progress = self._context, self._progress
        state = await context.hold.take()
        self._state = before = progress_of(state)
        if before.state == "failed":  # what is missing lies anywhere
            before.watermarks, before.ledgers = {}, {}
        before.state = "running"
        await context.keys.put(PROGRESS, before.write())
        try:
            await self._work(state)
            found = await self._count()
        except CancelledRunError:
            await self._end("cancelled")
            raise
        except BaseException:
            with contextlib.suppress(StreamsError):
                await self._end("stopped")
            raise
        ended: RunState = "done" if found.verdict.is_complete else "failed"
        self._state.items, self._state.done = found.items, found.outcomes + found.drops
        await self._end(ended)
        progress.summary = run_summary(context.facts, ended, self._state.counts, found)
        return found

    async def _work(self, state: Mapping[str, bytes]) -> None:
        context, progress = self._context, self._progress
        written = await context.written(state)
        part: LiveRun | BatchMode
        if context.facts.mode == "live":
            part = LiveRun(context, progress, self._state)
        else:
            part = BatchMode(context, progress, self._state, cancels=self._cancels)
        try:
            await part.all(written, state)
        finally:
            self._state = part.state

    async def _count(self) -> Completeness:
        """The source once more, and the target as it is now."""
        context = self._context
        self._progress.tell("counting the outcomes")
        found = await context.written(await context.keys.load())
        text = context.facts.where
        where = None if text is None else Where(text)  # the run's own counts what it cannot judge
        scanner = RangeScanner(context.consumer, context.facts.source)
        for number, extent in context.facts.extents.items():
            async for records in scanner.scan(number, extent):
                inside = records if where is None else where.selected(records)
                found.expected(number, [record.offset for record in inside])
        return found

    async def _end(self, state: RunState) -> None:
        if self._context.may_write():
            self._state.state = state
            await self._context.keys.put(PROGRESS, self._state.write())
