"""The command `streams`, watched: how long its loop was blocked, how fast it plans batches.

`BENCH_WATCHED`: a file that gets what was seen, as JSON, when the process ends. The rest is the
command as users run it. The loop is watched from the moment in which it takes the claim of the run,
which it has to keep: before that it only imports and connects.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.loop_lag import Lag, longest_callback
from benchmarks.memory import resident_at_most_mb
from streams.batches.bench import Bench
from streams.cli.entry import run
from streams.jobs.replay.run_hold import RunHold


class Planning:
    """`items` that were drawn and packed into the requests of a chunk, in `cpu_s` of the process
    (the consumer's part included) and `wall_s` by the clock. `bodies_cpu_s`: for the JSON of the
    requests."""

    def __init__(self) -> None:
        self.items = 0
        self.cpu_s = self.wall_s = self.bodies_cpu_s = 0.0


@contextmanager
def planning() -> Iterator[Planning]:
    """Watches every chunk of this process."""
    seen = Planning()
    draw: Any = Bench.draw
    bodies: Any = Bench.bodies

    async def timed_draw(bench: Any, *arguments: Any) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        drawn = await draw(bench, *arguments)
        seen.cpu_s += time.process_time() - cpu
        seen.wall_s += time.perf_counter() - wall
        seen.items += drawn.chunk.items if drawn else 0
        return drawn

    async def timed_bodies(bench: Any) -> Any:
        cpu = time.process_time()
        made = await bodies(bench)
        seen.bodies_cpu_s += time.process_time() - cpu
        return made

    with patch.object(Bench, "draw", timed_draw), patch.object(Bench, "bodies", timed_bodies):
        yield seen


@contextmanager
def lag_of_the_run(lag: Lag) -> Iterator[None]:
    """Forgets what was before the claim."""
    take: Any = RunHold.take

    async def timed_take(hold: Any) -> Any:
        lag.forget()
        return await take(hold)

    with patch.object(RunHold, "take", timed_take):
        yield


def seen_by(lag: Lag, seen: Planning) -> dict[str, Any]:
    used = os.times()
    return {
        "lag_cpu_ms": lag.cpu_ms,
        "lag_wall_ms": lag.wall_ms,
        "blocked_by": lag.longest,
        "planned_items": seen.items,
        "planning_cpu_s": seen.cpu_s,
        "planning_wall_s": seen.wall_s,
        "bodies_cpu_s": seen.bodies_cpu_s,
        "peak_mb": resident_at_most_mb(os.getpid()),
        "cpu_s": used.user + used.system,
    }


if __name__ == "__main__":
    with longest_callback() as lag, lag_of_the_run(lag), planning() as seen:
        try:
            run()
        finally:
            Path(os.environ["BENCH_WATCHED"]).write_text(json.dumps(seen_by(lag, seen)))
