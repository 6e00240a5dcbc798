"""Stops at bad moments (G9): while the group is between two assignments, without a partition, with
a call that never ends."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.integration.harness import committed, items, publish, verdict
from tests.integration.running import done, group_of, item, logged, worker
from tests.patience import Stopwatch

pytestmark = pytest.mark.kafka

STOP_WITHIN = "shutdown_timeout_s = 10"


@pytest.mark.chaos
async def test_sigterm_while_the_group_waits_for_a_frozen_member_is_exit_code_0(broker, topic):
    """The flow is stopped by the rebalance; Faust's worker ended with 1 here."""
    source = await topic(partitions=3)
    positions = await publish(broker.bootstrap, source, items(30, 3))
    with (
        worker(broker, source, settings=STOP_WITHIN) as leaving,
        worker(broker, source, settings=STOP_WITHIN) as frozen,
    ):
        await logged(leaving, "reading")
        await logged(frozen, "reading")
        await done(broker, leaving, source, [10] * 3)
        frozen.signal(signal.SIGSTOP)
        with worker(broker, source, settings=STOP_WITHIN) as coming:
            await logged(leaving, "rebalanc")
            leaving.signal(signal.SIGTERM)
            stopping = Stopwatch()
            assert leaving.wait(30) == 0, leaving.log
            assert stopping.took_s < 11
            positions += await publish(broker.bootstrap, source, items(30, 3))
            await done(broker, coming, source, [20] * 3)
            assert coming.stop() == 0, coming.log
        frozen.signal(signal.SIGCONT)
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


async def test_a_worker_without_a_partition_waits_and_stops_with_0(broker, topic):
    """More workers than partitions: the one too many takes over when another leaves."""
    source = await topic()
    positions = await publish(broker.bootstrap, source, items(10, 1))
    with worker(broker, source) as first:
        await done(broker, first, source, [10])
        with worker(broker, source) as spare, worker(broker, source) as third:
            await logged(spare, "reading")  # or "reading nothing"
            await logged(third, "reading")
            assert third.stop() == 0, third.log
            assert first.stop() == 0, first.log
            positions += await publish(broker.bootstrap, source, items(10, 1))
            await done(broker, spare, source, [20])
            assert spare.stop() == 0, spare.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


async def test_a_call_that_never_ends_is_handed_back_in_time(broker, topic, tmp_path):
    """Exit code 0: all that has an outcome is committed. The next worker calls again."""
    source, gate = await topic(partitions=2), tmp_path / "gate"
    records = [(None, item(n, wait=n >= 20), n % 2) for n in range(40)]
    positions = await publish(broker.bootstrap, source, records[:20])
    variables = {"TEST_GATE": str(gate), "TEST_MAX_ITEMS": "5"}
    with worker(broker, source, settings="shutdown_timeout_s = 4", **variables) as process:
        await done(broker, process, source, [10, 10])
        positions += await publish(broker.bootstrap, source, records[20:])
        await asyncio.sleep(0.5)  # for the calls to begin
        stopping = Stopwatch()
        assert process.stop() == 0, process.log
        assert stopping.took_s < 5
    gate.touch()
    with worker(broker, source, **variables) as process:
        await done(broker, process, source, [20, 20])
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert sum(await committed(broker.bootstrap, group_of(source), source, 2)) == 40
