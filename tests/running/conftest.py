"""Both doors as one fixture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.running.doors import Run, over_a_list, over_a_topic


@pytest.fixture(params=[over_a_list, over_a_topic], ids=["list", "topic"])
def run(request: pytest.FixtureRequest) -> Run:
    door: Run = request.param
    return door


@pytest.fixture
async def no_call_left() -> AsyncIterator[None]:
    yield
    assert [each for each in asyncio.all_tasks() if each.get_name().startswith("streams-")] == []
