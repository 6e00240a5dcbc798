"""What memory the worker takes over backlogs of several kinds.

    python -m benchmarks.memory [--broker HOST:PORT] [--items N] [--json]

A million items: 4 partitions, 200-byte items, microbatches of 100, 16 in flight, all settings at
their defaults. Once with a function that answers at once and works through them all, once with one
that takes 200 ms, so that the backlog stays, for half a minute. The peak of the resident memory,
looked at 20 times a second.

Backlogs that are large in other ways, in front of a function of half a second, microbatches of 20,
5 in flight, for eight seconds: the highest resident memory that Linux saw, above that of a worker
without items. At most `max_buffered_mb` and a fifth (contract G8).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import running, worker
from benchmarks.ground import Topics, arguments, broker, topics

PARTITIONS = 4
LATENCIES_S = (0.0, 0.2)
WAITING_S = 30.0


BUFFERED_MB = 64
FULL_S = 8.0
IDLE_S = 8.0


class Backlog(NamedTuple):
    """`records` of `size` bytes in each partition; `batch_bytes`: of a record batch before it is
    compressed."""

    partitions: int
    records: int
    size: int
    batch_bytes: int = 1_000_000
    codec: str | None = None


BACKLOGS = {
    "fifty partitions, 100 kB records": Backlog(50, 50, 100_000),
    "fifty partitions, 900 kB records": Backlog(50, 5, 900_000),
    "zstd, 20 MB a batch, 10 kB records": Backlog(12, 4000, 10_000, 20_000_000, "zstd"),
    "zstd, 20 MB a batch, 200-byte records": Backlog(12, 100_000, 200, 20_000_000, "zstd"),
    "lz4, 1 MB a batch, 200-byte records": Backlog(12, 20_000, 200, codec="lz4"),
    "200-byte records": Backlog(8, 50_000, 200),
}


async def _fill(made: Topics, source: str, backlog: Backlog) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=made.server,
        max_batch_size=backlog.batch_bytes,
        max_request_size=2 * backlog.batch_bytes,
        compression_type=backlog.codec,
    ) as producer:
        for partition in range(backlog.partitions):
            batch = producer.create_batch()
            for number in range(backlog.records):
                value = b'{"id": %d, "text": "%b"}' % (number, b"word " * (backlog.size // 5))
                while not batch.append(key=b"%d" % number, value=value, timestamp=None):
                    await (await producer.send_batch(batch, source, partition=partition))
                    batch = producer.create_batch()
            await (await producer.send_batch(batch, source, partition=partition))


async def _highest_mb(made: Topics, backlog: Backlog, *, idle: bool) -> float:
    source, sink = await made.make(backlog.partitions), await made.make(backlog.partitions)
    with tempfile.TemporaryDirectory() as directory:
        environ = worker(
            Path(directory), made.server, source, sink, latency_s=0.5, max_items=20, max_in_flight=5
        )
        if not idle:
            await _fill(made, source, backlog)
        async with running(["worker"], made, sink, environ) as contender:
            if not idle:
                await contender.work(backlog.partitions * backlog.records, within_s=FULL_S)
            else:
                await asyncio.sleep(IDLE_S)
            highest_mb = resident_at_most_mb(contender.pid)
    for topic in (source, sink):
        await made.delete(topic)
    return highest_mb


def resident_at_most_mb(pid: int) -> float:
    """As Linux knows it, also of moments that nobody looked at. (`ru_maxrss` knows less: a new
    process begins with its parent's.)"""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (highest,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(highest) * 1024 / 1e6


async def measure_backlogs(server: str) -> Report:
    bars, figures = [], {}
    rows: list[tuple[str, str]] = [("above a worker without items", "MB")]
    async with topics(server) as made:
        idle_mb = await _highest_mb(made, BACKLOGS["200-byte records"], idle=True)
        for name, backlog in BACKLOGS.items():
            above_mb = await _highest_mb(made, backlog, idle=False) - idle_mb
            say(f"memory  {name:40}{above_mb:6.0f} MB above {idle_mb:.0f}")
            rows.append((name, f"{above_mb:.0f}"))
            figures[name] = above_mb
            bars.append(Bar(f"above idle, {name}", above_mb, "at most", 1.2 * BUFFERED_MB, "MB"))
    return Report("backlogs", bars, figures, rows)  # type: ignore[arg-type]


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
        reports = [
            asyncio.run(measure(server, given.items)),
            asyncio.run(measure_backlogs(server)),
        ]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
