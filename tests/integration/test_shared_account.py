"""Two tasks of one worker on the same model have one account: what pauses one pauses both."""

from __future__ import annotations

import os
from typing import Any

import pytest

from streams.simulator.journal import item_hash
from tests.integration.harness import publish
from tests.integration.running import done, item, worker
from tests.integration.simulated import API_KEY, Simulated, classifies, simulated

pytestmark = pytest.mark.kafka

RETRY_AFTER_S = 5
ON_ITS_WAY_S = RETRY_AFTER_S / 2
"""For so long calls may still arrive that began before the worker heard of the 429, on a busy
machine; no more than were in flight."""
IN_FLIGHT = 2 * 3
"""Calls of both tasks at once, at most."""


def two_tasks(first: str, second: str, simulator: Simulated) -> str:
    other = classifies(second, simulator).replace('"sentiment"', '"mood"').split("[provider")[0]
    return other + classifies(first, simulator)


async def test_a_429_that_one_task_gets_keeps_both_from_calling_and_one_of_them_probes(
    broker: Any, topic: Any
) -> None:
    sources = [await topic(), await topic()]
    texts = {
        source: [f"{source} says so for the {n}th time" for n in range(150)] for source in sources
    }
    for source in sources:
        records = [(None, item(n, text), 0) for n, text in enumerate(texts[source])]
        await publish(broker.bootstrap, source, records)
    task_of = {item_hash(text): source for source in sources for text in texts[source]}
    with simulated(latency_ms=100.0) as simulator:
        rule = {"fault": "rate_limited", "retry_after_s": RETRY_AFTER_S, "calls": "8"}
        simulator.script(rule)
        with worker(
            broker,
            *sources,
            app=None,
            config=two_tasks(*sources, simulator),
            ANTHROPIC_API_KEY=API_KEY,
            NO_PROXY=os.environ.get("NO_PROXY", "127.0.0.1"),
        ) as process:
            for source in sources:
                await done(broker, process, source, [150], group=f"{sources[0]}-group")
            assert process.stop() == 0, process.log
            log = process.log
        calls = sorted(simulator.journal(), key=lambda call: call["arrived_at"])
    (refused,) = [call for call in calls if call["status"] == 429]
    on_its_way = refused["ended_at"] + ON_ITS_WAY_S
    before = [call for call in calls if call["arrived_at"] <= on_its_way]
    after = calls[len(before) :]
    late = [call for call in before if call["arrived_at"] > refused["ended_at"]]
    assert len(late) < IN_FLIGHT, "the others that were on their way"
    probe, second = after[:2]
    assert probe["arrived_at"] - refused["ended_at"] >= RETRY_AFTER_S
    assert second["arrived_at"] >= probe["ended_at"], "one probe, and no other call beside it"
    for some in (before, after):
        assert {task_of[call["items"][0]] for call in some} == set(sources)
    assert log.count("is paused (throttled)") >= 2, "each task says why it waits"
