"""`streams broker`: the embedded broker alone, for one's own tests."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.options import Debug, Json
from streams.cli.output import put_json, tell


def broker(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Default: a free one.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Run the embedded broker until Ctrl-C. It keeps everything in memory: for trying out."""
    import signal
    import threading

    from streams.kafka.broker import EmbeddedBroker

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with EmbeddedBroker(port=port) as running:
        if as_json:
            put_json({"bootstrap": running.bootstrap})
        else:
            tell("embedded broker (Tansu), in memory: for trying out; Ctrl-C ends it")
            typer.echo(running.bootstrap)
        while not ended.wait(0.5):
            pass
    return 0
