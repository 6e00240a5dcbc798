"""A worker's pipeline for the tests: `--app tests.integration.pipeline_apps:app`.

TEST_STAGES names it; TEST_CALL_S is what its calls take.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

import streams
from streams import App, Item, ItemError, Pipeline, chunk, expand, gather, stage

app = App.from_config()

SOURCE = os.environ.get("TEST_SOURCES") or os.environ["TEST_SOURCE"]
CALL_S = float(os.environ.get("TEST_CALL_S", "0"))
URL = os.environ.get("TEST_API_URL", "")


async def check(items: Sequence[Item]) -> list[Item | ItemError | None]:
    """An item's `text` can ask for a fate."""
    await _call(items[0].offset)
    return [ItemError("refused", "as asked") if "refuse me" in i.text else i for i in items]


def words(items: Sequence[Item]) -> list[list[dict[str, Any]]]:
    """Up to six parts of each item, of some none."""
    if any("split badly" in item.text for item in items):
        raise ValueError("as asked")
    return [
        [{"offset": item.offset, "part": n, "text": item.text} for n in range(item.offset % 7)]
        for item in items
    ]


async def measure(parts: Sequence[dict[str, Any]]) -> list[Any]:
    await _call(parts[0]["offset"] + parts[0]["part"])
    bad = ItemError("bad_part", "as asked")
    return [bad if "bad part" in part["text"] and part["part"] == 2 else part for part in parts]


def store(items: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any] | None]:
    """Runs in a thread."""
    time.sleep(CALL_S / 4)
    if any(part["text"] == "store badly" for parts in items for part in parts):
        raise SystemExit(3)
    return [
        None if parts and "drop me" in parts[0]["text"] else {"parts": [p["part"] for p in parts]}
        for parts in items
    ]


async def _call(number: int) -> None:
    """Unequal, so that calls end out of order."""
    await asyncio.sleep(CALL_S * (0.5 + (number * 7919 % 10) / 10))


def block(items: Sequence[Item]) -> list[Any]:
    time.sleep(60)
    return [None for _ in items]


async def interrupt(items: Sequence[Item]) -> list[Any]:
    raise KeyboardInterrupt


def documents() -> Pipeline:
    return Pipeline(
        [
            stage(check, max_items=5, max_in_flight=4),
            expand(words, max_items=4),
            stage(measure, max_items=20, max_in_flight=4),
            gather(),
            stage(store, max_items=10, max_in_flight=2),
        ]
    )


def enriched() -> list[Any]:
    """Through the real SDKs."""
    vector = streams.embed("voyage-4", dimension=256, base_url=f"{URL}/v1")
    return [
        chunk(max_tokens=20, overlap=5),
        stage(vector, max_items=16, max_in_flight=3, max_wait_ms=5),
        gather(),
    ]


def judged() -> list[Any]:
    label = streams.classify(["positive", "negative", "neutral"], base_url=URL)
    return [stage(label, max_items=10, max_in_flight=3, max_wait_ms=20)]


async def hundredfold(items: Sequence[Item]) -> list[list[str]]:
    """A hundred parts of 10 kB of each, and nothing is stored before the test has looked."""
    return [["x" * 10_000 + str(n) for n in range(100)] for _ in items]


async def counted(lists: Sequence[list[str]]) -> list[int]:
    while not os.path.exists(os.environ["TEST_GATE"]):  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.05)
    return [len(each) for each in lists]


STAGES = {
    "hundredfold": lambda: [
        expand(hundredfold, max_items=200),
        gather(),
        stage(counted, max_items=20),
    ],
    "documents": documents,
    "enriched": enriched,
    "judged": judged,
    "block": lambda: [block],
    "interrupt": lambda: [interrupt],
}

app.pipeline(
    name="documents",
    source=SOURCE,
    sink=f"{SOURCE}.out",
    stages=STAGES[os.environ.get("TEST_STAGES", "documents")](),
    order=os.environ.get("TEST_ORDER", "partition"),
)
