"""What several tests of the library doors need."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from streams.simulator.running_server import Simulator, serve
from streams.simulator.simulator_settings import SimulatorSettings


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    simulator = await serve(SimulatorSettings(latency_ms=0))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
    monkeypatch.setenv("VOYAGE_API_KEY", "pa-test")
    yield simulator
    await simulator.stop()
