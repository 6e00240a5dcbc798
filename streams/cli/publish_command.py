"""`streams publish`: a file's records to a topic."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.cli.printing import fail, put_json, quiet_clients, tell
from streams.errors import UsageError


def publish(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    file: Annotated[str, typer.Argument(metavar="FILE|-")],
    format: Annotated[
        str | None,
        typer.Option(metavar="jsonl|csv|tsv|parquet|text", help="Default: told by the name."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The field that is the record's key.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="At most N records a second.")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A JSON Schema; what breaks it is rejected.")
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Takes what is not valid: line, reason, text."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="The columns of a csv or tsv without a header."),
    ] = None,
    partitions: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of a topic that does not exist yet.")
    ] = 4,
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Publish records, in order, each validated first; bad lines stop nothing.

    Exit code 1 if there were lines and not one of them was valid.
    """
    from streams.cli.stopping import run_until_stopped
    from streams.jobs.publish import Progress, Publication
    from streams.jobs.publish import publish as publish_all
    from streams.running.bar import Bar
    from streams.settings import load_settings
    from streams.settings.values import topic as legal

    _check(topic, legal, format, rate)
    kafka = load_settings(config, os.environ, broker=broker, need_tasks=False).kafka
    publication = Publication(
        topic=topic,
        path=None if file == "-" else Path(file),
        format=format,  # type: ignore[arg-type]  # checked above
        key=key,
        columns=columns,
        schema=schema,
        rejects=rejects,
        rate=rate,
        partitions=partitions,
    )
    quiet_clients(debug=debug)
    with Bar() as bar:
        progress = Progress(tell=bar.tell, changed=lambda now: bar.show(now.state))
        try:
            run_until_stopped(publish_all(kafka, publication, progress))
        except BaseException as error:
            _report_end(error, progress, bar.tell, as_json=as_json)
            raise
    return _report(progress.summary(), rejects, as_json=as_json)


def _check(topic: str, legal: Any, format: str | None, rate: float | None) -> None:
    from streams.jobs.files.formats import FORMATS

    try:
        legal(topic)
    except ValueError as error:
        raise UsageError(f"TOPIC {error}") from None
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format must be {', '.join(FORMATS)}, not {format!r}")
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError(f"--rate must be a number above 0, not {rate}")


def _report_end(
    error: BaseException, progress: Any, tell_above: Callable[[str], None], *, as_json: bool
) -> None:
    """How far it came, where something else than the end of the file ended it; wrong usage ends it
    before anything is sent, as a rule."""
    sent = f"{progress.sent} records are published"
    begun = progress.sending and (progress.sent > 0 or not isinstance(error, UsageError))
    if isinstance(error, KeyboardInterrupt):
        tell_above(f"interrupted: {sent}")
    elif begun:
        tell_above(f"not finished: {sent}, {progress.rejected} lines are rejected")
    if as_json and begun:
        put_json(progress.summary())


def _report(summary: dict[str, Any], rejects: Path | None, *, as_json: bool) -> int:
    if as_json:
        put_json(summary)
    else:
        where = f", see {rejects}" if rejects is not None and summary["rejected"] else ""
        tell(
            f"published {summary['published']} records in {summary['elapsed_s']:.1f} s"
            f" ({summary['items_per_s']:,.0f}/s); {summary['rejected']} rejected{where}"
        )
    if summary["rejected"] and not summary["published"]:
        fail("nothing was published: not one line is a valid record")
        return 1
    return 0
