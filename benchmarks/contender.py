"""One program at work, watched from outside: what it wrote, when, at what cost.

The watcher asks the broker how many records the sink has, and the system what the process used, in
one go. Rates and costs are differences between two such looks, the first at which there was
anything in the sink and the last before all was done, so starting and importing are not in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from benchmarks.ground import Topics

LOOK_S = 0.05
BATCH_KEYS = ("max_items", "max_wait_ms", "key", "flush_by")
START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0


class Look(NamedTuple):
    """`at_s`: monotonic. `done`: records in the sink. `cpu_s`: user and system time of the process
    since its start. `resident`: bytes of memory."""

    at_s: float
    done: int
    cpu_s: float
    resident: int


class Contender:
    """A program that runs."""

    def __init__(
        self, process: asyncio.subprocess.Process, topics: Topics, sink: str, said: IO[bytes]
    ) -> None:
        self._process = process
        self._said = said
        self._system = psutil.Process(process.pid)
        self._topics = topics
        self._sink = sink
        self.looks: list[Look] = []

    def said(self) -> str:
        """What it has printed so far."""
        with open(self._said.fileno(), "rb", closefd=False) as output:
            place = output.tell()
            output.seek(0)
            text = output.read().decode(errors="replace")
            output.seek(place)
        return text

    @property
    def pid(self) -> int:
        return self._process.pid

    async def look(self) -> Look:
        done = await self._topics.count(self._sink)
        used = self._system.cpu_times()
        resident = self._system.memory_info().rss
        look = Look(time.monotonic(), done, used.user + used.system, resident)
        self.looks.append(look)
        return look

    async def work(self, items: int, *, within_s: float) -> None:
        """Watch until the sink has `items` records or `within_s` have passed since the first.

        Raises RuntimeError if the program ends, or writes nothing for `START_WITHIN_S`.
        """
        began = time.monotonic()
        first: float | None = None
        while True:
            if self._process.returncode is not None:
                raise RuntimeError(f"the program ended with {self._process.returncode}")
            look = await self.look()
            if look.done >= items:
                return
            if look.done and first is None:
                first = look.at_s
            if first is not None and look.at_s - first > within_s:
                return
            if first is None and look.at_s - began > START_WITHIN_S:
                raise RuntimeError(f"nothing was written within {START_WITHIN_S:g} s")
            await asyncio.sleep(LOOK_S)

    def between(self) -> tuple[Look, Look]:
        """The first look at work and the last before all was done."""
        most = self.looks[-1].done
        first = next(look for look in self.looks if look.done)
        last = [look for look in self.looks if look.done < most][-1]
        return first, last

    def items_per_s(self) -> float:
        first, last = self.between()
        return (last.done - first.done) / (last.at_s - first.at_s)

    def cpu_us_per_item(self) -> float:
        first, last = self.between()
        return (last.cpu_s - first.cpu_s) / (last.done - first.done) * 1e6

    def peak_mb(self) -> float:
        return max(look.resident for look in self.looks) / 1e6


@contextlib.asynccontextmanager
async def running(
    program: list[str], topics: Topics, sink: str, environ: Mapping[str, str]
) -> AsyncIterator[Contender]:
    """Start a program of `benchmarks.programs`, and end it with SIGTERM, if need be with SIGKILL.
    What it says goes to this process's error output if it fails. Raises RuntimeError for a worker
    that does not stop in order."""
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"benchmarks.programs.{program[0]}",
            *program[1:],
            env={**os.environ, **environ},
            stdout=said,
            stderr=said,
            start_new_session=True,  # Linux shares its time between sessions: others have theirs
        )
        try:
            yield Contender(process, topics, sink, said)
        except BaseException:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if program[0] == "worker" and process.returncode != 0:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            raise RuntimeError(f"the worker stopped with {process.returncode}")


def bare(server: str, source: str, sink: str) -> dict[str, str]:
    """The environment of a program that is no worker."""
    return {
        "BENCH_BROKER": server,
        "BENCH_SOURCE": source,
        "BENCH_SINK": sink,
        "BENCH_GROUP": f"bench-{secrets.token_hex(4)}",
    }


def worker(
    directory: Path, server: str, source: str, sink: str, *, latency_s: float = 0.0, **task: Any
) -> dict[str, str]:
    """The environment of a worker with one task; its configuration is written to `directory`.

    `task`: keys of `[[task]]` and of its tables `batch` and `calls`, and `base_url` for a task with
    an API. Without an `operation` it is the function of `benchmarks.programs.worker`.
    """
    tables = {
        "batch": {key: task.pop(key) for key in BATCH_KEYS if key in task},
        "calls": {key: task.pop(key) for key in ("max_in_flight",) if key in task},
    }
    tables["batch"]["max_tokens"] = 1_000_000  # the figures are about `max_items`
    base_url = task.pop("base_url", None)
    task = {"name": "function", "operation": "custom", **task, "source": source, "sink": sink}
    lines = [
        f'[kafka]\nbootstrap_servers = "{server}"',
        f'[worker]\nid = "bench-{secrets.token_hex(4)}"\nweb = ""',
        "[[task]]",
        *(f"{key} = {_toml(value)}" for key, value in task.items()),
    ]
    for name, table in tables.items():
        lines += [f"[task.{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    if base_url:
        lines += ["[provider.anthropic]", f'base_url = "{base_url}"']
    path = directory / f"{secrets.token_hex(4)}.toml"
    path.write_text("\n".join(lines) + "\n")
    return {
        "STREAMS_CONFIG": str(path),
        "BENCH_LATENCY_S": str(latency_s),
        "ANTHROPIC_API_KEY": "bench",
    }


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
