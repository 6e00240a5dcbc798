"""Batch mode: the range through Message Batches (`streams.batches`), at half the price.

The process may end at any time, and the batches go on: `--resume` finds them by the run's state.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streams.batches.batch_operation import operation_of
from streams.batches.batch_run import BatchRun
from streams.batches.core.run_terms import RunTerms
from streams.batches.run_head import RunHead
from streams.batches.run_report import BatchProgress, RunSummary
from streams.errors import StreamsError
from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.live_run import CancelledRunError
from streams.jobs.replay.range_scan import RangeScanner
from streams.jobs.replay.range_shell import DropNotes
from streams.jobs.replay.replay_door import ReplayDoor
from streams.jobs.replay.replay_job import ReplayProgress
from streams.jobs.replay.run_context import RunContext, drops_of
from streams.jobs.replay.run_facts import CANCEL, PROGRESS, RunProgress
from streams.jobs.replay.run_parts import open_parts, open_sink, route_of_run
from streams.kafka.client import connected
from streams.kafka.tail import reading_consumer
from streams.providers import make_batch_api, task_price
from streams.settings import TaskSettings

NOTE_EVERY_S = 2.0


class BatchMode:
    """One process's part of a run. `cancels`: give up: batches are cancelled, and what has an
    answer is written."""

    def __init__(
        self,
        context: RunContext,
        progress: ReplayProgress,
        before: RunProgress,
        *,
        cancels: bool = False,
    ) -> None:
        self._context = context
        self._progress = progress
        self._cancels = cancels
        self.state = before
        self._noted = b""

    async def all(self, written: Completeness, state: Mapping[str, bytes]) -> None:
        """Give every position of the range its outcome. Raises StreamsError where the run cannot go
        on, CancelledRunError where it was given up; a cancellation leaves its batches at work."""
        async with contextlib.AsyncExitStack() as stack:
            run = await self._open(written, state, stack)
            working = asyncio.ensure_future(run.run())
            noting = asyncio.ensure_future(self._note_regularly(run))
            try:
                await asyncio.wait((working, noting), return_when=asyncio.FIRST_COMPLETED)
                if noting.done():
                    noting.result()  # raises
                summary = await working
            finally:
                for task in (working, noting):
                    task.cancel()
                await asyncio.gather(working, noting, return_exceptions=True)
                await self._note()
        self._end(summary)

    async def _open(
        self,
        written: Completeness,
        state: Mapping[str, bytes],
        stack: contextlib.AsyncExitStack,
    ) -> BatchRun:
        context, task = self._context, self._context.plan.task
        parts = await open_parts(context, stack, self._fail, 1)
        caller: Any = parts.caller  # an API's: nothing else has batches
        sink = await open_sink(context, stack, self._fail)
        onward, anew = await self._scanner(stack), await self._scanner(stack)
        drops = DropNotes(drops_of(state))
        route, ways = route_of_run(context), (onward, anew)
        door = self._door = ReplayDoor(context, parts, route, sink, ways, written, drops)
        provider = context.settings.provider.get(task.provider)
        api = make_batch_api(task, provider, environ=context.environ)
        stack.push_async_callback(api.aclose)
        limit = context.facts.max_cost_usd
        terms = _terms(task, None if limit is None else int(limit * 1e9))
        return BatchRun(
            self._head(state),
            operation_of(caller, parts),
            door,
            api,
            context.keys,
            state,
            terms,
            on_progress=self._show,
            cancels=self._cancels,
        )

    async def _scanner(self, stack: contextlib.AsyncExitStack) -> RangeScanner:
        context = self._context
        consumer = reading_consumer(context.arguments)
        await stack.enter_async_context(connected(consumer, context.kafka.bootstrap_servers))
        return RangeScanner(consumer, context.facts.source)

    def _head(self, state: Mapping[str, bytes]) -> RunHead:
        facts = self._context.facts
        head = RunHead.read(state)
        if head is None:
            head = RunHead(facts.run, {"task": facts.fingerprint}, facts.started_at_ms)
        head.deadline_at_ms = facts.deadline_at_ms
        return head

    def _fail(self, error: BaseException) -> None:
        self._door.fail(error)

    # -- progress ------------------------------------------------------------------------------

    def _show(self, now: BatchProgress) -> None:
        shown = self._progress
        shown.done, shown.total = now.done, now.total or shown.total
        shown.calls, shown.cost_usd = now.batches, now.cost_usd
        shown.waits = f"waits for {now.waits_for}" if now.waits_for else ""
        shown.batches = now.under_way
        self.state.done, self.state.items = now.done, now.total or 0
        self.state.counts = {**self.state.counts, "cost_usd": now.cost_usd}
        shown.changed(shown)

    async def _note_regularly(self, run: BatchRun) -> None:
        keys = self._context.keys
        while True:
            await asyncio.sleep(NOTE_EVERY_S)
            await self._context.hold.keep()
            await self._note()
            if CANCEL in await keys.load():
                run.cancel()

    async def _note(self) -> None:
        value = self.state.write()
        if value != self._noted and self._context.may_write():
            await self._context.keys.put(PROGRESS, value)
            self._noted = value

    def _end(self, summary: RunSummary) -> None:
        """The sums of all processes are in the chunks' records, so that these replace those of
        before."""
        before = self._context.facts.started_at_ms
        self.state.counts = {
            "calls": summary.calls,
            "called_items": summary.items,
            "input_tokens": summary.input_tokens,
            "output_tokens": summary.output_tokens,
            "cost_usd": summary.cost_usd,
            "elapsed_s": time.time() - before / 1000,
        }
        if summary.state == "cancelled":
            raise CancelledRunError(f"run {summary.run} is cancelled: {summary.equation}")
        if summary.state == "stopped":
            raise StreamsError(
                f"more than --max-cost would be spent: {summary.equation};"
                " with a higher one the run goes on"
            )


def _terms(task: TaskSettings, max_cost_nano_usd: int | None) -> RunTerms:
    price = task_price(task)
    terms = RunTerms(max_cost_nano_usd=max_cost_nano_usd)
    return terms if price is None else replace(terms, batch_share=price.batch)
