"""An app whose calls do what the items and the TEST_... variables say; also runs `[[task]]`s.

TEST_SOURCES    source topics, commas between; each has a task of its own, `<source>.out`
TEST_CALL_S     a call takes about so long, unequally, so that calls finish out of order
TEST_GATE       a file; items with "wait": true are in flight until it exists
TEST_MENDED     a file; until it exists every call raises
TEST_CALLED     a file that gets a line `partition/offset ...` for each call that has ended
TEST_POLL_MS    max_poll_interval_ms of the consumer, instead of our own
TEST_METADATA_MS  metadata_max_age_ms of the consumer: how soon new partitions are seen
TEST_ACCOUNT_S  wait between two tries while the account is refused, instead of 30 to 300 s
TEST_TEXT, TEST_TOMBSTONES, TEST_MAX_ITEMS, TEST_MAX_IN_FLIGHT, TEST_SINK, TEST_ORDER: settings of
                the tasks
TEST_AGENT      a topic with an ordinary agent that counts in a table
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from streams import plans
from streams.app import App
from streams.errors import ItemError
from streams.model import Item
from streams.policies.retry import Backoff

CALL_S = float(os.environ.get("TEST_CALL_S", "0"))
GATE = os.environ.get("TEST_GATE")
MENDED = os.environ.get("TEST_MENDED")
CALLED = os.environ.get("TEST_CALLED")
SINK = os.environ.get("TEST_SINK", "{source}.out")

if wait := os.environ.get("TEST_ACCOUNT_S"):
    backoff = Backoff(base_s=float(wait), cap_s=float(wait))
    plans.Limits = partial(plans.Limits, account_backoff=backoff)  # type: ignore[misc,assignment]


class TrapApp(App):
    def _consumer_keywords(self, buffered: int) -> dict[str, Any]:
        keywords = super()._consumer_keywords(buffered)
        if poll := os.environ.get("TEST_POLL_MS"):
            keywords["max_poll_interval_ms"] = int(poll)
        if age := os.environ.get("TEST_METADATA_MS"):
            keywords["metadata_max_age_ms"] = int(age)
        return keywords


app = TrapApp.from_config()


async def measure(items: Sequence[Item]) -> list[dict[str, Any] | ItemError | None]:
    """The number of characters, after a while; `result_bytes` asks for a result of that size."""
    first = items[0]
    if CALL_S:
        await asyncio.sleep(CALL_S * (0.5 + (first.offset * 7919 % 10) / 10))
    if GATE and any(item.value.get("wait") for item in items):
        while not os.path.exists(GATE):  # noqa: ASYNC110, ASYNC240  another process makes it
            await asyncio.sleep(0.02)
    if MENDED and not os.path.exists(MENDED):  # noqa: ASYNC240  another process makes it
        raise ConnectionRefusedError(first.text)
    if CALLED:
        with Path(CALLED).open("a") as file:  # noqa: ASYNC230  a line
            file.write(" ".join(f"{item.partition}/{item.offset}" for item in items) + "\n")
    return [_answer(item) for item in items]


def _answer(item: Item) -> dict[str, Any] | ItemError | None:
    if item.value.get("raise"):
        raise ValueError(f"cannot judge {item.text}")
    if item.value.get("refuse"):
        return ItemError("refused_by_test", "as asked")
    if size := item.value.get("result_bytes"):
        return {"text": "x" * size}
    return {"characters": len(item.text)}


for number, source in enumerate(filter(None, os.environ.get("TEST_SOURCES", "").split(","))):
    app.microbatch(
        name=f"measure{number or ''}",
        source=source,
        sink=SINK.format(source=source),
        max_items=int(os.environ.get("TEST_MAX_ITEMS", "20")),
        max_in_flight=int(os.environ.get("TEST_MAX_IN_FLIGHT", "5")),
        max_wait_ms=50,
        order=os.environ.get("TEST_ORDER", "partition"),
        text=os.environ.get("TEST_TEXT", "/text"),
        tombstones=os.environ.get("TEST_TOMBSTONES", "forward"),
    )(measure)


if agent_topic := os.environ.get("TEST_AGENT"):
    counted = app.Table("counted", default=int, partitions=2)

    @app.agent(app.topic(agent_topic, value_type=bytes, value_serializer="raw"))
    async def ordinary(stream: Any) -> None:
        """An ordinary agent with a table, whose recovery seeks every partition."""
        async for value in stream:
            counted[value.decode()] += 1
