"""The web app of the examples: its handlers share calls, and a client that goes disturbs none."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.examples.programs import END_WITHIN_S, ran, running
from tests.integration.harness import eventually
from tests.integration.simulated import LABELS, Simulated, simulated


@pytest.fixture
def api() -> Iterator[Simulated]:
    with simulated(latency_ms=0) as running_api:
        yield running_api


@pytest.fixture
def app(api: Simulated, tmp_path: Path) -> Iterator[Any]:
    with running("web_app", api=api, cwd=tmp_path, PORT="0") as process:
        yield process


def address_of(process: Any) -> str:
    """Where it listens, once it does."""
    deadline = time.monotonic() + END_WITHIN_S
    for line in process.stderr:
        assert time.monotonic() < deadline
        if found := re.search(r"running on (http://\S+)", line.decode()):
            return found[1]
    raise AssertionError("it ended")


def test_fifty_requests_at_once_share_a_few_calls_and_the_end_is_orderly(
    app: Any, api: Simulated, tmp_path: Path
) -> None:
    lines, _ = ran("web_client", address_of(app), api=api, cwd=tmp_path)
    assert {line.split()[0] for line in lines[:5]} <= set(LABELS)
    assert lines[5].startswith("50 requests in ")
    assert 3 <= api.state()["calls"] <= 10, "50 calls without a coalescer"
    assert lines[6].startswith("50 texts, ")
    app.send_signal(signal.SIGTERM)
    assert b"Application shutdown complete" in app.communicate(END_WITHIN_S)[1]


class Client:
    """Asks the app."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, text: str) -> None:
        async with self._session.post("/label", json={"text": text}) as reply:
            await reply.read()

    async def statistics(self) -> dict[str, Any]:
        async with self._session.get("/statistics") as reply:
            found: dict[str, Any] = await reply.json()
            return found

    async def until(self, **counts: int) -> None:
        """Waits for these statistics."""
        now: dict[str, Any] = {}

        async def reached() -> bool:
            now.update(await self.statistics())
            return counts.items() <= now.items()

        await eventually(reached, END_WITHIN_S, lambda: str(now))


async def test_a_client_that_goes_takes_its_text_along(app: Any, api: Simulated) -> None:
    """All five calls are under way: the text of a sixth waits, and leaves without a call."""
    api.script({"fault": "hang"})
    async with aiohttp.ClientSession(address_of(app)) as session:
        client, asking = Client(session), []
        for n in range(1, 6):
            asking.append(asyncio.ensure_future(client.ask(f"text {n}")))
            await client.until(in_flight=n)
        asking.append(asyncio.ensure_future(client.ask("the sixth")))
        await client.until(pending=6, waiting=1)
        asking[-1].cancel()
        await client.until(pending=5, waiting=0)
        assert (await client.statistics())["items"] == 5
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await client.until(pending=0)
