"""Live mode: the task's own engine over a range, resumable, without a consumer group.

    range ─► engine ─► results, dead letters ─► sink      what the sink has is done after a kill
                └────► recorded answers ──────► ledger    what was answered is not paid again

Rules of this file:
1. After a kill the two topics say what is done: positions that have an outcome of this run there
   are not read again. Drops, which leave nothing there, are noted in the state before the
   watermark that passes them is.
2. Answers that were paid and had not reached the sink come from the recorded answers, as after the
   crash of a worker (`streams.worker.call_ledger`).
3. Nothing is written while another process may have the run (`RunContext.may_write`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.errors import StreamsError
from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.live_traffic import giving_way
from streams.jobs.replay.range_reader import RangeReader, RangeTask
from streams.jobs.replay.range_shell import DropNotes, RangeShell
from streams.jobs.replay.replay_job import ReplayProgress
from streams.jobs.replay.right_of_way import Way
from streams.jobs.replay.run_context import RunContext, drops_of
from streams.jobs.replay.run_counts import added_counts, calls_allowed
from streams.jobs.replay.run_facts import CANCEL, DROPS, PROGRESS, RunProgress, write_ranges
from streams.jobs.replay.run_parts import open_parts, open_sink, route_of_run
from streams.kafka.client import connected
from streams.kafka.produce.sink import Sink
from streams.kafka.tail import reading_consumer
from streams.settings.values import ledger_topic
from streams.worker.call_ledger import Ledger, LedgerTask
from streams.worker.commits import Settling
from streams.worker.intake import Budget
from streams.worker.partition import Partition
from streams.worker.task_parts import TaskParts

COST = "cost"
NOTE_EVERY_S = 1.0
"""How often the run's state is written: what a kill costs is read again, not paid again."""


def ledger_prefix(worker_id: str) -> str:
    """Before `.{source}.ledger`: the recorded answers of replays are apart from the worker's."""
    return f"{worker_id}.replay"


class CancelledRunError(StreamsError):
    """Somebody asked the run to give up."""


