"""A function that fails for everything is not a topic of dead letters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.harness import eventually, publish, read, verdict
from tests.integration.running import done, item, logged, worker

pytestmark = pytest.mark.kafka

ROUND = 5 * 10
"""Items that may be in flight, whatever has been decided by then."""


async def test_a_function_that_raises_for_everything_pauses_the_task_until_it_works_again(
    broker, topic, tmp_path: Path
):
    source = await topic(partitions=4)
    records = [(None, item(n, f"secret {n}"), n % 4) for n in range(1200)]
    positions = await publish(broker.bootstrap, source, records)
    mended = tmp_path / "mended"
    with worker(
        broker, source, TEST_MENDED=str(mended), TEST_MAX_ITEMS="10", TEST_MAX_IN_FLIGHT="5"
    ) as process:
        await logged(process, "is paused (breaker)")

        async def has_probed() -> bool:
            return process.log.count("is paused (breaker)") > 3

        await eventually(has_probed, 60, lambda: process.log)
        held = len(await read(broker.bootstrap, [f"{source}.dead"]))
        await asyncio.to_thread(mended.touch)
        await done(broker, process, source, [300] * 4)
        assert process.stop() == 0, process.log
        log, summary = process.log, process.summary
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    dead = [record for record in found if record.topic == f"{source}.dead"]
    assert 0 < held <= len(dead) <= 100 + ROUND + 20
    assert summary["results"] == 1200 - len(dead)
    assert log.count("ERROR task measure is paused (breaker)") == 1
    assert "100 items in a row are dead letters, the last: function_error: Connection" in log
    assert "task measure goes on" in log
    assert "secret" not in log
