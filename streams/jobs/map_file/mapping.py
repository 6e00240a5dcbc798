"""`map` from end to end: a file's rows -> texts -> calls -> the same rows with answers.

    reading ─► queue ─► MapRun (texts) ─► answers ─► journal ─► queue ─► output, in order
                 ▲                                      │
                 └── answers of the runs before ◄───────┘

The output is made of the input and the journal alone. So a run that goes on (`resume`) writes it
from its beginning, and every run with the same answers writes the same bytes. In batch mode the
journal is made first (`batch_asking`), and then nothing is left to ask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from streams.jobs.files.formats import Source
from streams.jobs.map_file.batch_asking import ask_in_batches, remove_state
from streams.jobs.map_file.map_api import api_of
from streams.jobs.map_file.map_job import MapJob, facts_of
from streams.jobs.map_file.map_progress import MapProgress
from streams.jobs.map_file.map_task import process_of
from streams.jobs.map_file.row_map import RowMap
from streams.operations import make_operation
from streams.providers import TaskCaller
from streams.providers.registry import can_price
from streams.running.api_limits import limits_of_task
from streams.running.map_run import MapRun
from streams.running.work import Options, work_of

MAX_WAIT_S: Final = 0.05
"""How long a call waits for more rows of a slow input."""


async def map_file(job: MapJob, progress: MapProgress) -> None:
    """Give every row of the file its answer; returns when all are in the output.

    Raises UsageError and ConfigError for what cannot work, before anything is asked, and
    StreamsError where a file cannot be written. `progress` is correct at any moment.
    """
    source = job.source()
    try:
        job.check_files(source)
        progress.size = source.size if job.limit is None else job.limit
        async with api_of(job, progress.tell) as api:
            if job.batch:
                await ask_in_batches(job, api, progress)
                job = replace(job, resume=True)
            await _map(job, source, api.caller(), progress)
    finally:
        source.close()
    if job.batch and job.out is not None:
        remove_state(job.out)


def options_of(job: MapJob) -> Options:
    """As the task's worker calls, but for its budget, which is the worker's alone."""
    calls = job.task.calls
    return Options(
        max_in_flight=calls.max_in_flight,
        max_attempts=calls.max_attempts,
        max_wait_s=MAX_WAIT_S,
        adaptive=job.task.batch.adaptive,
        limits=limits_of_task(job.task.limits, job.provider),
    )


async def _map(job: MapJob, source: Source, caller: TaskCaller, progress: MapProgress) -> None:
    fields = job.fields(make_operation(job.task))
    reading = job.reading(source, fields)
    if not can_price(job.task):
        progress.tell(f"the price of {job.task.model} is not known: no cost is told")
    rows = RowMap(job, source, reading, facts_of(job, source, caller), progress)
    run = MapRun(
        work_of(process_of(job.task, caller), options_of(job)),
        rows.texts(),
        on_pause=lambda pause, _: rows.paused(pause, run),
    )
    progress.calls = run.runner.tally
    try:
        while (taken := await run.take()) is not None:
            rows.settle(*taken)
        rows.finish()
    finally:
        try:
            await run.close()
        finally:
            await rows.close()
