"""A source that is deleted under a worker is noticed, and nothing else is taken for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaError

from streams.errors import BrokerError
from streams.kafka.consume import sources


class Metadata:
    """A consumer's view of the topics. `known`: what it has; `there`: what the broker answers, or
    an error. `asked`: how often. `looks`: at the view; each is a second after the one before."""

    def __init__(self) -> None:
        self.known = {"source"}
        self.there: set[str] | Exception = {"source"}
        self.asked = 0
        self.looks = 0

    def partitions_for_topic(self, name: str) -> set[int] | None:
        self.looks += 1
        return {0} if name in self.known else None

    async def topics(self) -> set[str]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.there, Exception):
            raise self.there
        return self.there


@pytest.fixture
def metadata(monkeypatch) -> Metadata:
    metadata = Metadata()
    clock = SimpleNamespace(monotonic=lambda: float(metadata.looks))
    monkeypatch.setattr(sources, "time", clock)
    monkeypatch.setattr(sources, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(sources, "MISSING_AFTER_S", 10.0)
    return metadata


async def _watched(metadata: Metadata) -> list[BrokerError]:
    """What is told within thirty looks."""
    gone: list[BrokerError] = []
    watching = asyncio.ensure_future(sources.watch_sources(metadata, ["source"], gone.append))
    while metadata.looks < 30 and not watching.done():  # noqa: ASYNC110  nothing tells us
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return gone


async def test_while_every_source_is_known_the_broker_is_asked_nothing(metadata):
    assert await _watched(metadata) == []
    assert metadata.asked == 0


async def test_a_source_that_is_missing_for_a_while_is_told_once(metadata):
    metadata.known, metadata.there = set(), {"other"}
    (error,) = await _watched(metadata)
    assert "the source topic source was deleted" in str(error)
    assert metadata.looks == 11


@pytest.mark.parametrize("there", [{"source"}, KafkaError("no broker answers")])
async def test_what_the_broker_has_or_cannot_say_is_not_gone(metadata, there):
    """A cluster's view is renewed now and then; a broker that restarts answers nothing."""
    metadata.known, metadata.there = set(), there
    assert await _watched(metadata) == []
    assert metadata.asked > 1


async def test_a_source_that_comes_back_in_time_is_not_gone(metadata):
    """A broker that has just started may not know every topic yet."""
    metadata.known, metadata.there = set(), set()

    async def come_back() -> None:
        while metadata.asked < 3:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0)
        metadata.there = {"source"}

    coming = asyncio.ensure_future(come_back())
    assert await _watched(metadata) == []
    await coming
