"""Live traffic beside a live replay of the same account: what its items wait for longer.

    python -m benchmarks.replay_beside_live [--seconds N] [--rounds N] [--broker HOST:PORT] [--json]

A worker gets 200 items a second (calls of 100 ms, 5 in flight, a window of 100 ms) while a long
history of the same topic is not done again, and while it is, in turns, so many rounds: a `streams
replay` without a share, into a topic of its own. For each live item: when its result was appended
to the sink (the broker's clock), minus the item's own timestamp. Once the API has no limit, and
once it takes 45 calls a second, of which the worker makes 20: both together would pass that.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.batch_api import simulator
from benchmarks.contender import running
from benchmarks.ground import Topics, arguments, broker, topics
from benchmarks.replays import (
    FETCH_BYTES,
    LOOK_S,
    START_WITHIN_S,
    Place,
    Replay,
    item,
    place,
    started,
    state_of,
)
from benchmarks.waiting import at_share

PARTITIONS = 2
RATE_PER_S = 200
STEP_S = 0.02
HISTORY = 60_000
LATENCY_MS = 100.0
CALLS: dict[str, Any] = {"max_items": 20, "max_in_flight": 5, "max_wait_ms": 100}
LIMIT_PER_S, BURST_S = 25, 5
SECONDS, ROUNDS = 20.0, 3
WARM_UP, SETTLE_S = 1_000, 30.0
"""Items that wait for the worker's start, and what comes while it catches up (its calls start
slowly, at a tenth of the limits), are in no figure."""

MAX_RATIO = 1.2

Spans = list[tuple[float, float]]
"""From when to when, in ms since the epoch."""


class Phases(NamedTuple):
    """When the worker was alone, and when a replay called."""

    alone: Spans
    beside: Spans


async def trickle(server: str, source: str) -> None:
    """Items at a steady rate, until cancelled."""
    async with AIOKafkaProducer(bootstrap_servers=server) as producer:
        began, number = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * RATE_PER_S)
            while number < due:
                await producer.send(source, item(number), partition=number % PARTITIONS)
                number += 1
            await asyncio.sleep(STEP_S)


async def pass_history(where: Place) -> None:
    """The group has done it: its worker begins behind."""
    places = [TopicPartition(where.source, n) for n in range(where.partitions)]
    async with AIOKafkaConsumer(
        bootstrap_servers=where.server, group_id=where.source, enable_auto_commit=False
    ) as consumer:
        consumer.assign(places)
        await consumer.commit(await consumer.end_offsets(places))


async def span(seconds: float) -> tuple[float, float]:
    began = time.time() * 1000
    await asyncio.sleep(seconds)
    return began, time.time() * 1000


async def written(made: Topics, topic: str, count: int, process: Replay | None = None) -> None:
    """Wait until the topic has so many records. Raises RuntimeError for a replay that ends."""
    async with asyncio.timeout(START_WITHIN_S):
        while await made.count(topic) < count:
            if process is not None and not process.runs:
                raise RuntimeError(process.said)
            await asyncio.sleep(LOOK_S)


async def phases(
    made: Topics, where: Place, url: str, seconds: float, rounds: int
) -> tuple[Phases, list[int]]:
    """In turns, and how many items each replay did meanwhile."""
    found, done = Phases([], []), []
    for number in range(rounds):
        found.alone.append(await span(seconds))
        into = await made.make(PARTITIONS)
        replay = await started(where, "--from", "0", "--until", f"{HISTORY}", "--into", into)
        try:
            await written(made, into, 1, replay)
            before = await made.count(into)
            found.beside.append(await span(seconds))
            done.append(await made.count(into) - before)
            if not replay.runs:
                raise RuntimeError(f"it was too soon at its end: {replay.said}")
        finally:
            await replay.kill()
        calls = state_of(url)["requests"]
        say(f"beside  round {number + 1}: {done[-1]:,} items replayed, {calls} calls in all")
    return found, done


async def took_ms(made: Topics, where: Place, spans: Phases) -> tuple[list[float], list[float]]:
    """What each live item took that arrived in these times."""
    alone: list[float] = []
    beside: list[float] = []
    places = [TopicPartition(where.sink, n) for n in range(where.partitions)]
    async with AIOKafkaConsumer(
        bootstrap_servers=made.server,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    ) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=1000)
            for record in (record for each in fetched.values() for record in each):
                came = orjson.loads(record.value)["source"]["timestamp_ms"]
                for span_list, took in ((spans.alone, alone), (spans.beside, beside)):
                    if any(first <= came < end for first, end in span_list):
                        took.append(record.timestamp - came)
    return alone, beside


async def one(
    made: Topics, directory: Path, url: str, seconds: float, rounds: int
) -> dict[str, Any]:
    """Latencies in ms, and how many items were replayed a second."""
    sink = {"message_timestamp_type": "LogAppendTime"}
    where = await place(made, directory, url, HISTORY, PARTITIONS, sink=sink, **CALLS)
    await pass_history(where)
    async with running(["worker"], made, where.sink, where.environ):
        feeding = asyncio.ensure_future(trickle(made.server, where.source))
        try:
            await written(made, where.sink, WARM_UP)
            await asyncio.sleep(SETTLE_S)
            spans, done = await phases(made, where, url, seconds, rounds)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        alone, beside = (sorted(each) for each in await took_ms(made, where, spans))
    return {
        "alone": quantiles(alone),
        "beside": quantiles(beside),
        "replayed_per_s": sum(done) / (seconds * rounds),
    }


def quantiles(took: list[float]) -> dict[str, float]:
    return {
        "p50_ms": at_share(took, 0.5),
        "p99_ms": at_share(took, 0.99),
        "most_ms": took[-1],
        "items": len(took),
    }


async def measure(server: str, seconds: float, rounds: int) -> Report:
    limit = ("--rpm", str(60 * LIMIT_PER_S), "--burst-s", str(BURST_S))
    figures: dict[str, Any] = {}
    bars: list[Bar] = []
    rows: list[Any] = [("", "p50 ms", "p99 ms", "most ms", "items", "replayed/s")]
    for name, options in (("no limit", ()), (f"{LIMIT_PER_S} calls/s", limit)):
        with (
            tempfile.TemporaryDirectory() as directory,
            simulator("--latency-ms", str(LATENCY_MS), *options) as (url, _),
        ):
            async with topics(server) as made:
                found = await one(made, Path(directory), url, seconds, rounds)
        figures[name] = found
        ratio = found["beside"]["p99_ms"] / found["alone"]["p99_ms"]
        say(f"beside  {name}: p99 {ratio:.2f} of that without a replay: {found}")
        bars.append(Bar(f"{name}: live p99 beside a replay / alone", ratio, "at most", MAX_RATIO))
        bars.append(Bar(f"{name}: replayed a second", found["replayed_per_s"], "at least", 1))
        for phase in ("alone", "beside"):
            speed = f"{found['replayed_per_s']:,.0f}" if phase == "beside" else ""
            rows.append((f"{name}, {phase}", *(f"{n:.0f}" for n in found[phase].values()), speed))
    return Report("a replay beside live traffic", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with broker(given.broker) as (server, name):
        report = asyncio.run(measure(server, given.seconds, given.rounds))
    return conclude([report], name, json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