class LiveRun:
    """One process's part of a run. `written`: what the topics held when it began."""

    def __init__(self, context: RunContext, progress: ReplayProgress, before: RunProgress) -> None:
        self._context = context
        self._progress = progress
        self._before = before
        budget_bytes = context.settings.worker.max_buffered_mb * 1_000_000
        self._budget = Budget(budget_bytes, ledger=True)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._state = RunProgress(items=before.items)
        self._partitions: list[Partition] = []
        self._ledger: Ledger | None = None

    async def all(self, written: Completeness, state: Mapping[str, bytes]) -> None:
        """Give every position of the range its outcome. Raises BrokerError, CancelledRunError; a
        cancellation leaves the run as far as it came."""
        context = self._context
        self._written = written
        self._drops = DropNotes(drops_of(state))
        async with contextlib.AsyncExitStack() as stack:
            parts = await open_parts(context, stack, self._fail, self._budget.stage_bytes)
            sink = await open_sink(context, stack, self._fail)
            await self._begin_ledger(parts, stack)
            shell = self._shell = self._make_shell(parts, sink)
            stack.push_async_callback(shell.stop)
            self._check_cost()
            reader = await self._read(shell, stack)
            await stack.enter_async_context(giving_way(context, shell, self._on_way))
            self._check()
            notes = asyncio.ensure_future(self._note_regularly())
            try:
                await asyncio.wait((self._ended, notes), return_when=asyncio.FIRST_COMPLETED)
                await (self._ended if self._ended.done() else notes)
            finally:
                notes.cancel()
                await asyncio.gather(notes, return_exceptions=True)
                await reader.stop()
                await self._settle(shell, sink)
                if context.may_write():
                    await self.note()

    async def _settle(self, shell: RangeShell, sink: Sink) -> None:
        """Before an early end: what is in flight is paid, so wait for it, and write it."""
        shell.hold("end")
        within_s = self._context.settings.worker.shutdown_timeout_s
        await Settling([shell], sink, None).wait(within_s)

    # -- parts ---------------------------------------------------------------------------------

    def _make_shell(self, parts: TaskParts, sink: Sink) -> RangeShell:
        route = route_of_run(self._context)
        return RangeShell(
            parts,
            route,
            sink,
            self._on_room,
            self._ledger,
            drops=self._drops,
            on_call_ended=self._check_cost,
        )

    async def _begin_ledger(self, parts: TaskParts, stack: contextlib.AsyncExitStack) -> None:
        """Without one where the broker cannot (the embedded one), and for a pipeline."""
        context, facts = self._context, self._context.facts
        topic = ledger_topic(ledger_prefix(context.settings.worker.id), facts.source)
        if topic not in context.topics or parts.timeout_s is None:
            return
        ledger = Ledger(
            ledger_prefix(context.settings.worker.id),
            {facts.source: LedgerTask(f"{facts.fingerprint}-{facts.run}", parts.timeout_s)},
            context.arguments,
            end_of=lambda partition: facts.extents[partition.where.partition].end,
            room_bytes=self._budget.ledger_bytes,
            batch_bytes=context.topics[topic].max_message_bytes,
        )
        await ledger.start()
        stack.push_async_callback(ledger.stop)
        await ledger.read(self._starts())
        self._ledger = ledger

    def _starts(self) -> dict[TopicPartition, Committed]:
        """Where each partition goes on."""
        facts, before = self._context.facts, self._before
        return {
            TopicPartition(facts.source, number): Committed(
                max(extent.first, before.watermarks.get(number, extent.first)),
                ledger_offset=before.ledgers.get(number) or facts.ledger_starts.get(number, 0),
            )
            for number, extent in facts.extents.items()
            if extent.first < extent.end
        }

    async def _read(self, shell: RangeShell, stack: contextlib.AsyncExitStack) -> RangeReader:
        context = self._context
        extents = context.facts.extents
        self._task = RangeTask(shell, extents, self._written.has, context.where)
        self._partitions = [
            Partition(where, start, self._task) for where, start in self._starts().items()
        ]
        for partition in self._partitions:
            shell.open(partition)
        consumer = reading_consumer(
            context.arguments,
            fetch_max_bytes=self._budget.fetch_bytes,
            max_partition_fetch_bytes=min(1_048_576, self._budget.fetch_bytes),
        )
        await stack.enter_async_context(connected(consumer, context.kafka.bootstrap_servers))
        reader = self._reader = RangeReader(
            consumer,
            self._partitions,
            extents,
            self._budget,
            fail=self._fail,
            on_end=self._check,
        )
        reader.start()
        return reader

    # -- events --------------------------------------------------------------------------------

    def _on_room(self, partition: Partition) -> None:
        self._reader.on_room(partition)
        self._progress.done = self._done()
        self._progress.changed(self._progress)
        self._check()

    def _on_way(self, way: Way) -> None:
        if way.why != self._progress.waits:
            self._progress.waits = way.why
            self._progress.changed(self._progress)

    def _check(self) -> None:
        """Whether every partition is done."""
        reader = getattr(self, "_reader", None)
        if self._ended.done() or reader is None or not reader.is_at_end:
            return
        self._shell.flush()
        extents = self._context.facts.extents
        if all(
            self._shell.watermark(each) >= extents[each.where.partition].end
            for each in self._partitions
        ):
            self._ended.set_result(None)

    def _check_cost(self) -> None:
        """Begin no call that could bring the cost above the limit; without any in flight that is
        the end."""
        limit, shell = self._context.facts.max_cost_usd, self._shell
        if limit is None:
            return
        counts = added_counts(self._before.counts, shell.counts())
        allowed = calls_allowed(counts, limit)
        shell.limit(COST, max(1, allowed))
        if allowed < 1:
            shell.hold(COST)
            if not shell.in_flight:
                self._fail(_costs_too_much(counts["cost_usd"]))

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    # -- progress ------------------------------------------------------------------------------

    def _done(self) -> int:
        """Offsets below the watermarks, of all partitions."""
        extents = self._context.facts.extents
        return sum(
            self._shell.watermark(each) - extents[each.where.partition].first
            for each in self._partitions
        )

    async def _note_regularly(self) -> None:
        keys = self._context.keys
        while True:
            await asyncio.sleep(NOTE_EVERY_S)
            await self._context.hold.keep()
            await self.note()
            if CANCEL in await keys.load():
                raise CancelledRunError("the run was cancelled by `streams replay --cancel`")

    async def note(self) -> None:
        """Write how far it is: drops first (rule 1). Raises BrokerError."""
        keys, state = self._context.keys, self._state
        marks = {each: self._shell.progress(each) for each in self._partitions}
        for number in self._drops.changed:
            await keys.put(f"{DROPS}{number}", write_ranges(self._drops.ranges(number)))
        state.watermarks = {each.where.partition: at.offset for each, at in marks.items()}
        state.ledgers = {each.where.partition: at.ledger_offset for each, at in marks.items()}
        state.done = self._done()
        state.items = self._context.facts.offsets
        state.counts = added_counts(self._before.counts, self._shell.counts())
        self._progress.calls = state.counts["calls"]
        self._progress.cost_usd = state.counts["cost_usd"]
        await keys.put(PROGRESS, state.write())

    @property
    def state(self) -> RunProgress:
        """How far it was when it was noted last."""
        return self._state


def _costs_too_much(cost_usd: float) -> StreamsError:
    return StreamsError(
        f"more than --max-cost would be spent: ${cost_usd:,.4f} are; with a higher one the run"
        " goes on"
    )
