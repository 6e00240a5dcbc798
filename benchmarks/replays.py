"""A replay as its users run it: `streams replay` as a process of its own, against the simulator."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.contender import worker
from benchmarks.ground import Topics
from benchmarks.map_kills import LABELS
from streams.codec.results import RUN_HEADER
from streams.jobs.judge import Outcome, outcome_of

MODEL = "claude-haiku-5-5"
SESSION_S = 6
LOOK_S = 0.05
START_WITHIN_S = 120.0
FETCH_BYTES = 4_000_000


def text_of(number: int) -> str:
    """Short, and no two are the same: the simulator's journal tells items by their text."""
    return f"Parcel {number} came after {number * 7919 % 30} days, and its box was open."


def item(number: int) -> bytes:
    return json.dumps({"id": number, "text": text_of(number)}).encode()


class Place(NamedTuple):
    """A task whose source is done again. `environ`: of its processes, `directory`: for what they
    say."""

    server: str
    source: str
    sink: str
    partitions: int
    environ: dict[str, str]
    directory: Path


async def place(
    made: Topics,
    directory: Path,
    url: str,
    items: int,
    partitions: int,
    *,
    sink: Mapping[str, str] = MappingProxyType({}),
    **task: Any,
) -> Place:
    """Topics with that many items, and a task that labels them. `sink`: its topic's settings.
    `task`: see `contender.worker`."""
    source, into = await made.make(partitions), await made.make(partitions, **sink)
    await made.fill(source, items, item=item)
    environ = worker(
        directory, made.server, source, into, base_url=url,
        operation="classify", provider="anthropic", model=MODEL, labels=list(LABELS), **task,
    )  # fmt: skip
    environ |= {
        "STREAMS_WORKER__ID": source,
        "STREAMS_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S),
    }
    return Place(made.server, source, into, partitions, environ, directory)


class Replay:
    """A process. `ended` has its summary."""

    def __init__(self, process: asyncio.subprocess.Process, out: Path, err: Path) -> None:
        self._process = process
        self._out, self._err = out, err

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    @property
    def said(self) -> str:
        return self._err.read_text(errors="replace")

    async def run(self) -> str:
        """The id of its run, as soon as it is told."""
        await until(lambda: self.said.startswith("run ") and "\n" in self.said, self)
        return self.said.split()[1]

    async def kill(self) -> float | None:
        """`kill -9`; returns when it was, in seconds since the epoch. None: it had ended before."""
        if not self.runs:
            return None
        at = time.time()
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        return at

    async def ended(self, within_s: float) -> dict[str, Any]:
        """Raises RuntimeError for another exit code than 0."""
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        finally:
            await self.kill()
        if self._process.returncode:
            raise RuntimeError(f"exit code {self._process.returncode}: {self.said}")
        found: dict[str, Any] = json.loads(self._out.read_text())
        return found


async def started(where: Place, *arguments: str, module: str = "streams", **environ: str) -> Replay:
    """`python -m module replay arguments`, left running."""
    number = len(list(where.directory.glob("*.err")))
    out, err = where.directory / f"{number}.out", where.directory / f"{number}.err"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")}
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, "replay", *arguments, "--yes", "--json",
            env={**kept, **where.environ, **environ}, stdout=stdout, stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
    return Replay(process, out, err)


async def until(due: Callable[[], bool], replay: Replay, within_s: float = START_WITHIN_S) -> None:
    """Raises RuntimeError where that does not come, or the process ends before."""
    deadline = time.monotonic() + within_s
    while not due():
        if not replay.runs or time.monotonic() > deadline:
            raise RuntimeError(f"the replay {'hangs' if replay.runs else 'ended'}: {replay.said}")
        await asyncio.sleep(LOOK_S)


def state_of(url: str) -> dict[str, Any]:
    """What the simulator has counted."""
    with urllib.request.urlopen(f"{url}/simulator/state", timeout=120) as reply:
        found: dict[str, Any] = json.loads(reply.read())
        return found


async def outcomes(where: Place, run: str) -> list[Outcome]:
    """What a run wrote into the sink and the dead letters, by the offsets of each partition."""
    header = (RUN_HEADER, run.encode())
    found: list[Outcome] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=where.server,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    ) as consumer:
        dead = f"{where.source}.dead"
        topics = {where.sink: range(where.partitions)}
        if dead in await consumer.topics():
            topics[dead] = range(len(consumer.partitions_for_topic(dead) or ()))
        places = [TopicPartition(name, n) for name, numbers in topics.items() for n in numbers]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=1000)
            records = [record for each in fetched.values() for record in each]
            found += _outcomes(record for record in records if header in record.headers)
    return found


def _outcomes(records: Iterable[Any]) -> Iterable[Outcome]:
    return (found for record in records if (found := outcome_of(record)) is not None)


def positions(items: int, partitions: int) -> list[tuple[int, int]]:
    """Where `Topics.fill` wrote them."""
    return [(number % partitions, number // partitions) for number in range(items)]
