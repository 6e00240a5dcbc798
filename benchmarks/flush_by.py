"""Items that say when their result is to be back: how many are in time, and how full calls stay.

    python -m benchmarks.flush_by [--broker HOST:PORT] [--seconds N] [--json]

A worker at half of its load: calls of 100 ms and at most 20 items, so many in flight, and a window
that would wait for a second. Items come at random moments, first without a `flush_by`, then each
with one 300 ms ahead. In time is what was appended to the sink (the broker's clock) no later than
300 ms after the item's own timestamp.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.batch_api import simulator
from benchmarks.contender import running, worker
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.map_kills import LABELS
from benchmarks.replays import FETCH_BYTES, MODEL, text_of
from benchmarks.waiting import at_share

LATENCY_MS = 100.0
AHEAD_MS = 300
MAX_ITEMS, MAX_WAIT_MS = 20, 1000
PARTITIONS = 2
SECONDS = 60.0
WARM_UP_S = 5.0
"""Of each run, not in the figures: the worker joins its group, and learns what a call takes."""

LOAD = 0.5
MIN_IN_TIME, MIN_FULLNESS = 0.995, 0.5


class Run(NamedTuple):
    """`took_ms`: of each item, in order. `mean_items`: of the calls."""

    took_ms: list[float]
    mean_items: float

    @property
    def in_time(self) -> float:
        return sum(each <= AHEAD_MS for each in self.took_ms) / len(self.took_ms)


async def publish(server: str, source: str, rate_per_s: float, seconds: float) -> int:
    """Items at random moments, with a deadline each; how many."""
    drawn = random.Random(7)
    async with AIOKafkaProducer(bootstrap_servers=server) as producer:
        began, due_s, number = time.monotonic(), 0.0, 0
        while due_s < seconds:
            await asyncio.sleep(max(0.0, began + due_s - time.monotonic()))
            now_ms = int(time.time() * 1000)
            value = {"id": number, "text": text_of(number), "deadline": now_ms + AHEAD_MS}
            await producer.send(
                source, orjson.dumps(value), partition=number % PARTITIONS, timestamp_ms=now_ms
            )
            number += 1
            due_s += drawn.expovariate(rate_per_s)
        await producer.flush()
    return number


async def results(made: Topics, sink: str, count: int) -> list[tuple[float, float, str]]:
    """Of each result: its item's timestamp, how long it took, and the id of its call."""
    places = [TopicPartition(sink, number) for number in range(PARTITIONS)]
    found: list[tuple[float, float, str]] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=made.server,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    ) as consumer:
        consumer.assign(places)
        async with asyncio.timeout(30.0):
            while len(found) < count:
                fetched = await consumer.getmany(timeout_ms=1000)
                for record in (record for each in fetched.values() for record in each):
                    value = orjson.loads(record.value)
                    came = value["source"]["timestamp_ms"]
                    found.append((came, record.timestamp - came, value["batch"]["id"]))
    return found


async def one(server: str, url: str, max_in_flight: int, seconds: float, **batch: Any) -> Run:
    rate_per_s = LOAD * max_in_flight * MAX_ITEMS * 1000 / LATENCY_MS
    async with topics(server) as made:
        source = await made.make(PARTITIONS)
        sink = await made.make(PARTITIONS, message_timestamp_type="LogAppendTime")
        with tempfile.TemporaryDirectory() as directory:
            environ = worker(
                Path(directory), server, source, sink, base_url=url,
                operation="classify", provider="anthropic", model=MODEL, labels=list(LABELS),
                max_items=MAX_ITEMS, max_wait_ms=MAX_WAIT_MS, max_in_flight=max_in_flight, **batch,
            )  # fmt: skip
            async with running(["worker"], made, sink, environ) as contender:
                warm_up = await publish(server, source, rate_per_s, WARM_UP_S)
                await contender.work(warm_up, within_s=60.0)
                begins_ms = time.time() * 1000 + 1000 * WARM_UP_S
                count = await publish(server, source, rate_per_s, WARM_UP_S + seconds)
                await contender.work(warm_up + count, within_s=60.0)
                found = await results(made, sink, warm_up + count)
    counted = [(took, call) for came, took, call in found if came >= begins_ms]
    calls = {call for _, call in counted}
    return Run(sorted(took for took, _ in counted), len(counted) / len(calls))


async def measure(server: str, seconds: float = SECONDS) -> Report:
    bars: list[Bar] = []
    figures: dict[str, Any] = {}
    rows: list[Any] = [("", "in time", "p50 ms", "p99 ms", "most ms", "items/call", "items")]
    with simulator("--latency-ms", str(LATENCY_MS)) as (url, _):
        for max_in_flight in (1, 5):
            without = await one(server, url, max_in_flight, seconds)
            given = await one(server, url, max_in_flight, seconds, flush_by="/deadline")
            name = f"{max_in_flight} in flight"
            fullness = given.mean_items / without.mean_items
            bars.append(Bar(f"{name}: in time", given.in_time, "at least", MIN_IN_TIME))
            bars.append(Bar(f"{name}: fullness", fullness, "at least", MIN_FULLNESS))
            for how, run in (("without", without), ("with flush_by", given)):
                p50, p99 = at_share(run.took_ms, 0.5), at_share(run.took_ms, 0.99)
                rows.append(
                    (
                        f"{name}, {how}", f"{run.in_time:.4f}", f"{p50:.0f}", f"{p99:.0f}",
                        f"{run.took_ms[-1]:.0f}", f"{run.mean_items:.1f}", f"{len(run.took_ms)}",
                    )
                )  # fmt: skip
                say(f"flush_by  {', '.join(rows[-1])}")
            figures[name] = {
                "in_time": given.in_time,
                "in_time_without": without.in_time,
                "mean_items": given.mean_items,
                "mean_items_without": without.mean_items,
            }
    return Report("flush_by", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        report = asyncio.run(measure(server, given.seconds))
    return conclude([report], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
