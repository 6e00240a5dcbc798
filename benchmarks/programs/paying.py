"""A worker whose calls are written down before and after: `BENCH_CALLS` names a file that gets a
line `begun PARTITION/OFFSET ...` or `answered PARTITION/OFFSET ...` for each, at once.

A call takes `BENCH_LATENCY_S` seconds, more or less by half; one in twenty takes ten times that.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

from streams.app import App
from streams.model import Item
from streams.process import run_app

SLOW_ONE_IN = 20


def main() -> int:
    app = App.from_config()
    latency_s = float(os.environ["BENCH_LATENCY_S"])
    calls = os.open(os.environ["BENCH_CALLS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(what: str, items: Sequence[Item]) -> None:
        places = " ".join(f"{item.partition}/{item.offset}" for item in items)
        os.write(calls, f"{what} {places}\n".encode())

    @app.microbatch(name="function")
    async def function(items: Sequence[Item]) -> Sequence[dict[str, Any]]:
        say("begun", items)
        chance = items[0].offset * 2_654_435_761 % 2**32 / 2**32
        slow = chance < 1 / SLOW_ONE_IN
        await asyncio.sleep(latency_s * (10 if slow else 0.5 + chance))
        say("answered", items)
        return [{"label": "positive"} for _ in items]

    return run_app(app, as_json=True)


if __name__ == "__main__":
    sys.exit(main())
