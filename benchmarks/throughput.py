"""The worker at full speed beside a bare echo and a Faust agent.

    python -m benchmarks.throughput [--broker HOST:PORT] [--items N] [--runs N] [--json]

8 partitions, 200-byte items, a function that answers at once, microbatches of 100, 16 in flight.
The programs take turns on the same items; the figures are medians over the runs, the ratios medians
over the ratios within each run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import bare, running, worker
from benchmarks.ground import ITEM_BYTES, Topics, arguments, broker, topics

PARTITIONS = 8
AGENT_S = 10.0
"""The Faust agent is watched for ten seconds: all items would take it minutes."""

WORKER, RESULT, ECHO, BATCHES, AGENT = (
    "worker",
    "worker, bare results",
    "echo, send per item",
    "echo, send_batch",
    "Faust agent, take(100)",
)


class Figure(NamedTuple):
    items_per_s: float
    cpu_us_per_item: float
    peak_mb: float


async def one(name: str, made: Topics, source: str, items: int, directory: Path) -> Figure:
    """One program, from a fresh group into a fresh sink."""
    sink = await made.make(PARTITIONS)
    program, environ = ["worker"], bare(made.server, source, sink)
    if name in (WORKER, RESULT):
        environ = worker(directory, made.server, source, sink, max_items=100, max_in_flight=16)
        if name == RESULT:
            environ["STREAMS_TASK__FUNCTION__OUTPUT__MODE"] = "result"
    elif name == AGENT:
        program = ["faust_take", "worker", "--without-web"]
    else:
        program = ["echo"] if name == ECHO else ["echo", "--batches"]
    async with running(program, made, sink, environ) as contender:
        await contender.work(items, within_s=AGENT_S if name == AGENT else 120.0)
    await made.delete(sink)
    return Figure(contender.items_per_s(), contender.cpu_us_per_item(), contender.peak_mb())


async def measure(server: str, items: int = 200_000, runs: int = 3) -> Report:
    names = [WORKER, ECHO, RESULT, BATCHES, AGENT]
    figures: dict[str, list[Figure]] = {name: [] for name in names}
    async with topics(server) as made:
        source = await made.make(PARTITIONS)
        await made.fill(source, items)
        with tempfile.TemporaryDirectory() as directory:
            for run in range(runs):
                for name in names:
                    figure = await one(name, made, source, items, Path(directory))
                    figures[name].append(figure)
                    say(
                        f"throughput {run + 1}/{runs}  {name:24}{figure.items_per_s:10,.0f} items/s"
                        f"{figure.cpu_us_per_item:8.1f} us CPU"
                    )
    return report(figures, items)


def report(figures: dict[str, list[Figure]], items: int) -> Report:
    def ratio(name: str, other: str, field: str) -> float:
        pairs = zip(figures[name], figures[other], strict=True)
        return median(getattr(one, field) / getattr(two, field) for one, two in pairs)

    medians = {
        name: Figure(*(median(each) for each in zip(*runs, strict=True)))
        for name, runs in figures.items()
    }
    bars = [
        Bar("worker / echo, items per s", ratio(WORKER, ECHO, "items_per_s"), "at least", 0.6),
        Bar("worker / echo, CPU per item", ratio(WORKER, ECHO, "cpu_us_per_item"), "at most", 2.0),
        Bar(
            "worker / Faust agent, items per s", ratio(WORKER, AGENT, "items_per_s"), "at least", 7
        ),
    ]
    rows = [("", "items/s", "CPU us/item", "peak MB")] + [
        (name, f"{each.items_per_s:,.0f}", f"{each.cpu_us_per_item:.1f}", f"{each.peak_mb:.0f}")
        for name, each in medians.items()
    ]
    runs = {name: [each._asdict() for each in each_run] for name, each_run in figures.items()}
    facts = {"items": items, "item_bytes": ITEM_BYTES, "runs": runs}
    return Report("throughput", bars, facts, rows)  # type: ignore[arg-type]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, given.items, given.runs))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
