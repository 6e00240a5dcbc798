"""Workers under load for an hour: their memory and open files, and whether these grow.

    python -m benchmarks.soak [--broker HOST:PORT] [--minutes N] [--plot FILE] [--json]

Two loads at the same time, each with a group of its own on 8 partitions:

- 200 items/s through the Anthropic SDK to the simulator (L = 200 ms, N = 20, C = 5), which answers
  some calls with 429, 529, a reset connection, too few or too many records; the call ledger is on.
- 1,000 items/s through a function of 200 ms, exactly once, order by key (N = 100, C = 16).

Each group has a worker that stays, and every five minutes another one for a minute, so partitions
go and come back. Every five seconds the staying one is asked for its `/metrics`, as Prometheus
would, and the system for its resident memory and open files. What they grow by in an hour is the
slope of a straight line through all looks after the first sixth of the time (least squares).
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil

from benchmarks import chart
from benchmarks.bars import Bar, Report, conclude
from benchmarks.contender import worker
from benchmarks.feed import Feed
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.group import Group, Looking, group
from benchmarks.progress import progress
from streams.kafka.broker.child import free_port
from tests.chaos.simulator import SimulatorProcess, simulator_process

PARTITIONS = 8
LOOK_S = 5.0
VISIT_EVERY_S, VISIT_S = 300.0, 60.0
WARM_UP = 1 / 6
DONE_WITHIN_S = 120.0
RETENTION = {"retention_bytes": "50000000", "segment_bytes": "10000000"}
"""Of a partition: an hour's items need not all stay on the disk."""

GROWTH_MB, GROWTH_FILES = 2.0, 1.0
"""What memory and open files may grow by in an hour and still be flat."""

FAULTS = [
    {"fault": "rate_limited", "probability": 0.01, "retry_after_ms": 500},
    {"fault": "overloaded", "probability": 0.01},
    {"fault": "reset", "probability": 0.005},
    {"fault": "truncated_body", "probability": 0.005},
    {"fault": "missing", "probability": 0.02, "count": 2},
    {"fault": "duplicate", "probability": 0.02},
    {"fault": "max_tokens", "probability": 0.01},
    {"fault": "delay", "probability": 0.02, "delay_ms": 900},
]


class Load(NamedTuple):
    """`worker`: the variables of `[worker]`, beside its id. `task`: see `contender.worker`."""

    name: str
    items_per_s: int
    worker: dict[str, str]
    task: dict[str, Any]


class Look(NamedTuple):
    """`at_s`: since the beginning. `waiting`: items offered and not committed."""

    at_s: float
    resident_mb: float
    files: int
    threads: int
    waiting: int


def loads(api: SimulatorProcess) -> list[Load]:
    labels = ["positive", "negative", "neutral"]
    with_api = {"operation": "classify", "labels": labels, "base_url": api.url}
    return [
        Load(
            "Anthropic SDK, at least once, ledger", 200,
            {"STREAMS_WORKER__LEDGER": "true"},
            {"max_items": 20, "max_in_flight": 5, "max_wait_ms": 50, **with_api},
        ),
        Load(
            "function, exactly once, order by key", 1_000,
            {"STREAMS_WORKER__GUARANTEE": "exactly_once"},
            {"latency_s": 0.2, "max_items": 100, "max_in_flight": 16, "order": "key"},
        ),
    ]  # fmt: skip


