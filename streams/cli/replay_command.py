"""`streams replay`: a range of a topic again, and the runs there are."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.cli.printing import quiet_clients


def replay(
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose source; default: the only one.")
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="earliest|latest|OFFSET|TIME",
            help="Where to begin; a time is ISO 8601 (UTC unless it says) or how long ago: -2h.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="earliest|latest|OFFSET|TIME",
            help="Where to end, itself not included; default: latest, what is there now.",
        ),
    ] = None,
    partitions: Annotated[
        str | None, typer.Option(metavar="0,3-5", help="Only these partitions.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help="Only items for which this JMESPath expression holds."),
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Results go there; default: the sink.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(metavar="live|batch", help="batch: at half price, in its time.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            metavar="0-1",
            help="live: this part of the account at any time; default: what live traffic leaves, "
            "but one second in ten at least.",
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(metavar="6h", help="batch: what is not back in time goes through live calls."),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(metavar="USD", help="Stop before it costs more.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would take: calls nothing.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="--dry-run: read all of the range, not a sample.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large run.")] = False,
    list_runs: Annotated[bool, typer.Option("--list", help="Show the runs there are.")] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that ended before its time.")
    ] = None,
    cancel: Annotated[
        str | None, typer.Option(metavar="RUN", help="Give a run up; what is answered is kept.")
    ] = None,
    app: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:ATTR", help="An application, for its functions and pipelines."
        ),
    ] = None,
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Do a range of a task's source again, into its sink or another topic, and count the outcomes.

    Exit code 1 unless every position of the range has exactly one outcome.
    """
    from streams.cli.replay_request import ReplayRequest
    from streams.cli.replay_runs import carry_out
    from streams.cli.replay_tasks import tasks_of

    request = ReplayRequest(
        task=task,
        first=first,
        until=until,
        partitions=partitions,
        where=where,
        into=into,
        mode=mode,
        share=share,
        deadline=deadline,
        max_cost_usd=max_cost,
        dry_run=dry_run,
        exact=exact,
        yes=yes,
        list_runs=list_runs,
        resume=resume,
        cancel=cancel,
    )
    request.check()
    quiet_clients(debug=debug)
    return carry_out(request, tasks_of(app, config, broker), as_json=as_json)
