"""Apps that the worker processes of the tests run: `--app tests.integration.apps:app`.

What they do is set by TEST_... variables, so that a test can start a worker like any user would.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

from streams.app import App
from streams.errors import ItemError
from streams.model import Item

app = App.from_config()

SOURCE = os.environ["TEST_SOURCE"]
CALL_S = float(os.environ.get("TEST_CALL_S", "0"))
KEYWORDS: dict[str, Any] = {
    "max_items": int(os.environ.get("TEST_MAX_ITEMS", "20")),
    "max_in_flight": int(os.environ.get("TEST_MAX_IN_FLIGHT", "5")),
    "max_wait_ms": 50,
    "mode": os.environ.get("TEST_MODE", "envelope"),
}


@app.microbatch(source=SOURCE, sink=f"{SOURCE}.out", **KEYWORDS)
async def measure(items: Sequence[Item]) -> list[dict[str, Any] | ItemError | None]:
    """Answers with the item's own facts; an item's `text` can ask for another outcome."""
    if CALL_S:
        sys.stderr.write("calling\n")
        sys.stderr.flush()
        # Unequal calls, so that they finish out of order.
        await asyncio.sleep(CALL_S * (0.5 + (items[0].offset * 7919 % 10) / 10))
    return [_answer(item) for item in items]


def _answer(item: Item) -> dict[str, Any] | ItemError | None:
    if item.text == "drop me":
        return None
    if item.text == "refuse me":
        return ItemError("refused_by_test", "as asked")
    if item.text == "raise":
        raise ValueError("as asked")
    return {"offset": item.offset, "characters": len(item.text)}


if os.environ.get("TEST_AGENT_TOPIC"):
    agent_topic = app.topic(
        os.environ["TEST_AGENT_TOPIC"], value_type=bytes, value_serializer="raw"
    )
    agent_sink = app.topic(
        os.environ["TEST_AGENT_TOPIC"] + ".out", value_type=bytes, value_serializer="raw"
    )

    @app.agent(agent_topic)
    async def ordinary(stream: Any) -> None:
        """An ordinary Faust agent beside the microbatches."""
        async for value in stream:
            await agent_sink.send(value=b"seen " + value)
