"""The worker with a real wait in every call: how much of N x C / L it reaches, and what it adds.

    python -m benchmarks.waiting [--broker HOST:PORT] [--json]

Rate: a backlog, a function that sleeps for L (and once the API simulator behind the real SDK, with
that latency), microbatches of N, C in flight; items per second between a tenth and nine tenths of
the items, as the sink acknowledged them, over N x C / L.

Latency: 50 items a second, evenly, T = 50 ms, L = 200 ms; for each item its acknowledgement minus
its arrival minus L. The times are taken inside the worker (`Deliveries` in its program).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import running, worker
from benchmarks.ground import Topics, arguments, broker, item, topics

PARTITIONS = 8
RATE_PER_S = 50
WARM_UP = 40
"""Items that come before the others and are not in the latencies: they meet a worker that starts,
and connections not yet made."""


class Case(NamedTuple):
    """`latency_s`: L, of a call. `with_api`: through the SDK to the simulator."""

    name: str
    latency_s: float
    max_items: int
    max_in_flight: int
    items: int
    with_api: bool = False

    @property
    def most_per_s(self) -> float:
        return self.max_items * self.max_in_flight / self.latency_s


CASES = [
    Case("function, L=200 ms N=20 C=5", 0.2, 20, 5, 6_000),
    Case("function, L=100 ms N=96 C=10", 0.1, 96, 10, 96_000),
    Case("SDK and simulator, L=200 ms N=20 C=5", 0.2, 20, 5, 6_000, with_api=True),
]


@contextlib.contextmanager
def simulator(latency_s: float) -> Iterator[str]:
    """The API simulator as a process of its own; its base URL."""
    command = [sys.executable, "-m", "streams.simulator", "--latency-ms", str(latency_s * 1000)]
    process = subprocess.Popen([*command, "--answers", "hash"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["anthropic_base_url"]
    finally:
        process.terminate()
        process.wait(10)


def task_of(case: Case, base_url: str | None) -> dict[str, Any]:
    task: dict[str, Any] = {
        "latency_s": case.latency_s,
        "max_items": case.max_items,
        "max_in_flight": case.max_in_flight,
        "max_wait_ms": 50,
    }
    if base_url is not None:
        labels = ["positive", "negative", "neutral"]
        task |= {"operation": "classify", "labels": labels, "base_url": base_url}
    return task


async def deliveries(
    made: Topics, case: Case, directory: Path, *, rate_per_s: float | None = None
) -> dict[str, Any]:
    """Run a worker over the case's items, all there from the beginning, or but for the first
    `WARM_UP` published at that rate; what it saw."""
    source, sink = await made.make(PARTITIONS), await made.make(PARTITIONS)
    await made.fill(source, case.items if rate_per_s is None else WARM_UP)
    path = directory / "deliveries.json"
    with simulator(case.latency_s) if case.with_api else contextlib.nullcontext() as base_url:
        environ = worker(directory, made.server, source, sink, **task_of(case, base_url))
        environ["BENCH_DELIVERIES"] = str(path)
        async with running(["worker"], made, sink, environ) as contender:
            if rate_per_s is not None:
                await contender.work(WARM_UP, within_s=120.0)
                await publish(made, source, range(WARM_UP, case.items), rate_per_s)
            await contender.work(case.items, within_s=120.0)
    seen: dict[str, Any] = json.loads(path.read_text())
    for name in (source, sink):
        await made.delete(name)
    if len(seen["took_s"]) != case.items:
        raise RuntimeError(f"{len(seen['took_s'])} of {case.items} items were delivered")
    return seen


async def publish(made: Topics, source: str, numbers: range, rate_per_s: float) -> None:
    """One item at a time, evenly, to the partitions in turn."""
    async with AIOKafkaProducer(bootstrap_servers=made.server) as producer:
        began = time.monotonic()
        for place, number in enumerate(numbers):
            await asyncio.sleep(max(0.0, began + place / rate_per_s - time.monotonic()))
            await producer.send(source, item(number), b"%08d" % number, number % PARTITIONS)


def steady_per_s(at: list[list[float]], items: int) -> float:
    """Items per second between a tenth and nine tenths of the items."""
    done, first, last = 0, None, None
    for now, count in at:
        done += count
        if first is None and done >= items * 0.1:
            first = (now, done)
        if done <= items * 0.9 or last is None:
            last = (now, done)
    assert first is not None
    assert last is not None
    return (last[1] - first[1]) / (last[0] - first[0])


async def measure(server: str, cases: list[Case] = CASES, seconds: float = 20.0) -> Report:
    """`seconds`: how long items are published for the latencies."""
    bars, rows, figures = [], [("", "items/s", "N x C / L", "share")], {}
    async with topics(server) as made:
        with tempfile.TemporaryDirectory() as directory:
            for case in cases:
                seen = await deliveries(made, case, Path(directory))
                rate = steady_per_s(seen["at"], case.items)
                share = rate / case.most_per_s
                say(f"waiting  {case.name:38}{rate:10,.0f} items/s  {share:.1%} of N x C / L")
                bars.append(Bar(f"{case.name}: share of N x C / L", share, "at least", 0.95))
                rows.append((case.name, f"{rate:,.0f}", f"{case.most_per_s:,.0f}", f"{share:.1%}"))
                figures[case.name] = {"items_per_s": rate, "share": share, **seen["summary"]}
            added = await added_ms(made, Path(directory), seconds)
    p50, p99 = at_share(added, 0.5), at_share(added, 0.99)
    say(f"waiting  added latency: p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {added[-1]:.1f} ms")
    rows.append(("", "p50 ms", "p99 ms", "most ms"))
    rows.append(
        (f"added at {RATE_PER_S} items/s, T=50 ms", f"{p50:.1f}", f"{p99:.1f}", f"{added[-1]:.1f}")
    )
    figures["added_ms"] = {"p50": p50, "p99": p99, "most": added[-1], "items": len(added)}
    bars.append(Bar("added latency, p50", p50, "at most", 60, "ms"))
    bars.append(Bar("added latency, p99", p99, "at most", 90, "ms"))
    return Report("waiting", bars, figures, rows)  # type: ignore[arg-type]


async def added_ms(made: Topics, directory: Path, seconds: float) -> list[float]:
    """What the worker added to each item's L, sorted."""
    case = Case("latency", 0.2, 20, 5, int(RATE_PER_S * seconds) + WARM_UP)
    seen = await deliveries(made, case, directory, rate_per_s=RATE_PER_S)
    return sorted((took - case.latency_s) * 1000 for took in seen["took_s"][WARM_UP:])


def at_share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> int:
    given = arguments(__doc__).parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
