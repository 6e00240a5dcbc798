"""The API simulator as a process of its own, told by HTTP what to do and asked what it did."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from streams.kafka.broker.child import free_port
from tests import forked


class SimulatorProcess:
    """`url`: for the Anthropic SDK. It can be stopped, and started again at the same port."""

    def __init__(self, latency_ms: float) -> None:
        self._latency_ms = latency_ms
        self._port = free_port()
        self._process: Any = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """It answers when this returns; it knows nothing of what was before."""
        arguments = ["--answers", "hash", "--port", str(self._port)]
        arguments += ["--latency-ms", str(self._latency_ms)]
        arguments += ["--jitter-ms", "30", "--ledger-size", "200000"]
        self._process = forked.started("streams.simulator", *arguments, stdout=forked.PIPE)
        assert json.loads(self._process.stdout.readline())["anthropic_base_url"] == self.url

    def stop(self) -> None:
        """Nobody listens at its port any more; calls that are open are dropped."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(10)
            process.stdout.close()

    def begin(self, rules: Sequence[dict[str, Any]]) -> None:
        """Forget all that was, and play these faults from the next call on."""
        self._ask("script", json.dumps(rules).encode())
        self._ask("reset", b"")

    def ledger(self) -> list[dict[str, Any]]:
        """Every request since `begin` that has ended."""
        return [json.loads(line) for line in self._ask("ledger").splitlines()]

    def _ask(self, name: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.url}/simulator/{name}", body, timeout=30) as reply:
            answer: bytes = reply.read()
            return answer


@contextmanager
def simulator_process(latency_ms: float = 20.0) -> Iterator[SimulatorProcess]:
    simulator = SimulatorProcess(latency_ms)
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()
