"""The API simulator as a process of its own, told by HTTP what to do and asked what it did."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class SimulatorProcess:
    """`url`: for the Anthropic SDK."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.process = process
        self.url: str = json.loads(process.stdout.readline())["anthropic_base_url"]

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
    command = [sys.executable, "-m", "streams.simulator", "--answers", "hash"]
    command += ["--latency-ms", str(latency_ms), "--jitter-ms", "30", "--ledger-size", "200000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield SimulatorProcess(process)
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
