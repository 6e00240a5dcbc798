"""A simulator for each test, and callers of tasks that talk to it through the unmodified SDKs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from streams.providers import TaskCaller, make_caller
from streams.simulator import Simulator, SimulatorSettings, serve
from tests.operations.conftest import items_of

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-key-of-the-test", "VOYAGE_API_KEY": "pa-key-of-the-test"}
TEXTS = ["It works very well.", "It broke on the first day.", "It is a box.", "I love it."]
ITEMS = items_of(TEXTS)
LABELS = ("positive", "negative", "neutral")

Simulate = Callable[..., Awaitable[Simulator]]
Call = Callable[..., TaskCaller]


def task_of(operation: str, **more: Any) -> Any:
    """A task's settings as far as a caller looks at them."""
    voyage = operation == "embed"
    fields: dict[str, Any] = {
        "name": "t",
        "operation": operation,
        "provider": "voyage" if voyage else "anthropic",
        "model": "voyage-4" if voyage else "claude-haiku-5-5",
        "labels": LABELS,
        "instructions": "Judge the writer's opinion.",
        "schema": {"type": "object", "properties": {"product": {"type": "string"}}},
        "dimension": 256 if voyage else None,
        "input_type": "document" if voyage else None,
        "price": None,
        "calls": SimpleNamespace(timeout_s=5.0),
    }
    return SimpleNamespace(**{**fields, **more})


@pytest.fixture
async def simulate() -> AsyncIterator[Simulate]:
    """Starts a simulator that answers at once and plays the given rules."""
    started: list[Simulator] = []

    async def start(*rules: Mapping[str, Any], **settings: Any) -> Simulator:
        given = {"latency_ms": 0.0, "answers": "hash", **settings}
        started.append(await serve(SimulatorSettings(script=rules, **given)))
        return started[-1]

    yield start
    for simulator in started:
        await simulator.stop()


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """Makes callers; closes them at the end."""
    made: list[TaskCaller] = []

    def make(task: Any, simulator: Simulator | str, environ: Any = KEYS) -> TaskCaller:
        if isinstance(simulator, str):
            url = simulator
        else:
            url = simulator.voyage_url if task.provider == "voyage" else simulator.url
        settings = SimpleNamespace(base_url=url, api_key_file=None)
        made.append(make_caller(task, settings, environ=environ))
        return made[-1]

    yield make
    for caller in made:
        await caller.aclose()
