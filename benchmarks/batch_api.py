"""Message Batches through the API's client: what they take, and whether the loop stays free.

    python -m benchmarks.batch_api [--requests N] [--batches N] [--json]

A batch of 5,000 requests (20 items, 4 KB each) is created, waited for, and its results are written
to a file; then nine more of them at once: 1,000,000 items in all. The simulator has a process of
its own; how long it takes to answer is told, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import psutil

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.loop_lag import longest_callback
from streams.providers import has_batches, make_batch_api
from streams.providers.batch_port import BatchApi, BatchStatus

REQUESTS, BATCHES = 5_000, 10
ITEMS = 20
MAX_LAG_MS = 50.0
POLL_S = 0.2
WITHIN_S = 900.0

SCHEMA = {
    "type": "object",
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "label": {"type": "string", "enum": ["positive", "negative", "neutral"]},
                },
                "required": ["id", "label"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["results"],
    "additionalProperties": False,
}


@contextmanager
def simulator(*more: str) -> Iterator[tuple[str, int]]:
    """The base URL of a simulator of its own, and its process id."""
    command = (sys.executable, "-m", "streams.simulator", "--answers", "hash", *more)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["anthropic_base_url"], process.pid
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def requests_of(batch: int, count: int) -> list[bytes]:
    """Requests of 20 items and about 4 KB, all different."""
    return [orjson.dumps(_request(batch, number)) for number in range(count)]


def _request(batch: int, number: int) -> dict[str, Any]:
    text = f"Parcel {batch}-{number} came late, and its box was open. " + "It was raining. " * 6
    items = [{"id": str(n), "text": f"{n}: {text}"} for n in range(1, ITEMS + 1)]
    params = {
        "model": "claude-haiku-5-5",
        "max_tokens": 2_000,
        "thinking": {"type": "disabled"},
        "system": "Judge each item by itself.",
        "messages": [{"role": "user", "content": orjson.dumps(items).decode()}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }
    return {"custom_id": f"b{batch}-{number}", "params": params}


def open_batches(url: str) -> BatchApi:
    task = SimpleNamespace(
        name="t",
        provider="anthropic",
        model="claude-haiku-5-5",
        price=None,
        calls=SimpleNamespace(timeout_s=120.0),
    )
    assert has_batches(task)
    settings = SimpleNamespace(base_url=url, api_key_file=None)
    return make_batch_api(task, settings, environ={"ANTHROPIC_API_KEY": "sk-ant-bench"})


async def ended(api: BatchApi, status: BatchStatus) -> BatchStatus:
    async with asyncio.timeout(WITHIN_S):
        while not status.ended:
            await asyncio.sleep(POLL_S)
            status = await api.retrieve(status.id)
    return status


async def measured(url: str, requests: int, batches: int, directory: Path) -> dict[str, Any]:
    """Milliseconds of lag, seconds, bytes."""
    api = open_batches(url)
    try:
        await api.list(0)  # the connection, and what the SDK loads at its first call
        asked = requests_of(0, requests)
        figures: dict[str, Any] = {"mb": sum(map(len, asked)) / 1e6}
        with longest_callback() as lag:
            begin = time.perf_counter()
            made = [await api.create(asked)]
            figures |= {"create_s": time.perf_counter() - begin, "create_lag_ms": lag.cpu_ms}
        say(f"batches  created in {figures['create_s']:.1f} s: {lag}")
        begin = time.perf_counter()
        made += [await api.create(requests_of(batch, requests)) for batch in range(1, batches)]
        statuses = [await ended(api, status) for status in made]
        assert all(status.succeeded == requests for status in statuses), statuses
        figures["answered_s"] = time.perf_counter() - begin
        say(f"batches  answered after {figures['answered_s']:.0f} s")
        with longest_callback() as lag:
            begin, cpu = time.perf_counter(), time.process_time()
            for status in statuses:
                await api.results(status, directory / status.id)
            figures["results_s"] = time.perf_counter() - begin
            figures["results_cpu_s"] = time.process_time() - cpu
            figures["results_lag_ms"] = lag.cpu_ms
        say(f"batches  results in {figures['results_s']:.1f} s: {lag}")
    finally:
        await api.aclose()
    figures["lines"] = sum((directory / status.id).read_bytes().count(b"\n") for status in statuses)
    return figures


def measure(requests: int = REQUESTS, batches: int = BATCHES) -> Report:
    with tempfile.TemporaryDirectory() as directory, simulator() as (url, pid):
        figures = asyncio.run(measured(url, requests, batches, Path(directory)))
        figures["simulator_mb"] = psutil.Process(pid).memory_info().rss / 1e6
    lines = figures["lines"]
    bars = [
        Bar(
            "batches: loop blocked by create", figures["create_lag_ms"], "at most", MAX_LAG_MS, "ms"
        ),
        Bar(
            "batches: loop blocked by results",
            figures["results_lag_ms"],
            "at most",
            MAX_LAG_MS,
            "ms",
        ),
        Bar("batches: result lines", lines, "at least", requests * batches),
    ]
    table = [
        ("", "requests", "MB", "s", "CPU s", "longest callback, ms"),
        ("create", f"{requests:,}", f"{figures['mb']:.0f}", f"{figures['create_s']:.1f}", "",
         f"{figures['create_lag_ms']:.1f}"),
        ("results", f"{lines:,}", "", f"{figures['results_s']:.1f}",
         f"{figures['results_cpu_s']:.1f}", f"{figures['results_lag_ms']:.1f}"),
        ("simulator answers", f"{requests * batches:,}", f"{figures['simulator_mb']:.0f}",
         f"{figures['answered_s']:.0f}", "", ""),
    ]  # fmt: skip
    return Report("Message Batches", bars, figures, table)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    return conclude([measure(given.requests, given.batches)], "no broker", json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
