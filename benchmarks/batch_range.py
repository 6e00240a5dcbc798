"""A million items in batch mode: memory, planning speed, and whether the loop stays free.

    python -m benchmarks.batch_range [--items N] [--json]

The whole run of `streams.batches` over items that a door makes as they are read, against an API
within this process that answers each batch into a file; requests and readings are Claude's own.
What HTTP costs beside it: `benchmarks.batch_api`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from benchmarks.bars import Bar, Report, conclude, say
from benchmarks.loop_lag import longest_callback
from benchmarks.memory import resident_at_most_mb
from streams.batches.batch_door import Cursor, Ranges
from streams.batches.batch_operation import BatchOperation
from streams.batches.batch_run import BatchRun
from streams.batches.bench import Bench
from streams.batches.core.polling import PollTimes
from streams.batches.core.run_terms import RunTerms
from streams.batches.live_records import LiveRecords
from streams.batches.result_store import ResultStore
from streams.batches.run_head import RunHead
from streams.batches.run_report import RunSummary
from streams.batches.slices import in_slices
from streams.batches.state_file import StateFile
from streams.codec.records import estimate_tokens, text_bytes
from streams.core.call import Slot
from streams.core.limits import Limits
from streams.errors import ItemError
from streams.model import Item, Reply
from streams.providers import make_caller
from streams.providers.batch_port import BatchStatus
from streams.running.collector import A_LONG_JOB, collect_seldom

ITEMS = 1_000_000
AT_ONCE = 500
MAX_MB = 300.0
MAX_LAG_MS = 50.0
MIN_PLANNED = 50_000
ERRORED = 50
"""One request in so many has no answer the first time."""

TEXT = "Parcel {} came late, and its box was open; it was raining, so all in it was wet. "


class RangeDoor:
    """Makes the items, and counts the outcomes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.results = self.errors = 0
        self.next = 0

    async def slots(self, after: Cursor | None) -> AsyncIterator[list[Slot]]:
        first = 0 if after is None else after.seq + 1
        for start in range(first, self.count, AT_ONCE):
            yield _slots(start, min(start + AT_ONCE, self.count))

    async def again(self, ranges: Ranges) -> AsyncIterator[list[Slot]]:
        for _, first, last in ranges:
            for start in range(first, last + 1, AT_ONCE):
                yield _slots(start, min(start + AT_ONCE, last + 1))

    async def emit(self, slots: list[Slot]) -> None:
        assert slots[0].seq == self.next
        self.next = slots[-1].seq + 1
        errors = sum(isinstance(slot.outcome, ItemError) for slot in slots)
        self.errors += errors
        self.results += len(slots) - errors


def _slots(start: int, end: int) -> list[Slot]:
    slots = []
    for seq in range(start, end):
        text = TEXT.format(seq)
        raw = b'{"text":"%b"}' % text.encode()
        item = Item({"text": text}, text, seq, None, (), "reviews", 0, seq, 0, raw)
        memory = 1_200 + len(raw)
        slots.append(
            Slot(0, seq, item, tokens=estimate_tokens(text), size=text_bytes(text), memory=memory)
        )
    return slots


