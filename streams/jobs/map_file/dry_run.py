"""What a run over a file would take, by estimates: nothing is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streams.jobs.call_estimate import Estimate
from streams.jobs.map_file.map_job import MapJob
from streams.operations import make_operation


def estimate(job: MapJob) -> dict[str, Any]:
    """What the job would take: the keys of `replay --dry-run`, and `rows` of the file, of which
    `items` have a text to ask about. Raises UsageError for what cannot work."""
    source = job.source()
    rows = 0
    try:
        found = Estimate(job.task)
        fields = job.fields(make_operation(job.task))
        for row in _rows(job, job.reading(source, fields).stretches()):
            rows += 1
            if row.problem is None:
                found.add(row.text)
        found.close_calls()
    finally:
        source.close()
    return {"rows": rows, **found.summary()}


def _rows(job: MapJob, stretches: Iterator[Any]) -> Iterator[Any]:
    count = 0
    for stretch in stretches:
        for row in stretch.rows:
            if job.limit is not None and count >= job.limit:
                return
            count += 1
            yield row
