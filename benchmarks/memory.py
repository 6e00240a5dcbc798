"""What memory the worker takes with a million items in the backlog.

    python -m benchmarks.memory [--broker HOST:PORT] [--items N] [--json]

4 partitions, 200-byte items, microbatches of 100, 16 in flight, all settings at their defaults.
Once with a function that answers at once and works through them all, once with one that takes
200 ms, so that the backlog stays, for half a minute. The peak of the resident memory, looked at 20
times a second.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import running, worker
from benchmarks.ground import arguments, broker, topics

PARTITIONS = 4
LATENCIES_S = (0.0, 0.2)
WAITING_S = 30.0


async def measure(server: str, items: int = 1_000_000) -> Report:
    bars, figures = [], {}
    rows = [("", "items done", "items/s", "peak MB")]
    async with topics(server) as made:
        source = await made.make(PARTITIONS)
        await made.fill(source, items)
        for latency_s in LATENCIES_S:
            sink = await made.make(PARTITIONS)
            with tempfile.TemporaryDirectory() as directory:
                environ = worker(
                    Path(directory),
                    server,
                    source,
                    sink,
                    latency_s=latency_s,
                    max_items=100,
                    max_in_flight=16,
                )
                async with running(["worker"], made, sink, environ) as contender:
                    await contender.work(items, within_s=WAITING_S if latency_s else 300.0)
            await made.delete(sink)
            name = f"function of {latency_s * 1000:.0f} ms"
            done, rate, peak = (
                contender.looks[-1].done,
                contender.items_per_s(),
                contender.peak_mb(),
            )
            say(f"memory  {name:24}{done:10,} items  {rate:10,.0f} items/s  peak {peak:.0f} MB")
            rows.append((name, f"{done:,}", f"{rate:,.0f}", f"{peak:.0f}"))
            figures[name] = {"done": done, "items_per_s": rate, "peak_mb": peak}
            bars.append(Bar(f"resident, {items:,} items, {name}", peak, "at most", 200, "MB"))
    return Report("memory", bars, figures, rows)  # type: ignore[arg-type]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, given.items))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
