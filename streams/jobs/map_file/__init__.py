"""Gives every row of a file its answer: `streams map`.

    rows ─► texts ─► calls ─► answers ─► journal ─► the same rows in order, with new columns

Read `mapping` first: the whole process; `row_map` is its run. What decides is pure: `row_queue`
(the order), `answer_fields` (the new columns), `row_layouts` (how they join a row), `map_journal`
(what a run leaves to the next). `map_task` and `map_job` say what to do, `map_api` whom to ask;
`row_reading`, `row_output`, `arrow_layout` and `journal_file` are the files. Message Batches:
`batch_asking`, whose input is `row_door`. `map_progress` counts, `dry_run` estimates.
"""

from streams.jobs.map_file.dry_run import estimate
from streams.jobs.map_file.map_job import MapJob
from streams.jobs.map_file.map_progress import MapProgress
from streams.jobs.map_file.mapping import map_file

__all__ = ["MapJob", "MapProgress", "estimate", "map_file"]
