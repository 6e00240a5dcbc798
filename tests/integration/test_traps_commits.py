"""A commit never passes an item without an outcome (G3), whatever finishes first."""

from __future__ import annotations

import importlib.util
import signal

import pytest

from tests.integration.harness import committed, eventually, items, publish, read, verdict
from tests.integration.running import done, group_of, item, logged, watching, worker

pytestmark = pytest.mark.kafka


@pytest.mark.chaos
async def test_a_commit_never_passes_an_item_in_flight_and_a_kill_right_then_loses_nothing(
    broker, topic, tmp_path
):
    """The first call hangs while nine later ones have ended: Faust's own commit would pass it."""
    source, gate, called = await topic(), tmp_path / "gate", tmp_path / "called"
    records = [(None, item(n, wait=n == 0), 0) for n in range(100)]
    positions = await publish(broker.bootstrap, source, records)
    variables = {
        "TEST_GATE": str(gate),
        "TEST_CALLED": str(called),
        "TEST_MAX_ITEMS": "10",
        "TEST_CALL_S": "0.05",
    }

    async def nine_ended() -> bool:
        return called.exists() and len(called.read_text().splitlines()) == 9

    async with watching(broker, source, 1) as watch:
        with worker(broker, source, **variables) as process:
            await eventually(nine_ended, 60, lambda: process.log)
            until = watch.samples + 30  # ten commit intervals and more
            await eventually(lambda: _looked(watch, until), 60)
            process.signal(signal.SIGKILL)
            process.wait(10)
    assert watch.committed == [0]
    assert await read(broker.bootstrap, [f"{source}.out"]) == []
    gate.touch()
    with worker(broker, source, **variables) as process:
        await done(broker, process, source, [100])
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


async def _looked(watch, times: int) -> bool:
    return watch.samples >= times


@pytest.mark.chaos
async def test_at_no_moment_is_anything_committed_that_is_not_in_a_topic(broker, topic):
    """Sampled all the while, over unequal calls, results and dead letters, and a kill."""
    source = await topic(partitions=4)
    records = [(None, item(n, refuse=n % 10 == 3), n % 4) for n in range(4000)]
    positions = await publish(broker.bootstrap, source, records)
    async with watching(broker, source, 4) as watch:

        async def half_way() -> bool:
            return sum(watch.committed) > 1500

        with worker(broker, source, TEST_CALL_S="0.05") as process:
            await eventually(half_way, 90, lambda: process.log)
            process.signal(signal.SIGKILL)
            process.wait(10)
        with worker(broker, source, TEST_CALL_S="0.05") as process:
            await done(broker, process, source, [1000] * 4)
            assert process.stop() == 0, process.log
    assert watch.samples >= 3, "half way was seen, and more than once"
    assert watch.broken == []
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert (judged.lost, judged.out_of_order) == (0, 0)


async def test_two_tasks_in_one_worker_share_the_process_and_commit_both(broker, topic):
    """One group, one consumer, one producer; each task has its own window and its own sink."""
    first, second = await topic("first", partitions=2), await topic("second", partitions=3)
    one = await publish(broker.bootstrap, first, items(400, 2))
    two = await publish(broker.bootstrap, second, items(600, 3))
    with worker(broker, first, second) as process:
        await done(broker, process, first, [200] * 2)
        await done(broker, process, second, [200] * 3, group=group_of(first))
        assert process.stop() == 0, process.log
        assert process.summary["items"] == 1000
    for source, positions in ((first, one), (second, two)):
        judged, _ = await verdict(broker.bootstrap, source, positions)
        assert judged == (0, 0, 0)


async def test_a_worker_that_joins_and_leaves_in_order_makes_no_duplicate(broker, topic):
    """Rebalances without the opentracing package: the main branch of Faust is said to need it."""
    assert importlib.util.find_spec("opentracing") is None
    source = await topic(partitions=6)
    positions = await publish(broker.bootstrap, source, items(600, 6))
    slow = {"TEST_CALL_S": "0.2"}

    async def more_than(count: int) -> bool:
        return sum(await committed(broker.bootstrap, group_of(source), source, 6)) > count

    with worker(broker, source, **slow) as staying:
        await eventually(lambda: more_than(0), 60, lambda: staying.log)
        with worker(broker, source, **slow) as guest:
            await logged(guest, f"reading {source}")
            positions += await publish(broker.bootstrap, source, items(3000, 6))
            await eventually(lambda: more_than(1000), 60, lambda: guest.log)
            assert guest.stop() == 0, guest.log
            assert guest.summary["items"] > 0
            left = await more_than(3599)
        await done(broker, staying, source, [600] * 6)
        assert staying.stop() == 0, staying.log
    assert not left, "the guest left when all was done"
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


async def test_recovery_seeks_of_an_agents_table_do_not_disturb_the_lanes(broker, topic):
    """Faust's recovery seeks every partition (`perform_seek`) after each assignment."""
    source, agents = await topic("source", partitions=2), await topic("agents", partitions=2)
    positions = await publish(broker.bootstrap, source, items(2000, 2))
    await publish(broker.bootstrap, agents, [(None, b"word", n % 2) for n in range(50)])
    with worker(broker, source, TEST_AGENT=agents, TEST_CALL_S="0.02") as process:
        await done(broker, process, source, [1000] * 2)
        more = await publish(broker.bootstrap, source, items(100, 2))
        await done(broker, process, source, [1050] * 2)
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, positions + more)
    assert judged == (0, 0, 0)
