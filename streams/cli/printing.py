"""How commands print: lines to stderr, JSON to stdout."""

from __future__ import annotations

import logging
import sys
from typing import Any

from streams.standard_streams import put
from streams.standard_streams import tell as tell


def fail(line: str) -> None:
    """One line that says what went wrong and what to do."""
    tell(f"error: {' '.join(line.split())}")


def put_json(what: Any) -> None:
    """One JSON object with its line end, on stdout."""
    from streams.codec.strict_json import compact

    put(f"{compact(what)}\n".encode())


def quiet_clients(*, debug: bool) -> None:
    """Keep the Kafka client's own log lines off the terminal: we report each failure once."""
    if debug:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO)
        return
    for name in ("aiokafka", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