class Subject:
    """A load at work. `looks`: at the worker that stays."""

    def __init__(self, load: Load, feed: Feed, workers: Group, seen: Looking, web: str) -> None:
        self.load = load
        self.looks: list[Look] = []
        self._feed = feed
        self._workers = workers
        self._seen = seen
        self._web = web
        self._system = psutil.Process(workers.running[0].pid)

    async def work(self, seconds: float) -> None:
        """Raises RuntimeError if a worker ends."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed.steadily(self.load.items_per_s, seconds))
            tasks.create_task(self._look_on(seconds))
            tasks.create_task(self._visits(seconds))

    async def done(self) -> int:
        """Wait until all is committed; how many items are not within `DONE_WITHIN_S`."""
        deadline = time.monotonic() + DONE_WITHIN_S
        while (waiting := await self._waiting()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return waiting

    async def _look_on(self, seconds: float) -> None:
        began = time.monotonic()
        async with aiohttp.ClientSession(f"http://{self._web}") as web:
            for number in range(int(seconds / LOOK_S)):
                await asyncio.sleep(max(0.0, began + number * LOOK_S - time.monotonic()))
                async with web.get("/metrics") as reply:
                    reply.raise_for_status()
                    await reply.read()
                self.looks.append(await self._look(time.monotonic() - began))

    async def _look(self, at_s: float) -> Look:
        if (code := self._workers.running[0].returncode) is not None:
            raise RuntimeError(f"{self.load.name}: the worker ended with {code}")
        resident_mb = self._system.memory_info().rss / 1e6
        files, threads = self._system.num_fds(), self._system.num_threads()
        return Look(at_s, resident_mb, files, threads, await self._waiting())

    async def _waiting(self) -> int:
        return await self._seen.offered() - await self._seen.committed()

    async def _visits(self, seconds: float) -> None:
        for _ in range(int(seconds / VISIT_EVERY_S)):
            await asyncio.sleep(VISIT_EVERY_S - VISIT_S)
            await self._workers.start(STREAMS_WORKER__WEB="")
            await asyncio.sleep(VISIT_S)
            await self._workers.leave()


@contextlib.asynccontextmanager
async def subject(made: Topics, load: Load) -> AsyncIterator[Subject]:
    source = await made.make(PARTITIONS, **RETENTION)
    sink = await made.make(PARTITIONS, **RETENTION)
    web = f"127.0.0.1:{free_port()}"
    group_id = f"bench-soak-{sink}"
    with tempfile.TemporaryDirectory() as directory:
        environ = worker(Path(directory), made.server, source, sink, **load.task)
        environ |= {"STREAMS_WORKER__ID": group_id, "STREAMS_WORKER__WEB": web, **load.worker}
        async with (
            Feed(made.server, source, PARTITIONS) as feed,
            group(environ, 1) as workers,
            Looking(made.server, group_id, source, sink, PARTITIONS) as seen,
        ):
            await feed.write(load.items_per_s)
            # Until it is at work, and its web page is there.
            while not await seen.committed():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S / 10)
            yield Subject(load, feed, workers, seen, web)


def growth_per_hour(looks: list[Look], of: str) -> float:
    """The slope of the straight line through all looks after the first sixth of the time."""
    looks = looks[int(len(looks) * WARM_UP) :]
    values = [float(getattr(look, of)) for look in looks]
    return statistics.linear_regression([look.at_s for look in looks], values).slope * 3600


async def measure(server: str, minutes: float = 60.0, plot: Path | None = None) -> Report:
    seconds = minutes * 60
    with simulator_process(latency_ms=200.0) as api:
        api.begin(FAULTS)
        async with topics(server) as made, contextlib.AsyncExitStack() as stack:
            subjects = [await stack.enter_async_context(subject(made, each)) for each in loads(api)]
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(progress("soak", seconds, lambda: _told(subjects)))
                for each in subjects:
                    tasks.create_task(each.work(seconds))
            left = [await each.done() for each in subjects]
    if plot is not None:
        chart.draw(plot, {each.load.name: each.looks for each in subjects}, seconds * WARM_UP)
    return report(subjects, left, minutes)


def _told(subjects: list[Subject]) -> str:
    last = [each.looks[-1] for each in subjects if each.looks]
    return ", ".join(f"{look.resident_mb:.0f} MB {look.files} files" for look in last)


def report(subjects: list[Subject], left: list[int], minutes: float) -> Report:
    bars, figures = [], {}
    rows: list[Any] = [("", "items", "MB", "MB/h", "files", "files/h", "most waiting", "left")]
    for each, not_done in zip(subjects, left, strict=True):
        name, looks = each.load.name, each.looks
        memory, files = growth_per_hour(looks, "resident_mb"), growth_per_hour(looks, "files")
        bars += [
            Bar(f"{name}: memory grows in an hour by", memory, "at most", GROWTH_MB, "MB"),
            Bar(f"{name}: open files, by", files, "at most", GROWTH_FILES),
            Bar(f"{name}: items not done", not_done, "at most", 0),
        ]
        items, waiting = int(each.load.items_per_s * minutes * 60), max(x.waiting for x in looks)
        rows.append((
            name, f"{items:,}", f"{looks[-1].resident_mb:.1f}", f"{memory:+.2f}",
            f"{looks[-1].files}", f"{files:+.2f}", f"{waiting:,}", f"{not_done}",
        ))  # fmt: skip
        figures[name] = {
            "memory_mb_per_hour": memory,
            "files_per_hour": files,
            "looks": [look._asdict() for look in looks],
        }
    return Report("soak", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it: .svg, .png or .pdf")
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, given.minutes, given.plot))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
