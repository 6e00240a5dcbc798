"""How long `streams diff` takes over two large topics, and how much memory.

    python -m benchmarks.diff [--broker HOST:PORT] [--results N] [--json]

Two sinks of a million classifications each, written by the project's own encoder: the same items in
4 partitions, 7 % of the labels changed, another fingerprint. One run of the command as its users
start it; its memory is the largest resident set that Linux saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.ground import BATCH_BYTES, Topics, arguments, broker, topics
from streams.codec.results import Encoder
from streams.model import Item

RESULTS, PARTITIONS = 1_000_000, 4
WITHIN_S, WITHIN_MB = 60.0, 300.0
LABELS = ("positive", "negative", "neutral", "mixed", "none")
CHANGED_EVERY = 14
CALL_ITEMS = 20
STARTED_MS = 1_790_000_000_000
CHUNK = 1000


def label(number: int, *, new: bool) -> str:
    moved = new and number % CHANGED_EVERY == 0
    return LABELS[(number * 7 // 3 + moved) % len(LABELS)]


def results(partition: int, count: int, *, new: bool) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of the results of one partition, in order."""
    encoder = Encoder(task="mood", model="claude-haiku-5-5", fingerprint=f"{int(new) + 10:016x}")
    for first in range(0, count, CHUNK):
        slots = [_slot(partition, n, new=new) for n in range(first, min(first + CHUNK, count))]
        for record in encoder.encode(slots, STARTED_MS + 900_000 * new).records:
            assert record is not None
            key, value, _, _ = record
            assert key is not None
            assert value is not None
            yield key, value


def _slot(partition: int, offset: int, *, new: bool) -> Any:
    number = offset * PARTITIONS + partition
    call = SimpleNamespace(id=f"mood-{offset // CALL_ITEMS}", size=CALL_ITEMS)
    item = Item(
        *({}, "", f"item-{number}", b"%08d" % number, ()),
        *("reviews", partition, offset, STARTED_MS + offset, None),
    )
    return SimpleNamespace(
        item=item,
        outcome={"label": label(number, new=new)},
        call=call,
        index=offset % CALL_ITEMS,
        calls=1,
        input_tokens=61 + number % 40,
        output_tokens=14,
        cost_nano_usd=None if new else 13_100,
    )


async def fill(made: Topics, name: str, count: int, *, new: bool) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=made.server, max_batch_size=BATCH_BYTES
    ) as producer:
        for partition in range(PARTITIONS):
            batch = producer.create_batch()
            for key, value in results(partition, count // PARTITIONS, new=new):
                while not batch.append(key=key, value=value, timestamp=None):
                    await (await producer.send_batch(batch, name, partition=partition))
                    batch = producer.create_batch()
            await (await producer.send_batch(batch, name, partition=partition))


def compare(server: str, a: str, b: str) -> dict[str, Any]:
    """One run of the command: its summary, and what it took."""
    command = [sys.executable, "-m", "streams", "diff", a, b, "--broker", server, "--json"]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    took_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    return {
        "took_s": round(took_s, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "resident_mb": round(used.ru_maxrss / 1024, 1),
        "summary": json.loads(out),
    }


async def measure(server: str, count: int) -> Report:
    async with topics(server) as made:
        a = await made.make(PARTITIONS, message_timestamp_type="LogAppendTime")
        b = await made.make(PARTITIONS, message_timestamp_type="LogAppendTime")
        say(f"writing {count:,} results twice")
        await fill(made, a, count, new=False)
        await fill(made, b, count, new=True)
        say("comparing them")
        figures = await asyncio.to_thread(compare, server, a, b)
    summary = figures.pop("summary")
    expected = count - sum(
        number % CHANGED_EVERY == 0 for number in range(count // PARTITIONS * PARTITIONS)
    )
    assert (summary["compared"], summary["equal"]) == (count, expected), summary
    name = f"diff of two topics of {count:,} results"
    bars = [
        Bar(f"{name}: time", figures["took_s"], "at most", WITHIN_S, "s"),
        Bar(f"{name}: memory", figures["resident_mb"], "at most", WITHIN_MB, "MB"),
    ]
    rows = [("", "s", "CPU s", "MB")]
    rows.append((name, *(f"{figures[key]:g}" for key in ("took_s", "cpu_s", "resident_mb"))))
    return Report("diff", bars, figures, rows)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--results", type=int, default=RESULTS, help=f"a topic ({RESULTS:,})")
    options = parser.parse_args()
    with broker(options.broker) as (server, what):
        report = asyncio.run(measure(server, options.results))
        return conclude([report], what, json_alone=options.json)


if __name__ == "__main__":
    sys.exit(main())