class FileApi:
    """Batches whose answers are in a file at once; their results are read when they are asked."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._batches: list[tuple[BatchStatus, Path]] = []
        self.body_bytes = 0

    async def create(self, requests: Sequence[bytes]) -> BatchStatus:
        number = len(self._batches)
        path = self._directory / f"answers-{number}"
        self.body_bytes += sum(map(len, requests))
        with path.open("wb") as file:

            def answer_each() -> Iterator[None]:
                for place, request in enumerate(reversed(requests)):
                    file.write(_line(request, fails=(place + number) % ERRORED == 0))
                    yield

            await in_slices(answer_each())
        status = BatchStatus(f"b{number}", True, len(requests), int(time.time() * 1000))
        self._batches.append((status, path))
        return status._replace(ended=False)

    async def retrieve(self, batch_id: str) -> BatchStatus:
        return self._batches[int(batch_id[1:])][0]

    async def results(self, status: BatchStatus, path: Path) -> None:
        self._batches[int(status.id[1:])][1].rename(path)

    async def list(self, since_ms: int) -> list[BatchStatus]:
        return [status for status, _ in self._batches]

    async def cancel(self, batch_id: str) -> None:
        pass

    async def aclose(self) -> None:
        pass


def _line(request: bytes, *, fails: bool) -> bytes:
    found = orjson.loads(request)
    if fails:
        error = {"type": "error", "error": {"type": "api_error", "message": "Internal"}}
        result: Any = {"type": "errored", "error": error}
    else:
        result = {"type": "succeeded", "message": message(found["params"])}
    return orjson.dumps({"custom_id": found["custom_id"], "result": result}) + b"\n"


def message(params: Any) -> dict[str, Any]:
    """An answer of Claude."""
    items, _ = orjson.loads(params["messages"][0]["content"].rpartition("\n\n")[0]), None
    records = [{"id": item["id"], "label": "negative"} for item in items]
    return {
        "type": "message",
        "content": [{"type": "text", "text": orjson.dumps({"results": records}).decode()}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 900, "output_tokens": 300, "service_tier": "batch"},
    }


def operation() -> BatchOperation:
    task: Any = SimpleNamespace(
        name="t",
        operation="classify",
        provider="anthropic",
        model="claude-haiku-5-5",
        labels=["positive", "negative", "neutral"],
        instructions="Judge the parcel.",
        schema=None,
        dimension=None,
        input_type=None,
        price=None,
        calls=SimpleNamespace(timeout_s=60.0),
    )
    caller = make_caller(task, None, environ={"ANTHROPIC_API_KEY": "sk-ant-bench"})

    async def call(items: list[Any]) -> Reply:
        return caller.read(items, message(caller.request(items)))

    limits = Limits(max_items=20, max_tokens=8_000, max_bytes=1_000_000)
    return BatchOperation(caller.request, caller.read, call, limits, 60.0, None, has_price=True)


async def planning_rate(items: int) -> float:
    """Items a second that are drawn, packed and remembered."""
    with tempfile.TemporaryDirectory() as directory:
        state = StateFile(Path(directory) / "run.json")
        store = ResultStore(FileApi(Path(directory)), Path(directory))
        records = LiveRecords(state, {})
        door = RangeDoor(items)
        bench = Bench("bench", operation(), door, RunTerms().bounds, records, store)
        begin = time.process_time()
        cursor = None
        number = 0
        while (drawn := await bench.draw(number, cursor)) is not None:
            drawn.chunk.record()
            cursor, number = drawn.chunk.end, number + 1
        took_s = time.process_time() - begin
        making_s = _making_s(items)
    return items / max(took_s - making_s, 0.001)


def _making_s(items: int) -> float:
    """What the items themselves take, which a real door reads."""
    begin = time.process_time()
    for start in range(0, items, AT_ONCE):
        _slots(start, min(start + AT_ONCE, items))
    return time.process_time() - begin


async def measured(items: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"planned_per_s": await planning_rate(min(items, 200_000))}
    say(f"planned   {figures['planned_per_s']:,.0f} items/s")
    collect_seldom(A_LONG_JOB)  # as the commands do
    with tempfile.TemporaryDirectory() as directory, longest_callback() as lag:
        state = StateFile(Path(directory) / "run.json")
        records = await state.load()
        door, api = RangeDoor(items), FileApi(Path(directory))
        terms = RunTerms(times=PollTimes(first_ms=1, last_ms=1))
        head = RunHead("bench", {}, int(time.time() * 1000))
        begin, cpu = time.perf_counter(), time.process_time()
        run = BatchRun(head, operation(), door, api, state, records, terms)
        summary: RunSummary = await run.run()
        figures |= {"s": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}
        await state.aclose()
    figures |= {
        "items": summary.items,
        "results": door.results,
        "batches": summary.batches,
        "body_mb": api.body_bytes / 1e6,
        "lag_cpu_ms": lag.cpu_ms,
        "lag_wall_ms": lag.wall_ms,
        "peak_mb": resident_at_most_mb(os.getpid()),
    }
    return figures


def measure(items: int = ITEMS) -> Report:
    figures = asyncio.run(measured(items))
    bars = [
        Bar("batch mode: memory", figures["peak_mb"], "at most", MAX_MB, "MB"),
        Bar("batch mode: loop blocked", figures["lag_cpu_ms"], "at most", MAX_LAG_MS, "ms"),
        Bar("batch mode: planning", figures["planned_per_s"], "at least", MIN_PLANNED, "items/s"),
        Bar("batch mode: results", figures["results"], "at least", items),
    ]
    table = [
        ("items", "batches", "MB sent", "s", "CPU s", "peak MB", "longest callback, ms"),
        (f"{items:,}", f"{figures['batches']:,}", f"{figures['body_mb']:.0f}",
         f"{figures['s']:.0f}", f"{figures['cpu_s']:.0f}", f"{figures['peak_mb']:.0f}",
         f"{figures['lag_cpu_ms']:.1f}"),
    ]  # fmt: skip
    return Report("Batch mode over a range", bars, figures, table)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    return conclude([measure(given.items)], "no broker", json_alone=given.json)


if __name__ == "__main__":
    sys.exit(main())
