"""An app whose function blocks its thread for an hour: `faust -A tests.integration.blocking_app
worker`, or as a part of this program, which starts and stops it in a loop of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from streams.app import App
from streams.model import Item

SOURCE = os.environ["TEST_SOURCE"]

app = App.from_config()


@app.microbatch(source=SOURCE, sink=f"{SOURCE}.out", max_items=10)
def measure(items: Sequence[Item]) -> list[dict[str, Any]]:
    if any(item.text == "block" for item in items):
        say("blocking")
        time.sleep(3600)
    return [{"characters": len(item.text)} for item in items]


async def program() -> None:
    """Whatever else the program does; it ends where its standard input does."""
    await app.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    assert app._assembly._sink is not None
    producer: Any = app._assembly._sink._producer
    await app.stop()
    say(f"stopped; the producer is closed: {producer._closed}")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(program())
    say("the program goes on")
