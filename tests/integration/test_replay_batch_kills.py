"""Batch mode at its worst, on a real broker: kills, while the API errs, expires and cuts."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from streams.jobs.judge import judge, outcome_of
from tests.integration.harness import eventually, items, publish
from tests.integration.replays import Process, records_of, replayer, told_run
from tests.integration.simulated import Simulated, simulated

pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.needs("version_4")]

FAULTS = [
    {"fault": "overloaded", "endpoint": "batch_request", "every": 33},
    {"fault": "expired", "endpoint": "batch_request", "every": 50},
    {"fault": "missing", "endpoint": "batch_request", "every": 50},
    {"fault": "truncated_body", "endpoint": "batch_results", "times": 1},
]
"""3 % errored, 2 % expired, 1 % of the answers incomplete (one of two in 2 %), a cut stream; the
simulator shuffles results by itself."""


@pytest.mark.parametrize(
    ("count", "max_items", "kills", "batch_s"),
    [(1200, 4, 3, 15), pytest.param(20_000, 2, 8, 30, marks=pytest.mark.thorough)],
)
async def test_kills_lose_repeat_and_answer_nothing_twice(
    broker: Any, topic: Any, seed: int, count: int, max_items: int, kills: int, batch_s: int
) -> None:
    """The first kill comes in the moment in which the API has the batch and we have no record."""
    chance = random.Random(seed)
    source = await topic(partitions=3)
    sent = await publish(broker.bootstrap, source, items(count, 3))
    with (
        simulated(batch_ms=1000.0 * batch_s, latency_ms=20.0) as api,
        replayer(broker, source, api, max_items=max_items, max_in_flight=4) as replay,
    ):
        api.script(*FAULTS)
        process = replay.start("--from", "earliest", "--mode", "batch")
        run = await told_run(process)
        await has_batches(api, 1, process)
        for _ in range(kills):
            assert process.runs, "it was done before the last kill"
            process.kill()
            process = replay.start("--resume", run)
            await asyncio.sleep(chance.uniform(2, 10))
        ended = process.wait(280)
        assert ended.code == 0, ended.err
        summary = ended.summary
        found = await records_of(broker, run, f"{source}.out", f"{source}.dead")
        outcomes = [outcome for record in found if (outcome := outcome_of(record)) is not None]
        assert judge(sent, outcomes) == (0, 0, 0)
        assert (summary["items"], summary["results"]) == (count, count)
        twice = [each for each in api.batch_requests() if each["answered"] > 1]
        assert twice == []
        assert not repeated_params(api)


def repeated_params(api: Simulated) -> list[str]:
    """Requests that were answered under two names."""
    answered = [
        params
        for each in api.batch_requests()
        if each["answered"]
        for params in each["params"][: each["answered"]]
    ]
    return sorted({params for params in answered if answered.count(params) > 1})[:10]


async def has_batches(api: Simulated, count: int, process: Process) -> None:
    async def reached() -> bool:
        return len(api.batches()) >= count

    await eventually(reached, 60, lambda: process.log)
