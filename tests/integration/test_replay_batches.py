"""`streams replay --mode batch` on a real broker, against the simulator's Message Batches."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from streams.jobs.judge import judge, outcome_of
from tests.integration.harness import eventually, items, publish
from tests.integration.replays import Replayer, records_of, replayer, told_run
from tests.integration.simulated import Simulated, simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


async def test_a_range_goes_through_batches_at_half_price_in_order(broker: Any, topic: Any) -> None:
    source = await topic(partitions=3)
    sent = await publish(broker.bootstrap, source, [*items(300, 3), (b"bad", b"no JSON", 1)])
    with simulated() as api, replayer(broker, source, api) as replay:
        live = replay("--from", "earliest", "--into", f"{source}.live")
        assert live.code == 0, live.err
        ended = replay("--from", "earliest", "--mode", "batch")
        assert ended.code == 0, ended.err
        summary = ended.summary
        assert (summary["mode"], summary["state"]) == ("batch", "done")
        assert (summary["items"], summary["results"], summary["dead_letters"]) == (301, 300, 1)
        assert summary["cost_usd"] <= 0.53 * live.summary["cost_usd"]  # a canary is live
        found = await records_of(broker, ended.run, f"{source}.out", f"{source}.dead")
    outcomes = [outcome for record in found if (outcome := outcome_of(record)) is not None]
    assert judge(sent, outcomes) == (0, 0, 0)


async def test_an_interrupted_run_leaves_its_batch_and_finds_it_again(
    broker: Any, topic: Any
) -> None:
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, items(200, 2))
    with simulated(batch_ms=15_000.0) as api, replayer(broker, source, api) as replay:
        process = replay.start("--from", "earliest", "--mode", "batch")
        run = await told_run(process)
        await submitted(api, 1)
        await eventually(lambda: _listed(replay, run, "running"), 30)
        process.signal(signal.SIGINT)
        left = process.wait(20)
        assert left.code == 130, left.err
        assert f"1 batches go on at the API; `streams replay --resume {run}` goes on" in left.err
        ended = replay("--resume", run)
        assert ended.code == 0, ended.err
        assert (ended.summary["results"], len(api.batches())) == (200, 1)


@pytest.mark.parametrize("lives", [True, False], ids=["while it runs", "after a kill"])
async def test_a_cancelled_run_cancels_its_batches_and_keeps_what_is_answered(
    broker: Any, topic: Any, lives: bool
) -> None:
    source = await topic()
    await publish(broker.bootstrap, source, items(100, 1))
    with simulated(batch_ms=600_000.0) as api, replayer(broker, source, api) as replay:
        process = replay.start("--from", "earliest", "--mode", "batch")
        run = await told_run(process)
        await submitted(api, 1)
        await asyncio.sleep(1)
        if not lives:
            process.kill()
        cancelled = replay("--cancel", run)
        assert cancelled.code == 0, cancelled.err
        if lives:
            assert process.wait(30).code == 1, process.log
        assert [line["state"] for line in replay("--list").lines] == ["cancelled"]
        assert [batch["status"] for batch in api.batches()] == ["ended"]


async def submitted(api: Simulated, count: int) -> None:
    async def reached() -> bool:
        return len(api.batches()) >= count

    await eventually(reached, 60, lambda: f"{len(api.batches())} of {count} batches")


async def _listed(replay: Replayer, run: str, state: str) -> bool:
    return [(line["run"], line["state"]) for line in replay("--list").lines] == [(run, state)]
