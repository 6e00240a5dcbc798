"""What workers tell each other of a limit goes through a topic of their group."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from streams.codec.limit_records import LimitRecord
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.client import connected
from streams.kafka.topics import describe
from streams.policies.limit_parts import Word
from streams.worker.limit_topic import start_limit_topic
from tests.integration.harness import eventually

pytestmark = pytest.mark.kafka


def record(worker: str, at: float) -> LimitRecord:
    return LimitRecord("limit", worker, Word(0.5, (1.0, 2.0, 3.0), (True, False, False), at))


async def test_words_reach_all_workers_that_listen_and_nobody_hears_old_ones(broker, topic):
    source = await topic(partitions=2)
    keywords = {"bootstrap_servers": broker.bootstrap}
    heard: dict[str, list[LimitRecord]] = {"a": [], "b": []}
    async with contextlib.AsyncExitStack() as stack:
        listening = []
        for name, took in heard.items():
            made = await start_limit_topic(source, source, keywords, took.append)
            stack.push_async_callback(made.stop)
            await made.append([record(name, 0.0)])
            listening.append((name, made))
        for _, made in listening:
            following = asyncio.create_task(made.follow())
            stack.callback(following.cancel)
        for name, made in listening:
            await made.append([record(name, 1.0)])
        latest = [record("a", 1.0), record("b", 1.0)]

        async def all_heard() -> bool:
            return all(took[-2:] == latest for took in heard.values())

        await eventually(all_heard, 30, lambda: str(heard))
        assert record("a", 0.0) not in heard["b"]
        async with connected(Admin(**keywords), broker.bootstrap) as admin:
            facts = (await describe(admin, [f"{source}.limits"]))[f"{source}.limits"]
    assert facts.partitions == 1
    assert facts.settings["cleanup.policy"] == "compact,delete"


async def test_without_its_source_the_topic_is_not_made(broker):
    keywords = {"bootstrap_servers": broker.bootstrap}
    with pytest.raises(BrokerError, match="does not exist"):
        await start_limit_topic("limits-of-nobody", "no-such-source", keywords, print)
