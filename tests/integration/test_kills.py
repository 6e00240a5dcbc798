"""Workers that are killed: nothing lost, nothing out of order."""

from __future__ import annotations

import random
import signal

import pytest

from tests.integration.harness import (
    WorkerProcess,
    committed,
    eventually,
    items,
    publish,
    verdict,
)
from tests.integration.running import logged

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

PARTITIONS = 12
ITEMS = 12_000


async def test_two_workers_and_four_kills_lose_and_reorder_nothing(broker, topic, seed):
    """G1, G2, G3: duplicates come only from results delivered after the last commit."""
    chance = random.Random(seed)
    source = await topic(partitions=PARTITIONS)
    group = f"{source}-group"
    positions = await publish(broker.bootstrap, source, items(ITEMS, PARTITIONS))
    variables = {"TEST_SOURCE": source, "TEST_CALL_S": "0.05"}

    def start() -> WorkerProcess:
        return WorkerProcess(broker.bootstrap, group, variables=variables)

    async def done_more_than(count: int) -> bool:
        return sum(await committed(broker.bootstrap, group, source, PARTITIONS)) > count

    workers = [start(), start()]
    try:
        for kill in range(4):
            goal = ITEMS * (kill + 1) // 6
            await eventually(lambda goal=goal: done_more_than(goal), 90, lambda: workers[0].log)
            victim = chance.randrange(2)
            workers[victim].signal(signal.SIGKILL)
            workers[victim].close()
            workers[victim] = start()
        await eventually(lambda: done_more_than(ITEMS - 1), 120, lambda: workers[0].log)
        for worker in workers:
            await logged(worker, "reading")  # the newest may only just have come
        codes = [worker.stop() for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert codes == [0, 0]
    assert (judged.lost, judged.out_of_order) == (0, 0), judged
    # 100 ms between commits, at most 5 calls of 20 items in 25 ms: a kill repeats a few hundred.
    assert judged.duplicated <= 4 * 1000
