"""More calls at once than the connection pools of the SDKs allow by themselves."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.providers.conftest import ITEMS, task_of

AT_A_TIME = 100
CALLS = 1_500
"""The pool of the Anthropic SDK has 1,000 places, that of aiohttp 100."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of every connection are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * CALLS + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this system lets a process open {hard} files, {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("operation", ["classify", "embed"])
async def test_1500_calls_are_really_under_way_at_once(operation, simulate, call, monkeypatch):
    """Those above the pool's limit waited for a place unsent, and timed out."""
    # Both ends share one thread: how long a connection takes says how busy the machine is.
    monkeypatch.setattr("streams.providers.anthropic._CONNECT_S", 600.0)
    monkeypatch.setattr("streams.providers.voyage._CONNECT_S", 600.0)
    simulator = await simulate({"fault": "hang"})
    caller = call(task_of(operation, calls=SimpleNamespace(timeout_s=600.0)), simulator)
    calls: list[asyncio.Task[Any]] = []
    async with asyncio.timeout(250):
        while len(calls) < CALLS:
            calls += [asyncio.create_task(caller(ITEMS[:1])) for _ in range(AT_A_TIME)]
            while simulator.state()["max_concurrent"] < len(calls):
                assert [task.exception() for task in calls if task.done()] == []
                await asyncio.sleep(0.02)
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
