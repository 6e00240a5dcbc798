"""`streams map`: every row of a file with its answer, without Kafka."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import Config, Debug, Json
from streams.cli.printing import fail, put_json, quiet_clients, tell
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.jobs.map_file import MapJob, MapProgress


def map_rows(
    file: Annotated[str, typer.Argument(metavar="FILE|-")],
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="A task of the configuration.")
    ] = None,
    operation: Annotated[
        str | None,
        typer.Option(metavar="OP", help="Without a task: classify, extract, embed or generate."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="classify: the labels to choose from.")
    ] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="FILE", help="extract: the JSON Schema of an answer.")
    ] = None,
    instructions: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What to judge or write, in your own words.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Of the provider.")] = None,
    dimension: Annotated[
        int | None, typer.Option(metavar="N", help="embed: of a vector; default: the model's.")
    ] = None,
    input_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="embed: document (default) or query.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Where the text is: a name, /pointer or '{/title}: {/body}'."
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="jsonl|csv|tsv|parquet|text", help="Default: told by the name."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="The columns of a csv or tsv without a header."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Takes the rows; default: stdout.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Takes what failed: line, reason, text.")
    ] = None,
    prefix: Annotated[
        str, typer.Option(metavar="P", help="Before the names of the new columns.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the first N rows.")
    ] = None,
    max_items: Annotated[
        int | None, typer.Option(metavar="N", help="Rows in one call; default: what suits.")
    ] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(metavar="N", help="Calls at any moment; default: 5.")
    ] = None,
    mode: Annotated[
        str, typer.Option(metavar="live|batch", help="batch: at half the price, within hours.")
    ] = "live",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would take: calls nothing.")
    ] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Ask the built-in simulator: no key, no cost.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after an interruption; pays nothing twice.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace --out, and start anew.")] = False,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Give every row of a file its answer, in new columns: the same rows, in order.

    Exit code 1 if not one row has an answer.
    """
    out = None if out == Path("-") else out
    _check(mode, format, out, resume=resume, force=force, as_json=as_json and not dry_run)
    batch = {"max_items": max_items} if max_items is not None else None
    calls = {"max_in_flight": max_in_flight} if max_in_flight is not None else None
    question = {
        "operation": operation,
        "labels": None if labels is None else [label.strip() for label in labels.split(",")],
        "schema": schema,
        "instructions": instructions,
        "model": model,
        "dimension": dimension,
        "input_type": input_type,
        "batch": batch,
        "calls": calls,
    }
    job = _job(config, task, question, text)
    job = _with(
        job,
        path=None if file == "-" else Path(file),
        format=format,
        columns=columns,
        out=out,
        rejects=rejects,
        prefix=prefix,
        limit=limit,
        resume=resume,
        force=force,
        simulate=simulate,
        batch=mode == "batch",
    )
    quiet_clients(debug=debug)
    return _estimate(job, as_json=as_json) if dry_run else _run(job, as_json=as_json)


def _check(
    mode: str, format: str | None, out: Path | None, *, resume: bool, force: bool, as_json: bool
) -> None:
    from streams.jobs.files.formats import FORMATS

    if mode not in ("live", "batch"):
        raise UsageError(f"--mode must be live or batch, not {mode!r}")
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format must be {', '.join(FORMATS)}, not {format!r}")
    if resume and force:
        raise UsageError("--resume goes on and --force starts anew: say one of them")
    if as_json and out is None:
        raise UsageError("--json prints the summary on stdout: name a file for the rows with --out")


def _job(config: Path | None, name: str | None, question: Any, text: str | None) -> MapJob:
    from streams.jobs.map_file.map_job import MapJob
    from streams.jobs.map_file.map_task import task_of, text_of
    from streams.settings import load_settings

    settings = load_settings(config, os.environ, need_tasks=False)
    task = task_of(settings, name, question)
    return MapJob(
        task=task,
        provider=settings.provider.get(task.provider),
        environ=os.environ,
        path=None,
        text=text_of(task, text),
    )


def _with(job: MapJob, **files: Any) -> MapJob:
    from dataclasses import replace

    return replace(job, **files)


def _estimate(job: MapJob, *, as_json: bool) -> int:
    from streams.jobs.map_file import estimate
    from streams.running.bar import duration

    found = estimate(job)
    if as_json:
        put_json(found)
        return 0
    ways = []
    for mode in ("live", "batch"):
        if found[mode] is not None:
            cost, seconds = found[mode]["cost_usd"], found[mode]["time_s"]
            price = "price not known" if cost is None else f"${cost:,.4f}"
            ways.append(f"{mode} {price}, {duration(seconds)}")
    tell(
        f"{found['rows']:,} rows, {found['items']:,} to ask about: about {found['calls']:,} calls,"
        f" {found['input_tokens']:,} tokens in, {found['output_tokens']:,} out; {'; '.join(ways)};"
        " nothing was called"
    )
    return 0


def _run(job: MapJob, *, as_json: bool) -> int:
    from streams.cli.stopping import run_until_stopped
    from streams.jobs.map_file import MapProgress, map_file
    from streams.running.bar import Bar

    with Bar() as bar:
        progress = MapProgress(
            tell=bar.tell, changed=lambda now: bar.show(now.state), simulated=job.simulate
        )
        try:
            run_until_stopped(map_file(job, progress))
        except BaseException as error:
            _report_end(error, job, progress, as_json=as_json)
            raise
    return _report(job, progress, as_json=as_json)


def _report_end(error: BaseException, job: MapJob, progress: MapProgress, *, as_json: bool) -> None:
    """How far it came, and how to go on."""
    if not progress.begun or isinstance(error, BrokenPipeError | UsageError):
        return
    what = "interrupted" if isinstance(error, KeyboardInterrupt) else "not finished"
    how = "" if job.out is None else "; the same command with --resume goes on, and pays none twice"
    progress.tell(f"{what}: {_how_far(progress)}{how}")
    if as_json:
        put_json(progress.summary())


def _how_far(progress: MapProgress) -> str:
    now = progress.batch
    if now is None or progress.rows:
        return f"{progress.rows:,} rows are written"
    return (
        f"{now.done:,} rows are answered; {now.under_way:,} batches go on at the API, which keeps"
        " their results for 29 days"
    )


def _report(job: MapJob, progress: MapProgress, *, as_json: bool) -> int:
    from streams.running.bar import duration

    if as_json:
        put_json(progress.summary())
    else:
        rejects = f", see {job.rejects}" if job.rejects is not None and progress.failed else ""
        resumed = progress.resumed - progress.answered_now
        again = f" ({resumed:,} before this run)" if resumed else ""
        tell(
            f"{progress.rows:,} rows, {progress.answered:,} answered{again},"
            f" {progress.failed:,} failed{rejects}; {progress.bill},"
            f" {duration(progress.elapsed_s)}"
            + (": simulated, nothing was paid" if job.simulate else "")
        )
    if progress.rows and not progress.answered:
        fail("not one row has an answer")
        return 1
    return 0
