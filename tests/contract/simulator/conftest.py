"""Simulators and the unmodified SDKs that talk to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

anthropic = pytest.importorskip("anthropic")
voyageai = pytest.importorskip("voyageai")

from streams.simulator import Simulator, SimulatorSettings, serve  # noqa: E402  # after the skips

Start = Callable[..., Awaitable[Simulator]]

WALL = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class Clock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators: no latency and hashed answers unless a test says otherwise."""
    running: list[Simulator] = []

    async def start_one(**changes: Any) -> Simulator:
        settings = {"latency_ms": 0.0, "answers": "hash", **changes}
        running.append(await serve(SimulatorSettings(**settings)))
        return running[-1]

    yield start_one
    for simulator in running:
        await simulator.stop()


@pytest.fixture
async def claude() -> AsyncIterator[Callable[..., Any]]:
    """Makes clients of the Anthropic SDK that do not try again by themselves, nor give up after 5 s
    of connecting: both ends share one thread of a machine that may be busy."""
    made: list[Any] = []

    def make(simulator: Simulator, **changes: Any) -> Any:
        # The SDK's own HTTP client; reading the certificates of the world takes it 0.1 to 0.3 s.
        http_client = anthropic.DefaultAsyncHttpxClient(verify=False)
        options = {
            "api_key": "a key",
            "base_url": simulator.url,
            "max_retries": 0,
            "timeout": 600.0,
        }
        made.append(anthropic.AsyncAnthropic(http_client=http_client, **options | changes))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def voyage() -> Callable[..., Any]:
    """Makes clients of the Voyage SDK."""

    def make(simulator: Simulator, **changes: Any) -> Any:
        return voyageai.AsyncClient(api_key="a key", base_url=simulator.voyage_url, **changes)

    return make


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(start: Start, clock: Clock) -> Start:
    """A simulator with these limits, on the still clock."""

    async def start_limited(**limits: Any) -> Simulator:
        simulator = await start(**limits)
        simulator.simulation.now = clock
        simulator.simulation.wall = lambda: WALL + clock.now - 1000
        return simulator

    return start_limited
