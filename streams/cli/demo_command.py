"""`streams demo`: broker, API simulator and worker in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.options import Broker, Debug, Json
from streams.errors import UsageError


def demo(
    items: Annotated[int, typer.Option(min=1, metavar="N", help="How many items.")] = 500,
    input: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A text a line, or JSON lines with `text`.")
    ] = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Enrich real text on an embedded broker, and check order and completeness."""
    if input is not None and not input.is_file():
        raise UsageError(f"--input {input}: no such file")
    if broker is not None:
        from streams.settings.values import servers

        try:
            broker = servers(broker)
        except ValueError as error:
            raise UsageError(f"--broker: {error}") from None
    from streams.demo import run

    return run(items, input, broker, as_json)
