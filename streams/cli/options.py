"""The options that commands share, and the session they write to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from streams.standard_streams import reserve_output


class Session:
    """What `main` needs to know after a command has failed."""

    def __init__(self) -> None:
        self.debug = False


def _debug(context: typer.Context, value: bool) -> None:
    session: Any = context.find_root().obj
    if value and isinstance(session, Session):
        session.debug = True


def _json(value: bool) -> bool:
    if value:
        reserve_output()
    return value


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; else STREAMS_CONFIG, else ./streams.toml.",
    ),
]
Broker = Annotated[
    str | None,
    typer.Option(
        "--broker", metavar="HOST:PORT", help="Replaces the configuration's bootstrap_servers."
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_json,
        is_eager=True,
        help="Print JSON on stdout, and nothing else there.",
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_debug, is_eager=True, help="Show a traceback when something fails."
    ),
]
