"""The API simulator beside a test that blocks now and then: in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streams.simulator import Simulator, SimulatorSettings, serve

API_KEY = "sk-ant-MARKER-of-the-key"
LABELS = ["positive", "negative", "neutral"]


class Simulated:
    """`url`: for the Anthropic SDK."""

    def __init__(self, simulator: Simulator) -> None:
        self.url = simulator.url

    @property
    def variables(self) -> dict[str, str]:
        """What a program needs in its environment to find it instead of both APIs."""
        return {
            "ANTHROPIC_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "VOYAGE_API_KEY": "pa-test",
            "VOYAGE_BASE_URL": f"{self.url}/v1",
        }

    def script(self, *rules: dict[str, Any]) -> None:
        """Play these faults from the next call on; none: no more faults."""
        self._ask("script", json.dumps(rules).encode())

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._ask("state"))
        return found

    def journal(self) -> list[dict[str, Any]]:
        """Every model call so far."""
        return [json.loads(line) for line in self._ask("ledger").splitlines()]

    def batches(self) -> list[dict[str, Any]]:
        """Every Message Batch so far."""
        return [json.loads(line) for line in self._ask("batches").splitlines()]

    def batch_requests(self) -> list[dict[str, Any]]:
        """Every request that was submitted in one, by `custom_id`."""
        return [json.loads(line) for line in self._ask("requests").splitlines()]

    def _ask(self, name: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.url}/simulator/{name}", body, timeout=30) as reply:
            answer: bytes = reply.read()
            return answer


@contextmanager
def simulated(**settings: Any) -> Iterator[Simulated]:
    """A simulator that answers at once, by a hash."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulator")
    thread.start()

    def call(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    try:
        given = {"latency_ms": 20.0, "answers": "hash", **settings}
        simulator = call(serve(SimulatorSettings(**given)))
        try:
            yield Simulated(simulator)
        finally:
            call(simulator.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def classifies(source: str, simulator: Simulated, *, max_items: int = 10, **calls: Any) -> str:
    """The configuration of a task that judges `source` through the Anthropic SDK. `calls`: of its
    `[task.calls]`."""
    limits = {"timeout_s": 3, "max_in_flight": 3, "max_attempts": 3, **calls}
    lines = "\n".join(f"{name} = {value}" for name, value in limits.items())
    return f"""
[[task]]
name = "sentiment"
source = "{source}"
sink = "{source}.out"
operation = "classify"
provider = "anthropic"
model = "claude-haiku-5-5"
labels = {json.dumps(LABELS)}
[task.batch]
max_items = {max_items}
[task.calls]
{lines}
[provider.anthropic]
base_url = "{simulator.url}"
"""
