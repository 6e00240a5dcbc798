"""`streams replay --mode batch` over a long range: its memory, its loop, how fast it plans.

    python -m benchmarks.replay_size [--items N] [--broker HOST:PORT] [--json]

A million items with short texts in 4 partitions, 20 to a request, batches that end at once. The
process is `streams replay` under `benchmarks.programs.watched`; the simulator has a process of its
own. How long the loop is blocked is the longest callback's CPU time, and the rate of planning (from
the records to the requests of a chunk) is by the CPU time of the process: a machine that is busy
with other things changes neither.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.batch_api import MAX_LAG_MS, simulator
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.replays import place, started

ITEMS = 1_000_000
PARTITIONS = 4
MAX_ITEMS = 20
MAX_MB = 300.0
MIN_PLANNED_PER_S = 50_000.0
WITHIN_S = 3_600.0


async def watched(made: Topics, directory: Path, items: int) -> dict[str, Any]:
    """The run's summary, and what was seen in its process."""
    with simulator("--latency-ms", "0", "--batch-ms", "0") as (url, _):
        where = await place(made, directory, url, items, PARTITIONS, max_items=MAX_ITEMS)
        say(f"size  {items:,} items are there")
        seen = directory / "watched.json"
        process = await started(
            where, "--from", "earliest", "--mode", "batch",
            module="benchmarks.programs.watched", BENCH_WATCHED=str(seen),
        )  # fmt: skip
        summary = await process.ended(WITHIN_S)
    return {**json.loads(seen.read_text()), "summary": summary}


async def measure(server: str, items: int = ITEMS) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        async with topics(server) as made:
            found = await watched(made, Path(directory), items)
    summary, planned_per_s = found["summary"], found["planned_items"] / found["planning_cpu_s"]
    say(f"size  blocked longest by {found['blocked_by'][:3]}")
    bars = [
        Bar("replay: results", summary["results"], "at least", items),
        Bar("replay: memory", found["peak_mb"], "at most", MAX_MB, "MB"),
        Bar("replay: loop blocked", found["lag_cpu_ms"], "at most", MAX_LAG_MS, "ms"),
        Bar("replay: planned a second", planned_per_s, "at least", MIN_PLANNED_PER_S),
    ]
    rows = [
        ("", "items", "memory", "blocked, CPU", "by the clock", "planned/s", "CPU an item"),
        (
            "batch mode", f"{items:,}", f"{found['peak_mb']:.0f} MB",
            f"{found['lag_cpu_ms']:.0f} ms", f"{found['lag_wall_ms']:.0f} ms",
            f"{planned_per_s:,.0f}", f"{found['cpu_s'] / items * 1e6:.0f} us",
        ),
    ]  # fmt: skip
    return Report("a long replay in batches", bars, found, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        report = asyncio.run(measure(server, given.items))
    return conclude([report], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
