"""`streams tail`: prints a topic's records."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from streams.cli.options import Broker, Config, Debug, Json
from streams.cli.printing import quiet_clients, tell
from streams.errors import UsageError
from streams.standard_streams import data


def tail(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="earliest|latest|OFFSET|TIME",
            help="Where to begin; a time is ISO 8601 (UTC unless it says) or how long ago: -2h.",
        ),
    ] = "earliest",
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after N records.")
    ] = None,
    config: Config = None,
    broker: Broker = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Print records as they come: partition:offset, time, key, value; with --json a line each."""
    import asyncio
    from contextlib import aclosing
    from datetime import UTC, datetime

    from streams.kafka.record_views import json_line, text_line
    from streams.kafka.tail import parse_start
    from streams.kafka.tail import tail as records_of
    from streams.settings import load_settings
    from streams.settings.values import topic as legal

    begin = parse_start(start, datetime.now(UTC))
    try:
        legal(topic)
    except ValueError as error:
        raise UsageError(f"TOPIC {error}") from None
    kafka = load_settings(config, os.environ, broker=broker, need_tasks=False).kafka
    quiet_clients(debug=debug)
    out = data()

    async def follow() -> None:
        async with aclosing(records_of(kafka, topic, begin, count=count)) as batches:
            async for records in batches:
                if not records:
                    tell(f"following {topic} from {start}")
                for record in records:
                    out.write(json_line(record) if as_json else text_line(record).encode())
                out.flush()

    asyncio.run(follow())
    return 0
