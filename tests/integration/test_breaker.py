"""A function that fails for everything is not a topic of dead letters; those there are go again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.command import streams
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
        judged, found = await verdict(broker.bootstrap, source, positions)
        assert judged == (0, 0, 0)
        dead = [record for record in found if record.topic == f"{source}.dead"]
        assert 0 < held <= len(dead) <= 100 + ROUND + 20
        again = streams("dead", "redrive", f"{source}.dead", "--broker", broker.bootstrap)
        assert again.code == 0, again.err
        more = Counter(record.partition for record in dead)
        await done(broker, process, source, [300 + more[n] for n in range(4)])
        assert process.stop() == 0, process.log
        log, summary = process.log, process.summary
    assert (summary["dead_letters"], summary["results"]) == (len(dead), 1200)
    results = await read(broker.bootstrap, [f"{source}.out"])
    assert sorted(json.loads(record.value)["id"] for record in results) == list(range(1200))
    assert log.count("ERROR task measure is paused (breaker)") == 1
    assert "100 items in a row are dead letters, the last: function_error: Connection" in log
    assert "task measure goes on" in log
    assert "secret" not in log


async def test_an_item_that_fails_again_counts_how_often_it_was_sent(broker, topic):
    source = await topic()
    bad = item(1, refuse=True)
    await publish(broker.bootstrap, source, [(b"key", bad, 0), (None, item(2), 0)])
    with worker(broker, source) as process:
        for times in range(1, 4):
            await done(broker, process, source, [times + 1])
            dead = await read(broker.bootstrap, [f"{source}.dead"])
            assert len(dead) == times
            letter = dead[-1]
            assert (letter.key, letter.value) == (b"key", bad)
            names = [name for name, _ in letter.headers]
            assert names.count("streams-error-code") == 1
            counts = [value for name, value in letter.headers if name == "streams-redriven"]
            assert counts == ([b"%d" % (times - 1)] if times > 1 else [])
            assert (
                streams("dead", "redrive", f"{source}.dead", "--broker", broker.bootstrap).code == 0
            )
        await done(broker, process, source, [5])
        assert process.stop() == 0, process.log
