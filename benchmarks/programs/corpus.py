"""The app that `benchmarks.corpus` runs: answers each item with its text's checksum."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence

from streams.app import App
from streams.model import Item

app = App.from_config()
TOPIC = os.environ["CORPUS_TOPIC"]


@app.microbatch(
    source=TOPIC, sink=f"{TOPIC}.out", max_items=100, max_in_flight=16, max_tokens=100_000
)
async def checksum(items: Sequence[Item]) -> Sequence[dict[str, int]]:
    return [{"crc32": zlib.crc32(item.text.encode()), "bytes": len(item.text)} for item in items]
