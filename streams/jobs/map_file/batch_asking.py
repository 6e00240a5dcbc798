"""`map --mode batch`: the rows are asked in Message Batches, and their answers go to the journal.

    rows ─► row_door ─► BatchRun ─► journal            then the rest of `mapping` makes the output

Beside the journal stands the state of the run (`.batches`): which batches there are. A run that is
ended in any way goes on with them. It goes away when the output is complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from streams.batches.batch_operation import operation_of
from streams.batches.batch_run import BatchRun
from streams.batches.core.chunk_record import CHUNK_KEY, Chunk
from streams.batches.core.polling import PollTimes
from streams.batches.core.run_terms import RunTerms
from streams.batches.run_head import RunHead
from streams.batches.state_file import StateFile
from streams.errors import CallError, Fault, StreamsError, UsageError
from streams.jobs.map_file.answer_fields import Fields
from streams.jobs.map_file.journal_file import JournalFile, journal_of, state_of
from streams.jobs.map_file.map_api import MapApi
from streams.jobs.map_file.map_job import MapJob, facts_of, refuse_others
from streams.jobs.map_file.map_progress import MapProgress
from streams.jobs.map_file.map_task import process_of
from streams.jobs.map_file.row_door import RowDoor
from streams.jobs.map_file.row_queue import WINDOW_ROWS
from streams.model import Reply
from streams.operations import make_operation
from streams.providers import TaskCaller
from streams.running.api_process import ApiWork
from streams.running.collector import A_LONG_JOB, collect_seldom
from streams.running.work import Options

ANSWERED_KEY: Final = "journal"
"""Where the run's own part of the journal begins, in its state: the end of what was before."""


async def ask_in_batches(job: MapJob, api: MapApi, progress: MapProgress) -> None:
    """Returns when the journal has an answer of every row that is to have one. Raises as
    `map_file`, and StreamsError for what a person has to look at; the same job goes on then."""
    assert job.out is not None
    calls = job.task.calls
    options = Options(max_in_flight=calls.max_in_flight, max_attempts=calls.max_attempts)
    work = process_of(job.task, api.caller()).work(options)
    collect_seldom(A_LONG_JOB)  # the SDK is imported
    try:
        fields = job.fields(make_operation(job.task))
        facts = await asyncio.to_thread(_checked, job, fields, work.task_caller)
        async with _files(job, facts, api, progress) as (journal, state, records):
            progress.begun = True
            run = _Run(job, api, work, progress)
            await run.go(RowDoor(job, fields, journal, _answered_to(records)), state, records)
    finally:
        await work.close()


def _checked(job: MapJob, fields: Fields, caller: TaskCaller) -> dict[str, Any]:
    """What names the run, once the columns are right. Raises UsageError."""
    source = job.source()
    try:
        next(job.reading(source, fields).stretches(), None)
        return facts_of(job, source, caller)
    finally:
        source.close()


@asynccontextmanager
async def _files(
    job: MapJob, facts: dict[str, Any], api: MapApi, progress: MapProgress
) -> AsyncIterator[tuple[JournalFile, StateFile, dict[str, bytes]]]:
    """The journal and the state, open, and what the state holds."""
    assert job.out is not None
    journal, state = JournalFile(journal_of(job.out)), StateFile(state_of(job.out))
    try:
        goes_on = job.resume and journal.found is not None
        if goes_on and journal.found is not None:
            refuse_others(journal.found.facts, facts, journal.path)
            journal.go_on()
        records = await _loaded(state)
        if records and not goes_on and not job.force:
            raise UsageError(
                f"{state_of(job.out)} is there, but its journal is not: --force gives up the"
                " Message Batches of that run, and starts anew"
            )
        if records and (not goes_on or job.simulate):  # a simulator forgets its batches
            if not job.simulate:
                await _give_up(records, api, progress)
            for key in records:
                await state.put(key, None)
            records = {}
        if not goes_on:
            journal.begin(facts, WINDOW_ROWS)
        if not records:
            records = {ANSWERED_KEY: orjson.dumps(journal.size)}
            await state.put(ANSWERED_KEY, records[ANSWERED_KEY])
        yield journal, state, records
    finally:
        await state.aclose()
        journal.close()


async def _loaded(state: StateFile) -> dict[str, bytes]:
    try:
        return await state.load()
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


async def _give_up(records: Mapping[str, bytes], api: MapApi, progress: MapProgress) -> None:
    """Ends the batches of a run that nobody goes on with."""
    chunks = [Chunk.read(key, records[key]) for key in records if key.startswith(CHUNK_KEY)]
    open_rounds = [each for chunk in chunks for each in chunk.rounds if not each.ended]
    batches = api.batches()
    try:
        for each in open_rounds:
            if each.batch is not None:
                with contextlib.suppress(CallError):
                    await batches.cancel(each.batch)
                    progress.tell(f"cancelled batch {each.batch} of the run before")
    finally:
        await batches.aclose()


def _answered_to(records: Mapping[str, bytes]) -> int:
    place: int = orjson.loads(records[ANSWERED_KEY])
    return place


class _Run:
    """One process's part of the run."""

    def __init__(self, job: MapJob, api: MapApi, work: ApiWork, progress: MapProgress) -> None:
        self._job = job
        self._api = api
        self._work = work
        self._progress = progress
        self._told = ""

    async def go(self, door: RowDoor, state: StateFile, records: dict[str, bytes]) -> None:
        head = RunHead.read(records)
        if head is None:
            head = RunHead(f"map{secrets.token_hex(4)}", {}, int(time.time() * 1000))
        poll_ms = self._job.poll_ms
        batches = self._api.batches()
        run = BatchRun(
            head,
            operation_of(self._work.task_caller, self._work)._replace(call=self._call),
            door,
            batches,
            state,
            records,
            RunTerms(times=PollTimes(first_ms=poll_ms, last_ms=60 * poll_ms)),
            on_progress=self._tell,
        )
        try:
            self._progress.paid = await run.run()
        finally:
            self._progress.answered_now = door.emitted
            door.close()
            await batches.aclose()

    async def _call(self, items: list[Any]) -> Reply:
        """A live call. A key that never got an answer will not get one: it ends the run."""
        try:
            return await self._work.task_caller(items)
        except CallError as error:
            if error.fault is not Fault.ACCOUNT or self._has_begun:
                raise
            message = error.message
        raise StreamsError(f"the API refuses every call: {message}")

    @property
    def _has_begun(self) -> bool:
        now = self._progress.batch
        return now is not None and now.batches > 0

    def _tell(self, now: Any) -> None:
        progress = self._progress
        progress.batch = now
        if now.waits_for and now.waits_for != self._told:
            self._told = now.waits_for
            progress.tell(f"waits for {now.waits_for}")
        progress.change()


def remove_state(out: Path) -> None:
    """The output is complete."""
    state_of(out).unlink(missing_ok=True)
