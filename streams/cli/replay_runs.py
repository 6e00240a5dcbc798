"""Carries out what `streams replay` was asked for, and reports it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streams.cli.printing import fail, put_json, tell
from streams.cli.replay_money import ask_first, dry_run
from streams.cli.replay_request import ReplayRequest
from streams.cli.replay_tasks import ReplayTasks
from streams.cli.stopping import run_until_stopped
from streams.errors import UsageError
from streams.jobs.replay import (
    CancelledRunError,
    Completeness,
    ReplayJob,
    ReplayProgress,
    Resumption,
    as_shown,
    cancel,
    range_choice,
    replay,
    runs,
)
from streams.plans import Plan
from streams.providers import can_price, has_batches
from streams.running.bar import Bar, duration
from streams.settings import Settings
from streams.settings.values import topic as legal
from streams.standard_streams import put

MAX_SHOWN = 100
"""Positions that are listed for a person; --json has all."""


def carry_out(request: ReplayRequest, tasks: ReplayTasks, *, as_json: bool) -> int:
    """Returns the exit code. Raises ConfigError, UsageError, StreamsError."""
    settings, plans = tasks
    if request.list_runs:
        return _list_runs(settings, as_json=as_json)
    if request.cancel is not None:
        return _cancel(request.cancel, settings, plans)
    if request.resume is not None:
        return _run(_resumption(request, settings, plans), as_json=as_json)
    job = _job(request, settings, tasks.plan(request.task))
    if request.dry_run:
        return dry_run(job, exact=request.exact, as_json=as_json)
    if not ask_first(job, request, settings.worker.confirm_items):
        tell("not begun")
        return 1
    return _run(job, as_json=as_json)


def _list_runs(settings: Settings, *, as_json: bool) -> int:
    found = asyncio.run(runs(settings))
    for run in found:
        line = run.line()
        if as_json:
            put_json(line)
            continue
        cost = "cost not known" if line["cost_usd"] is None else f"${line['cost_usd']:,.4f}"
        began = datetime.fromtimestamp(line["started_at_ms"] / 1000, UTC)
        put(
            f"{line['run']}  {line['state']:<9}  {line['mode']:<5}  {line['task']}"
            f"  {line['done']:,}/{line['items']:,}  {cost}  {began:%Y-%m-%d %H:%M}\n".encode()
        )
    if not found:
        tell(f"no runs of {settings.worker.id}")
    return 0


def _cancel(run: str, settings: Settings, plans: Mapping[str, Plan]) -> int:
    found = asyncio.run(cancel(settings, run))
    if found.state not in ("cancelled", "stopped"):
        fail(f"run {run} is {found.state} already")
        return 1
    if found.state == "stopped":  # its batches have to be cancelled, and read, by a process
        job = Resumption(settings=settings, environ=os.environ, plans=plans, run=run, cancels=True)
        with contextlib.suppress(CancelledRunError), Bar() as bar:
            progress = ReplayProgress(tell=bar.tell, changed=lambda now: bar.show(now.state))
            run_until_stopped(_done(job, progress))
    tell(f"run {run} is cancelled; what is answered is kept")
    return 0


async def _done(job: Resumption, progress: ReplayProgress) -> None:
    await replay(job, progress)


def _job(request: ReplayRequest, settings: Settings, plan: Plan) -> ReplayJob:
    assert request.first is not None
    until = request.until or "latest"
    choice = range_choice(request.first, until, request.partitions, datetime.now(UTC))
    _check_into(request.into, plan)
    batches = plan.function is None and plan.pipeline is None and has_batches(plan.task)
    if request.max_cost_usd is not None and not can_price(plan.task):
        raise UsageError(f"--max-cost: the price of {plan.task.model} is not known")
    if request.mode == "batch" and not batches:
        whose = plan.task.provider or "a function of your own"
        raise UsageError(f"--mode batch: {whose} has no Message Batches; live is there")
    return ReplayJob(
        settings=settings,
        environ=os.environ,
        plan=plan,
        choice=choice,
        first=as_shown(request.first, choice.first),
        until=as_shown(until, choice.until),
        where=request.where,
        into=request.into,
        mode="batch" if request.mode == "batch" else "live",
        share=request.share,
        deadline_s=request.deadline_s,
        max_cost_usd=request.max_cost_usd,
    )


def _check_into(into: str | None, plan: Plan) -> None:
    if into is None:
        return
    try:
        legal(into)
    except ValueError as error:
        raise UsageError(f"--into {error}") from None
    task = plan.task
    if into in (task.source, task.dead_letter):
        what = "source" if into == task.source else "dead-letter topic"
        raise UsageError(f"--into: {into} is the {what} of {task.name}; name another topic")


def _resumption(
    request: ReplayRequest, settings: Settings, plans: Mapping[str, Plan]
) -> Resumption:
    assert request.resume is not None
    return Resumption(
        settings=settings,
        environ=os.environ,
        plans=plans,
        run=request.resume,
        share=request.share,
        deadline_s=request.deadline_s,
        max_cost_usd=request.max_cost_usd,
    )


def _run(job: ReplayJob | Resumption, *, as_json: bool) -> int:
    found: list[Completeness] = []

    async def work() -> None:
        found.append(await replay(job, progress))

    with Bar() as bar:
        progress = ReplayProgress(tell=bar.tell, changed=lambda now: bar.show(now.state))
        try:
            run_until_stopped(work())
        except BaseException as error:
            _report_end(error, progress)
            raise
    return _report(progress, found[0], as_json=as_json)


def _report_end(error: BaseException, progress: ReplayProgress) -> None:
    """How far it came, and how to go on."""
    if progress.facts is None or isinstance(error, UsageError | CancelledRunError):
        return
    what = "interrupted" if isinstance(error, KeyboardInterrupt) else "not finished"
    batches = f", {progress.batches} batches go on at the API" if progress.batches else ""
    progress.tell(
        f"{what}: {progress.done:,} of {progress.total:,} are done{batches};"
        f" `streams replay --resume {progress.facts.run}` goes on, and pays none twice"
    )


def _report(progress: ReplayProgress, found: Completeness, *, as_json: bool) -> int:
    summary, verdict = progress.summary, found.verdict
    facts = progress.facts
    assert facts is not None
    missing: dict[str, Any] = {
        "missing": [list(place) for place in found.lost()],
        "repeated": [list(place) for place in found.repeated()],
    }
    if as_json:
        put_json({**summary, **{name: places for name, places in missing.items() if places}})
    else:
        cost = summary["cost_usd"]
        tell(
            f"{summary['items']:,} items = {summary['results']:,} results +"
            f" {summary['dead_letters']:,} dead letters + {summary['drops']:,} drops in"
            f" {facts.sink}; {summary['calls']:,} calls,"
            f" {'cost not known' if cost is None else f'${cost:,.4f}'},"
            f" {duration(summary['elapsed_s'])}"
        )
    if progress.where is not None and progress.where.unfit:
        count = f"{progress.where.unfit:,} record{'' if progress.where.unfit == 1 else 's'}"
        tell(f"--where could not judge {count}: left out, as no part of the range")
    if verdict.is_complete:
        return 0
    for name, places in missing.items():
        if places:
            _list(name, facts.source, places)
    fail(
        f"the range is not complete: {verdict.lost:,} without an outcome,"
        f" {verdict.duplicated:,} outcomes too many"
    )
    return 1


def _list(name: str, source: str, places: list[list[int]]) -> None:
    what = "without an outcome" if name == "missing" else "with more than one"
    shown = " ".join(f"{partition}/{offset}" for partition, offset in places[:MAX_SHOWN])
    more = f" and {len(places) - MAX_SHOWN:,} more" if len(places) > MAX_SHOWN else ""
    tell(f"{source}, {what}: {shown}{more}")
