"""A worker as `streams worker --app` runs it: the tasks of `STREAMS_CONFIG`, and for a custom task
named `function` one that waits `BENCH_LATENCY_S` seconds and answers each item with a label.

`BENCH_DELIVERIES`: a file that gets, at the end, what `Deliveries` saw; without it nothing is
hooked in, and the worker is just as users run it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.app import App
from streams.model import Item
from streams.process import run_app
from streams.worker.task import TaskShell


class Deliveries:
    """Looks on where the sink reports outcomes as durable: when, and how long after each arrival.

    An item's arrival is the moment at which the worker's loop took its record list over from the
    consumer (`Slot.arrived_at`); both times are the loop's monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self.at: list[tuple[float, int]] = []
        self.took_s: list[float] = []

    def watch(self) -> None:
        delivered = TaskShell.delivered

        def seen(shell: TaskShell, lane: Any, slots: Sequence[Any]) -> None:
            now = asyncio.get_running_loop().time()
            self.at.append((now, len(slots)))
            self.took_s += [now - slot.arrived_at for slot in slots]
            delivered(shell, lane, slots)

        TaskShell.delivered = seen  # type: ignore[method-assign]

    def write(self, path: Path, summary: dict[str, Any]) -> None:
        path.write_text(json.dumps({"at": self.at, "took_s": self.took_s, "summary": summary}))


def main() -> int:
    app = App.from_config()
    if any(task.operation == "custom" for task in app.streams_settings.tasks):
        latency_s = float(os.environ["BENCH_LATENCY_S"])

        @app.microbatch(name="function")
        async def function(items: Sequence[Item]) -> Sequence[dict[str, str]]:
            if latency_s:
                await asyncio.sleep(latency_s)
            return [{"label": "positive"} for _ in items]

    deliveries = Deliveries()
    path = os.environ.get("BENCH_DELIVERIES")
    if path:
        deliveries.watch()
    code = run_app(app, as_json=True)
    if path:
        deliveries.write(Path(path), app.record_host.summary())
    return code


if __name__ == "__main__":
    sys.exit(main())
