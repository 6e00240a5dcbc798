"""`streams replay` in live mode on a real broker: the range again, in order and complete."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from streams.jobs.judge import judge, outcome_of
from tests.integration.harness import eventually, items, publish
from tests.integration.replays import Process, positions, records_of, replayer
from tests.integration.simulated import Simulated, simulated

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

ITEMS = 4000
KILLS = 5
RECORDED_WITHIN_S = 2.0
"""An answer takes some ms to the broker, if the machine is not busy."""


async def test_a_range_is_done_again_in_order_and_counted(broker: Any, topic: Any) -> None:
    source = await topic(partitions=3)
    sent = await publish(broker.bootstrap, source, items(120, 3))
    with simulated() as api, replayer(broker, source, api) as replay:
        ended = replay("--from", "earliest", "--until", "latest")
        assert ended.code == 0, ended.err
        summary = ended.summary
        found = await records_of(broker, ended.run, f"{source}.out")
        assert (summary["run"], summary["state"], summary["mode"]) == (ended.run, "done", "live")
        assert (summary["items"], summary["results"]) == (120, 120)
        assert (summary["lost"], summary["duplicated"], summary["out_of_order"]) == (0, 0, 0)
        assert sorted(positions(found)) == sorted(sent)
        assert all(dict(record.headers)["streams-fingerprint"] for record in found)
        assert summary["calls"] == api.state()["requests"]


async def test_kills_lose_and_repeat_nothing_and_pay_for_a_microbatch_each_at_most(
    broker: Any, topic: Any, seed: int
) -> None:
    """G1, G2 of a replay: SIGKILL at random moments, each time the run goes on by its id. What is
    paid again was answered in the moment of a kill; how much that is, a busy machine decides."""
    chance = random.Random(seed)
    source = await topic(partitions=4)
    sent = await publish(broker.bootstrap, source, items(ITEMS, 4))
    kills: list[float] = []
    with (
        simulated(latency_ms=250.0) as api,
        replayer(broker, source, api, max_items=20, max_in_flight=4) as replay,
    ):
        process = replay.start("--from", "earliest")
        run = await told_run(process)
        for kill in range(KILLS):
            await called_more_than(api, (kill + 1) * ITEMS // 20 // (KILLS + 2))
            await asyncio.sleep(chance.random() * 0.3)
            process.kill()
            kills.append(time.time())
            process = replay.start("--resume", run)
        ended = process.wait(120)
        assert ended.code == 0, ended.err
        found = await records_of(broker, run, f"{source}.out", f"{source}.dead")
        outcomes = [outcome for record in found if (outcome := outcome_of(record)) is not None]
        assert judge(sent, outcomes) == (0, 0, 0)
        again = paid_again(api)
        late = [at for at in again if not any(0 < kill - at < RECORDED_WITHIN_S for kill in kills)]
        assert late == []
        assert len(again) <= KILLS * 20 * 4
        assert ended.summary["state"] == "done"


async def told_run(process: Process) -> str:
    """Wait until the run has an id, and its state says so."""
    await eventually(lambda: _says(process, "run "), 60, lambda: process.log)
    return process.log.split()[1]


async def _says(process: Process, text: str) -> bool:
    return text in process.log


async def called_more_than(api: Simulated, calls: int) -> None:
    async def reached() -> bool:
        return bool(api.state()["requests"] > calls)

    await eventually(reached, 90, lambda: f"{api.state()['requests']} of {calls} calls")


def paid_again(api: Simulated) -> list[float]:
    """When the first answer came of each item that was answered again. What was in flight at a kill
    has no answer."""
    first: dict[str, float] = {}
    again = []
    for call in sorted(api.journal(), key=lambda call: float(call["ended_at"])):
        for item in call["items"] if call["status"] == 200 else ():
            if item in first:
                again.append(first[item])
            first.setdefault(item, call["ended_at"])
    return again
