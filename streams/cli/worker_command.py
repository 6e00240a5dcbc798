"""`streams worker`: the tasks of a configuration, or of an application."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.standard_streams import forgive_output


def worker(
    config: Config = None,
    app: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:ATTR", help="An application; its own configuration counts then."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Begin with a long history of a paid provider.")
    ] = False,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Run the worker until SIGTERM or Ctrl-C, which let it finish what is in flight."""
    forgive_output()  # a function's print that fails would be its item's dead letter
    settings = None
    if app is None:
        from streams.settings import load_settings

        settings = load_settings(
            config, os.environ, broker=broker, need_tasks=True, allow_custom=False
        )
    else:
        # The application's own configuration counts; if it names none, it finds these variables.
        if config is not None:
            os.environ["STREAMS_CONFIG"] = str(config)
        if broker is not None:
            os.environ["STREAMS_KAFKA__BOOTSTRAP_SERVERS"] = broker
    from streams.process import run

    return run(settings, app=app, json=as_json, yes=yes)
