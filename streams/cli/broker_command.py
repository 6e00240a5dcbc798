"""`streams broker`: the embedded broker alone, for one's own tests."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.options import Debug, Json
from streams.cli.printing import put_json
from streams.errors import BrokerError


def broker(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Default: a free one.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Run the embedded broker until Ctrl-C or SIGTERM; prints its address. For trying out."""
    import signal
    import threading

    from streams.kafka.broker.tansu import EmbeddedBroker

    ended = threading.Event()
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        ended.set()

    # Set here, because a shell starts background processes with Ctrl-C ignored.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with EmbeddedBroker(port=port) as running:
        if as_json:
            put_json({"bootstrap": running.bootstrap})
        else:
            typer.echo(running.bootstrap)
        while not ended.wait(0.5):
            if not running.alive:
                raise BrokerError(f"the embedded broker ended by itself: {running.log[-500:]}")
    return 130 if received[0] == signal.SIGINT else 0
