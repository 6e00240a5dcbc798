"""The workers of a run: real processes, numbered in the order in which they are started."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from streams.simulator.journal import item_hash
from tests.chaos.account import Call, Place
from tests.chaos.schedule import Work
from tests.chaos.simulator import SimulatorProcess
from tests.integration.harness import WorkerProcess

LABELS = ["positive", "negative", "neutral"]
READING_WITHIN_S = 20.0
LOG_LINES = 40


def name_of(who: int) -> str:
    """The task's name in that worker: every record that it writes says so."""
    return f"w{who}"


class Fleet:
    """`stopping`: those that were told to stop and have not been waited for."""

    def __init__(
        self, bootstrap: str, work: Work, source: str, simulator: SimulatorProcess | None
    ) -> None:
        self._bootstrap = bootstrap
        self._work = work
        self._source = source
        self._simulator = simulator
        self._directory = tempfile.TemporaryDirectory(prefix="streams-chaos-")
        self._called = Path(self._directory.name) / "called"
        self._epoch = time.time()
        self._workers: list[WorkerProcess] = []
        self.group = f"{source}-group"
        self.stopping: set[int] = set()

    def start(self, bootstrap: str | None = None) -> int:
        """The new worker's number. `bootstrap`: where it finds the broker, if not as the others."""
        who = len(self._workers)
        self._workers.append(self._worker(name_of(who), bootstrap or self._bootstrap))
        return who

    def log(self, who: int) -> str:
        return self._workers[who].log

    def kill(self, who: int) -> None:
        self._workers[who].signal(signal.SIGKILL)
        self._workers[who].wait(10)

    def freeze(self, who: int) -> None:
        self._workers[who].signal(signal.SIGSTOP)

    def thaw(self, who: int) -> None:
        self._workers[who].signal(signal.SIGCONT)

    def stop(self, who: int) -> None:
        """SIGTERM; `stopped` waits."""
        self._workers[who].signal(signal.SIGTERM)
        self.stopping.add(who)

    async def stopped(self, who: int, within_s: float) -> int:
        """The exit code."""
        self.stopping.discard(who)
        return await asyncio.to_thread(self._workers[who].wait, within_s)

    async def reading(self, who: int) -> None:
        """Wait until the worker has its signal handlers and partitions: before that SIGTERM is the
        interpreter's, and a frozen worker one that never came."""
        deadline = time.monotonic() + READING_WITHIN_S
        while "reading" not in self._workers[who].log and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def living(self) -> list[int]:
        """Workers that nobody has ended."""
        return [
            who
            for who, worker in enumerate(self._workers)
            if who not in self.stopping and worker.process.returncode is None
        ]

    def ended(self) -> dict[int, int]:
        """Exit codes of those among the living that have ended by themselves."""
        codes = {who: self._workers[who].process.poll() for who in self.living()}
        return {who: code for who, code in codes.items() if code is not None}

    def logs(self) -> str:
        return "\n".join(
            f"-- worker {who}\n" + "\n".join(worker.log.splitlines()[-LOG_LINES:])
            for who, worker in enumerate(self._workers)
        )

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._directory.cleanup()

    def calls(self, offered: Mapping[Place, str]) -> Iterator[tuple[Place, Call]]:
        """Every call that held one of these items (texts by place)."""
        if self._work.with_api:
            assert self._simulator is not None
            places = {item_hash(text): place for place, text in offered.items()}
            for request in self._simulator.ledger():
                at_s = request["ended_at"] - self._epoch
                call = Call(at_s, request["status"], request["fault"])
                for each in request["items"]:
                    if each in places:
                        yield places[each], call
        elif self._called.exists():
            for line in self._called.read_text().splitlines():
                found = json.loads(line)
                call = Call(found["at"] - self._epoch, 200, None, found["by"])
                for partition, offset in found["places"]:
                    yield (partition, offset), call

    def _worker(self, name: str, bootstrap: str) -> WorkerProcess:
        work = self._work
        variables = {"ANTHROPIC_API_KEY": "chaos"}
        if not work.with_api:
            variables |= {
                "CHAOS_TASK": name,
                "CHAOS_SOURCE": self._source,
                "CHAOS_CALLS": json.dumps(dict(work.calls)),
                "CHAOS_CALL_S": str(work.latency_ms / 1000),
                "CHAOS_CALLED": str(self._called),
            }
        return WorkerProcess(
            bootstrap,
            self.group,
            app="tests.chaos.app:app",
            config=self._api_task(name) if work.with_api else "",
            worker=f'guarantee = "{work.guarantee}"\ndrain_s = {work.drain_s}\n'
            f"shutdown_timeout_s = {work.shutdown_s}",
            variables=variables,
        )

    def _api_task(self, name: str) -> str:
        calls = self._work.calls
        assert self._simulator is not None
        return f"""
[[task]]
name = "{name}"
source = "{self._source}"
sink = "{self._source}.out"
operation = "classify"
provider = "anthropic"
model = "claude-haiku-5-5"
labels = {json.dumps(LABELS)}
[task.batch]
max_items = {calls["max_items"]}
max_wait_ms = {calls["max_wait_ms"]}
[task.calls]
max_in_flight = {calls["max_in_flight"]}
timeout_s = 2
[provider.anthropic]
base_url = "{self._simulator.url}"
"""
