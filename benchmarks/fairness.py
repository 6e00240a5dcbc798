"""A partition with a backlog beside one with a trickle, in one worker.

    python -m benchmarks.fairness [--broker HOST:PORT] [--seconds N] [--json]

100,000 items wait in one partition; the other gets 5 items a second. A function that sleeps for
L = 200 ms, N = 20, C = 5, T = 50 ms. For each item of the trickle: when its result was appended to
the sink (the broker's clock, `LogAppendTime`), minus the item's own timestamp.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.contender import running, worker
from benchmarks.ground import Topics, arguments, broker, item, topics
from benchmarks.waiting import at_share

BACKLOG, TRICKLE = 0, 1
RATE_PER_S = 5
LATENCY_S, WINDOW_S = 0.2, 0.05
STARTED = 1_000
"""Results of the backlog after which the trickle begins."""

WARM_UP = 10
"""First items of the trickle, which are not in the figures."""


async def trickle(made: Topics, source: str, seconds: float) -> int:
    """How many items were published, evenly."""
    async with AIOKafkaProducer(bootstrap_servers=made.server) as producer:
        began, count = time.monotonic(), int(seconds * RATE_PER_S)
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / RATE_PER_S - time.monotonic()))
            await producer.send_and_wait(source, item(number), partition=TRICKLE)
    return count


async def took_ms(made: Topics, sink: str, count: int) -> tuple[list[float], int]:
    """What each item of the trickle took, in order, and how many results of the backlog there
    are."""
    places = [TopicPartition(sink, BACKLOG), TopicPartition(sink, TRICKLE)]
    took: list[float] = []
    async with AIOKafkaConsumer(bootstrap_servers=made.server) as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning(places[TRICKLE])
        while len(took) < count:
            fetched = await consumer.getmany(places[TRICKLE], timeout_ms=1000)
            for record in fetched.get(places[TRICKLE], []):
                source = orjson.loads(record.value)["source"]
                took.append(record.timestamp - source["timestamp_ms"])
        ends = await consumer.end_offsets(places)
    return took, ends[places[BACKLOG]]


async def measure(server: str, items: int = 100_000, seconds: float = 60.0) -> Report:
    async with topics(server) as made:
        source = await made.make(2)
        sink = await made.make(2, message_timestamp_type="LogAppendTime")
        await made.fill(source, items, only=BACKLOG)
        with tempfile.TemporaryDirectory() as directory:
            environ = worker(
                Path(directory), server, source, sink,
                latency_s=LATENCY_S, max_items=20, max_in_flight=5, max_wait_ms=50,
            )  # fmt: skip
            async with running(["worker"], made, sink, environ) as contender:
                await contender.work(STARTED, within_s=60.0)
                count = await trickle(made, source, seconds)
                took, done = await took_ms(made, sink, count)
    if done >= items:
        raise RuntimeError(f"the backlog of {items} was over before the trickle")
    took = sorted(took[WARM_UP:])
    p50, p99 = at_share(took, 0.5), at_share(took, 0.99)
    say(f"fairness  p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(took)} beside {done:,} others")
    bound = 2 * (WINDOW_S + LATENCY_S) * 1000
    bars = [Bar("5 items/s beside a backlog, p99", p99, "at most", bound, "ms")]
    rows = [
        ("", "p50 ms", "p99 ms", "most ms", "items"),
        ("trickle", f"{p50:.0f}", f"{p99:.0f}", f"{took[-1]:.0f}", f"{len(took)}"),
    ]
    figures = {"p50_ms": p50, "p99_ms": p99, "most_ms": took[-1], "backlog_done": done}
    return Report("fairness", bars, figures, rows)  # type: ignore[arg-type]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        reports = [asyncio.run(measure(server, seconds=given.seconds))]
    return conclude(reports, name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
