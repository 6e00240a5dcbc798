"""A replay as its users run it: a process of its own, on a real broker, against the simulator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from streams.codec.results import RUN_HEADER
from streams.jobs.judge import outcome_of
from tests import forked
from tests.integration.harness import eventually, read
from tests.integration.simulated import API_KEY, Simulated, classifies

SESSION_S = 6


class Ended(NamedTuple):
    """`code`: the exit code; None: killed. `err`: what it said on stderr."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def run(self) -> str:
        """The id that was told first."""
        first, *_ = self.err.splitlines()
        assert first.startswith("run "), self.err
        return first.removeprefix("run ")


class Replayer:
    """Runs `streams replay` for one source. `config`: more lines of the configuration."""

    def __init__(self, broker: Any, source: str, config: str, directory: Path) -> None:
        self.source = source
        self._directory = directory
        self._config = directory / "replay.toml"
        self.group = f"{source}-group"
        self.variables: dict[str, str] = {}
        self.configure(broker, config)

    def configure(self, broker: Any, config: str, worker: str = "") -> None:
        self.config = config
        self._config.write_text(
            f'[kafka]\nbootstrap_servers = "{broker.bootstrap}"\nsession_timeout_s = {SESSION_S}\n'
            f'[worker]\nid = "{self.group}"\nweb = ""\n{worker}\n{config}\n'
        )

    def start(self, *arguments: str) -> Process:
        return Process(self._directory, self._config, arguments, self.variables)

    def __call__(self, *arguments: str, within_s: float = 120) -> Ended:
        """From its start to its end."""
        process = self.start(*arguments)
        try:
            return process.wait(within_s)
        finally:
            process.kill()


class Process:
    _count = 0

    def __init__(
        self,
        directory: Path,
        config: Path,
        arguments: tuple[str, ...],
        variables: dict[str, str],
    ) -> None:
        Process._count += 1
        self._out = directory / f"out{Process._count}"
        self._err = directory / f"err{Process._count}"
        kept = {name: value for name, value in os.environ.items() if "STREAMS_" not in name}
        environ = {**kept, "ANTHROPIC_API_KEY": API_KEY, "COLUMNS": "100", **variables}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = forked.started(
                "streams", "replay", *arguments, "--json", "--config", str(config),
                env=environ, stdout=out, stderr=err,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, within_s: float) -> Ended:
        try:
            code = int(self._process.wait(within_s))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s} s:\n{self.log}") from None
        return Ended(code, self._out.read_text(), self.log)

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.runs:
            self.signal(signal.SIGKILL)
            self._process.wait(10)


@contextmanager
def replayer(
    broker: Any, source: str, api: Simulated, *, more: str = "", **calls: Any
) -> Iterator[Replayer]:
    """`more`: lines that follow the task's. `calls`: see `classifies`."""
    with TemporaryDirectory() as directory:
        config = classifies(source, api, **calls) + more
        yield Replayer(broker, source, config, Path(directory))


async def records_of(broker: Any, run: str, *topics: str) -> list[Any]:
    """What a run wrote to these topics, in order."""
    return [
        record
        for record in await read(broker.bootstrap, topics)
        if (RUN_HEADER, run.encode()) in record.headers
    ]


def positions(records: list[Any]) -> list[tuple[int, int]]:
    """The source positions of these outcomes."""
    found = [outcome_of(record) for record in records]
    return [(each.source_partition, each.source_offset) for each in found if each is not None]


async def told_run(process: Process) -> str:
    """Wait until the run has an id, and its state says so."""
    await eventually(lambda: _says(process, "run "), 60, lambda: process.log)
    return process.log.split()[1]


async def _says(process: Process, text: str) -> bool:
    return text in process.log
