"""Does a range of a task's source again: `streams replay`.

    range ─► run, in the state topic ─► live | batch ─► sink, dead letters ─► count ─► exit code

Read `replaying` first: the whole process. `range_choice`, `where_filter` and `range_scan` say what
is done; `run_facts`, `run_counts`, `run_topic`, `run_hold`, `run_opening`, `run_context` and
`run_parts` are a run and its state, `replay_job` what it is asked and tells, `run_list` shows and
cancels them. Live mode: `live_run` with `range_reader`, `range_shell`, and `live_traffic`, which
holds it by the rules of `right_of_way`. Batch mode: `batch_mode` with `replay_door`. The count at
the end: `completeness` with `outcome_marks`. The cost before all: `range_estimate` with
`range_sample` and `sink_usage`, also for a worker's `first_start`.
"""

from streams.jobs.replay.completeness import Completeness
from streams.jobs.replay.live_run import CancelledRunError
from streams.jobs.replay.range_choice import as_shown, range_choice
from streams.jobs.replay.range_estimate import RangeEstimate, estimate_range
from streams.jobs.replay.replay_job import ReplayJob, ReplayProgress, Resumption
from streams.jobs.replay.replaying import replay
from streams.jobs.replay.run_list import cancel, runs

__all__ = [
    "CancelledRunError",
    "Completeness",
    "RangeEstimate",
    "ReplayJob",
    "ReplayProgress",
    "Resumption",
    "as_shown",
    "cancel",
    "estimate_range",
    "range_choice",
    "replay",
    "runs",
]
