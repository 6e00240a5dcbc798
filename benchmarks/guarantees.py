"""What exactly once and the call ledger cost: the same work with each, and a start with 128
partitions.

    python -m benchmarks.guarantees [--broker HOST:PORT] [--items N] [--runs N] [--json]

12 partitions, 200-byte items, a function that answers at once, microbatches of 100, 16 in flight;
transactions grouped to 500 ms. All take turns on the same items; a ratio is the median over the
runs. The sink's records are counted by its end offsets, which transactions' markers move too (less
than 1 %).
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import running, worker
from benchmarks.ground import Topics, arguments, broker, topics

PARTITIONS = 12
MANY = 128
PLAIN, EXACT, LEDGER = "at_least_once", "exactly_once", "with the ledger"
SETTINGS = {
    PLAIN: {"STREAMS_WORKER__GUARANTEE": "at_least_once"},
    EXACT: {"STREAMS_WORKER__GUARANTEE": "exactly_once"},
    LEDGER: {"STREAMS_WORKER__LEDGER": "true"},
}
READING = re.compile(r"reading .* \((?P<s>[0-9.]+) s after the assignment\)")


class Figure(NamedTuple):
    items_per_s: float
    cpu_us_per_item: float
    peak_mb: float


class Start(NamedTuple):
    """`assigned_s`: from the assignment until every partition is read. `peak_mb`: while each has
    given some items."""

    assigned_s: float
    peak_mb: float


def settings(kind: str) -> dict[str, str]:
    return {**SETTINGS[kind], "STREAMS_WORKER__COMMIT_INTERVAL_MS": "500"}


async def one(kind: str, made: Topics, source: str, items: int, directory: Path) -> Figure:
    """A worker, from a fresh group into a fresh sink."""
    sink = await made.make(PARTITIONS)
    environ = worker(directory, made.server, source, sink, max_items=100, max_in_flight=16)
    async with running(["worker"], made, sink, environ | settings(kind)) as contender:
        await contender.work(items, within_s=120.0)
    await made.delete(sink)
    return Figure(contender.items_per_s(), contender.cpu_us_per_item(), contender.peak_mb())


async def start(kind: str, made: Topics, directory: Path) -> Start:
    """A worker that gets 128 partitions at once."""
    source, sink = await made.make(MANY), await made.make(MANY)
    items = MANY * 100
    await made.fill(source, items)
    environ = worker(directory, made.server, source, sink, max_items=100, max_in_flight=16)
    async with running(["worker"], made, sink, environ | settings(kind)) as contender:
        await contender.work(items, within_s=60.0)
        found = READING.search(contender.said())
    assert found is not None, "the worker has not said when it began to read"
    return Start(float(found["s"]), contender.peak_mb())


async def measure(server: str, items: int = 300_000, runs: int = 3) -> Report:
    figures: dict[str, list[Figure]] = {name: [] for name in SETTINGS}
    starts: dict[str, Start] = {}
    async with topics(server) as made:
        source = await made.make(PARTITIONS)
        await made.fill(source, items)
        with tempfile.TemporaryDirectory() as directory:
            for run in range(runs):
                for name in SETTINGS:
                    figure = await one(name, made, source, items, Path(directory))
                    figures[name].append(figure)
                    say(
                        f"guarantees {run + 1}/{runs}  {name:16}{figure.items_per_s:10,.0f} items/s"
                    )
            for name in SETTINGS:
                starts[name] = await start(name, made, Path(directory))
                say(f"guarantees  {MANY} partitions  {name:16}{starts[name].assigned_s:6.2f} s")
    return report(figures, starts)


def report(figures: dict[str, list[Figure]], starts: dict[str, Start]) -> Report:
    def ratio(kind: str) -> float:
        turns = zip(figures[PLAIN], figures[kind], strict=True)
        return median(b.items_per_s / a.items_per_s for a, b in turns)

    begun = starts[EXACT]
    bars = [
        Bar("exactly_once / at_least_once, items per s", ratio(EXACT), "at least", 0.7),
        Bar(f"{MANY} partitions, from assignment to reading", begun.assigned_s, "at most", 5, "s"),
        Bar(f"{MANY} partitions, peak memory", begun.peak_mb, "at most", 300, "MB"),
    ]
    head = ("", "items/s", "ratio", "CPU us/item", "peak MB", f"{MANY} partitions, s", "MB")
    rows: list[tuple[str, ...]] = [head]
    for name, took in starts.items():
        rate, cpu, peak = (median(each) for each in zip(*figures[name], strict=True))
        work = f"{rate:,.0f}", f"{ratio(name):.2f}", f"{cpu:.1f}", f"{peak:.0f}"
        rows.append((name, *work, f"{took.assigned_s:.2f}", f"{took.peak_mb:.0f}"))
    facts = {
        "runs": {name: [each._asdict() for each in runs] for name, runs in figures.items()},
        "starts": {name: each._asdict() for name, each in starts.items()},
    }
    return Report("guarantees", bars, facts, list(rows))


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, given.items, given.runs))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
