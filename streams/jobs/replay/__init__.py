"""Does a range of a task's source again: `streams replay`.

    range ─► run, in the state topic ─► live | batch ─► sink, dead letters ─► count ─► exit code

Read `replaying` first: the whole process. `range_choice`, `where_filter` and `range_scan` say what
is done; `run_facts`, `run_counts`, `run_topic`, `run_opening` and `run_context` are a run and its
state, `replay_job` what it is asked and tells. Live mode: `live_run` with `range_reader` and
`range_shell`. The count at the end: `completeness` with `outcome_marks`.
"""

from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.range_choice import as_shown, range_choice
from streams.jobs.replay.replay_job import ReplayJob, ReplayProgress, Resumption
from streams.jobs.replay.replaying import replay

__all__ = [
    "Completeness",
    "ReplayJob",
    "ReplayProgress",
    "Resumption",
    "as_shown",
    "range_choice",
    "replay",
]
