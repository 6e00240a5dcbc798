"""An API with limits in a process of its own, clients that call it without end, and what it saw.

Every figure comes from the simulator's journal; the client says only how many items failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any, Final, NamedTuple

import streams
from streams.simulator.journal import CLIENT_CLOSED

LABELS: Final = ("positive", "negative", "neutral")
TEXTS: Final = {
    "requests": "Lasted two days, far more than I expected.",
    "input_tokens": "Lasted two days, far more than I expected of a battery as small as that. "
    * 18,
    "output_tokens": "Fine.",
}
"""What binds by such texts, each in microbatches as in `OPTIONS`, under 1,000 requests, 2 M input
and 400,000 output tokens a minute."""
OPTIONS: Final[dict[str, dict[str, int]]] = {
    "requests": {"max_items": 20},
    "input_tokens": {"max_items": 20, "max_tokens": 40_000},
    "output_tokens": {"max_items": 100},
}
MAX_IN_FLIGHT: Final = 200
PER_MINUTE: Final = {"requests": 1_000, "input_tokens": 2_000_000, "output_tokens": 400_000}
LIMITS: Final = ("--rpm", "1000", "--itpm", "2000000", "--otpm", "400000", "--burst-s", "5")
"""With a minute's worth at once, as the simulator has it by itself, what is used too much, or by
others, would show after minutes only."""


class Seen(NamedTuple):
    """One call in the journal; times in seconds since the first call came. `refused_by`: the limit
    that refused it, or the script's fault; "": none."""

    model: str
    arrived: float
    ended: float
    status: int
    refused_by: str
    items: int
    requests: int
    input_tokens: int
    output_tokens: int

    @property
    def answered(self) -> bool:
        return self.status == 200


class Journal:
    """The calls of one run, in the order in which they came. `began`: when the first one came, in
    seconds since the epoch."""

    def __init__(self, calls: list[Seen], began: float) -> None:
        self.calls = calls
        self.began = began

    def of(self, model: str) -> Journal:
        return Journal([call for call in self.calls if call.model == model], self.began)

    def used(self, kind: str, start: float, end: float) -> float:
        """Of a limit, per minute: output when it was answered, the rest when the call came."""
        amount = sum(
            getattr(call, kind)
            for call in self.calls
            if not call.refused_by
            and start <= (call.ended if kind == "output_tokens" else call.arrived) < end
        )
        return 60 * amount / (end - start)

    def answers(self, start: float, end: float) -> int:
        return sum(call.answered and start <= call.ended < end for call in self.calls)

    def refused(self, start: float, end: float, status: int = 429) -> int:
        return sum(call.status == status and start <= call.arrived < end for call in self.calls)

    def refused_share(self, start: float, end: float, status: int = 429) -> float:
        came = sum(start <= call.arrived < end for call in self.calls)
        return self.refused(start, end, status) / max(1, came)

    def refusals(self) -> Counter[str]:
        """How many calls each limit refused, and each fault."""
        return Counter(call.refused_by for call in self.calls if call.refused_by)

    def in_flight(self, start: float, end: float, step_s: float = 1.0) -> list[int]:
        """The most calls at once that the API worked on, in each step."""
        worked_on = [call for call in self.calls if call.input_tokens]
        changes = [(call.arrived, 1) for call in worked_on]
        changes += [(call.ended, -1) for call in worked_on]
        changes.sort()
        most: list[int] = []
        now = place = 0
        for step in range(-1, ceil((end - start) / step_s)):  # the first one: all that was before
            highest, until = now, start + (step + 1) * step_s
            while place < len(changes) and changes[place][0] < until:
                now += changes[place][1]
                highest = max(highest, now)
                place += 1
            most.append(highest)
        return most[1:]

    def mean_items(self, start: float, end: float) -> float:
        sizes = [call.items for call in self.calls if start <= call.arrived < end]
        return sum(sizes) / max(1, len(sizes))


def read_journal(path: Path) -> Journal:
    """The calls that a simulator wrote down, without those that the client's end cut off."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    if not records:
        raise RuntimeError("no call was made")
    first = min(record["arrived_at"] for record in records)
    calls = [
        Seen(
            record["model"],
            record["arrived_at"] - first,
            record["ended_at"] - first,
            record["status"],
            record["limit"] or record["fault"],
            len(record["items"]),
            1,
            record["input_tokens"],
            record["output_tokens"],
        )
        for record in records
        if record["status"] != CLIENT_CLOSED
    ]
    return Journal(sorted(calls, key=lambda call: call.arrived), first)


class Api(NamedTuple):
    """A simulator that runs. `journal`: its file."""

    anthropic: str
    voyage: str
    journal: Path

    async def called(self, seconds: float) -> None:
        """Waits until so long after its first call has ended."""
        while not self.journal.exists() or not self.journal.stat().st_size:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)
        await asyncio.sleep(seconds)

    async def post(self, name: str, value: Any) -> None:
        """To one of its own endpoints."""
        url, body = f"{self.anthropic}/simulator/{name}", json.dumps(value).encode()
        await asyncio.to_thread(lambda: urllib.request.urlopen(url, body, timeout=30).close())


@contextlib.asynccontextmanager
async def api(*options: str, latency_ms: int = 600, jitter_ms: int = 800) -> AsyncIterator[Api]:
    """A simulator with these options."""
    os.environ.setdefault("ANTHROPIC_API_KEY", "sk-ant-none")
    os.environ.setdefault("VOYAGE_API_KEY", "pa-none")
    with tempfile.TemporaryDirectory() as directory:
        journal = Path(directory) / "journal.jsonl"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streams.simulator", "--answers", "hash",
            "--latency-ms", str(latency_ms), "--jitter-ms", str(jitter_ms),
            "--ledger", str(journal), *options, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            line = json.loads(await process.stdout.readline())
            yield Api(line["anthropic_base_url"], line["voyage_base_url"], journal)
        finally:
            process.terminate()
            await process.wait()


def texts(text: str) -> Iterator[str]:
    """Texts without end, no two the same."""
    return (f"{number}: {text}" for number in count(1))


def classifier(at: Api, model: str = "claude-haiku-5-5") -> Any:
    return streams.classify(LABELS, model=model, base_url=at.anthropic)


async def call_for(seconds: float, process: Any, text: str, **options: Any) -> Counter[str]:
    """Calls the process with such texts, as fast as it may, for so long from its first answer on;
    the codes of the items that failed."""
    options = {"max_in_flight": MAX_IN_FLIGHT, **options}
    failed: Counter[str] = Counter()
    results: AsyncGenerator[Any, None] = streams.map_batches_iter(
        process, texts(text), ordered=False, **options
    )
    with contextlib.suppress(TimeoutError):
        async with process, asyncio.timeout(None) as limit, contextlib.aclosing(results):
            async for _, result in results:
                if limit.when() is None:  # importing an SDK takes seconds
                    limit.reschedule(asyncio.get_running_loop().time() + seconds)
                if isinstance(result, streams.ItemError):
                    failed[result.code] += 1
    return failed
