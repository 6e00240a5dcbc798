"""What a replay would cost, told before it is paid: `--dry-run`, and the question before a large
run."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from streams.cli.printing import put_json, tell
from streams.cli.replay_request import ReplayRequest
from streams.errors import UsageError
from streams.jobs.replay import RangeEstimate, ReplayJob, estimate_range
from streams.policies.asking_first import needs_yes
from streams.running.bar import duration
from streams.standard_streams import put

Summary = dict[str, Any]


def dry_run(job: ReplayJob, *, exact: bool, as_json: bool) -> int:
    """Print the estimate; returns the exit code. Raises UsageError, ConfigError, BrokerError."""
    found = asyncio.run(_estimate(job, exact=exact))
    if as_json:
        put_json(found.summary)
        return 0
    put("".join(f"{line}\n" for line in lines(found.summary)).encode())
    tell(basis(found))
    tell("nothing was called")
    return 0


def ask_first(job: ReplayJob, request: ReplayRequest, confirm_items: int) -> bool:
    """Whether to begin: a small run at once, a large one after `--yes` or a yes on the terminal.
    Raises UsageError where nobody can be asked."""
    if request.yes:
        return True
    found = asyncio.run(_estimate(job, exact=False))
    summary = found.summary
    cost = summary[job.mode]["cost_usd"]  # batch mode has been refused where there is none
    if not needs_yes(summary["items"], cost, confirm_items):
        return True
    for line in lines(summary):
        tell(line)
    tell(basis(found))
    if job.max_cost_usd is not None and cost is not None and cost > job.max_cost_usd:
        tell(f"it will stop at --max-cost ${job.max_cost_usd:,.2f}, before it is complete")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"this run takes about {summary['items']:,} items and {_dollars(cost)}:"
            " --yes begins it, --dry-run says more"
        )
    sys.stderr.write(f"Begin it in {job.mode} mode? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _estimate(job: ReplayJob, *, exact: bool) -> RangeEstimate:
    return await estimate_range(
        job.settings,
        job.environ,
        job.plan,
        job.choice,
        where=job.where,
        into=job.into,
        exact=exact,
    )


def lines(summary: Summary) -> list[str]:
    """The estimate for a person."""
    live, batch = summary["live"], summary["batch"]
    found = [
        f"{summary['items']:,} items, {summary['calls']:,} calls,"
        f" {summary['input_tokens']:,} tokens in, {summary['output_tokens']:,} out",
        f"live   {_dollars(live['cost_usd'])}, {duration(live['time_s'])}",
    ]
    if batch is not None:
        found.append(
            f"batch  {_dollars(batch['cost_usd'])}, most of it within {duration(batch['time_s'])}"
        )
    return found


def basis(found: RangeEstimate) -> str:
    """What the estimate is made of."""
    read = "the whole range was read" if found.exact else "a sample of the range was read"
    if found.known_items:
        return f"{read}; tokens as {found.known_items:,} results of this task took them"
    return (
        f"{read}; tokens are counted by characters and answers by their schema: a first run into"
        " a side topic makes this exact"
    )


def _dollars(cost: float | None) -> str:
    return "cost not known" if cost is None else f"${cost:,.4f}"
