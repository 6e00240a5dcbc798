"""An app whose function prints, and does what an item's `text` says: `TEST_SOURCE`, sink
`{source}.out`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from streams.app import App
from streams.errors import Retry
from streams.model import Item

print("at the import")  # noqa: T201
app = App.from_config()
SOURCE = os.environ["TEST_SOURCE"]
retried: set[int] = set()


@app.microbatch(source=SOURCE, sink=f"{SOURCE}.out", max_items=8, max_wait_ms=20)
async def unruly(items: Sequence[Item]) -> Sequence[Any]:
    print("a print", items[0].id)  # noqa: T201
    os.write(1, b"C code\n")
    await asyncio.to_thread(subprocess.run, ["echo", "a child"], check=True)
    answers = await asyncio.gather(*map(one, items))
    del items[:]  # type: ignore[attr-defined]
    return answers


async def one(item: Item) -> dict[str, Any]:
    await asyncio.sleep(0)
    match item.text:
        case "exit":
            sys.exit(0)
        case "generator exit":
            raise GeneratorExit
        case "memory":
            raise MemoryError
        case "base":
            raise BaseException
        case "cancel" if task := asyncio.current_task():
            task.cancel()
            await asyncio.sleep(0)
        case "retry" if item.offset not in retried:
            retried.add(item.offset)
            raise ExceptionGroup("later", [Retry(0.01)])
        case "interrupt":
            raise KeyboardInterrupt
    return {"n": item.id}
