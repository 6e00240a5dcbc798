"""The app that the workers of the runs are: the tasks of their configuration, or with CHAOS_TASK a
function of the user's. New partitions are seen within 2 s instead of five minutes.

CHAOS_TASK     the task's name, by which the runs tell the workers apart
CHAOS_SOURCE   the source topic
CHAOS_CALLS    its settings, JSON
CHAOS_CALL_S   a call takes about so long, unequally
CHAOS_CALLED   a file that gets a line of JSON for each call that has ended
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.app import App
from streams.errors import ItemError, Retry
from streams.model import Item


class ChaosApp(App):
    def _consumer_keywords(self, buffered: int) -> dict[str, Any]:
        return {**super()._consumer_keywords(buffered), "metadata_max_age_ms": 2000}


app = ChaosApp.from_config()

if task := os.environ.get("CHAOS_TASK"):
    source = os.environ["CHAOS_SOURCE"]
    called = Path(os.environ["CHAOS_CALLED"])
    call_s = float(os.environ["CHAOS_CALL_S"])
    asked_again: set[int] = set()

    @app.microbatch(
        name=task, source=source, sink=f"{source}.out", **json.loads(os.environ["CHAOS_CALLS"])
    )
    async def measure(items: Sequence[Item]) -> list[dict[str, int] | ItemError]:
        """The number of characters. Some calls raise, some ask for another try, poison is refused
        by its error or by an exception."""
        offset = items[0].offset
        await asyncio.sleep(call_s * (0.5 + (offset * 7919 % 10) / 10))
        if offset % 13 == 0 and offset not in asked_again:
            asked_again.add(offset)
            raise Retry(0.2)
        places = [(item.partition, item.offset) for item in items]
        line = {"at": time.time(), "by": task, "places": places}
        with called.open("a") as file:  # noqa: ASYNC230  a line
            file.write(json.dumps(line) + "\n")
        if any(item.text.startswith("POISON") and item.offset % 2 for item in items):
            raise ValueError("cannot judge it")
        return [_answer(item) for item in items]


def _answer(item: Item) -> dict[str, int] | ItemError:
    if item.text.startswith("POISON"):
        return ItemError("poison", "as asked")
    return {"characters": len(item.text)}
