"""Room is bounded and shared (G8): backlogs, large values, back-pressure that comes and goes."""

from __future__ import annotations

import psutil
import pytest

from tests.integration.harness import committed, eventually, publish, verdict
from tests.integration.running import done, group_of, item, logged, worker
from tests.patience import Stopwatch

pytestmark = pytest.mark.kafka


def _partitions(called: str) -> list[int]:
    """The items' partitions in the order in which their calls ended."""
    return [int(place.split("/")[0]) for place in called.split()]


async def test_twelve_partitions_with_a_backlog_are_served_in_turn(broker, topic, tmp_path):
    """aiokafka drains one partition after the other: 20,000 records of one before the next."""
    source, called = await topic(partitions=12), tmp_path / "called"
    records = [(None, item(n, "x" * 200), n % 12) for n in range(12_000)]
    await publish(broker.bootstrap, source, records)
    with worker(broker, source, TEST_CALLED=str(called), TEST_CALL_S="0.01") as process:
        await done(broker, process, source, [1000] * 12)
        assert process.stop() == 0, process.log
    order = _partitions(called.read_text())
    assert set(order[:2000]) == set(range(12)), order[:2000]
    # No partition is done before each of the others is half-way.
    first_done = min(len(order) - order[::-1].index(n) for n in range(12))
    shares = [order[:first_done].count(n) / 1000 for n in range(12)]
    assert min(shares) > 0.5, shares


async def test_an_item_now_and_then_is_not_held_back_by_a_backlog_of_20000(broker, topic):
    """Its partition gets its turn while the other's backlog is far from done."""
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(20_000)])
    lead = []
    with worker(broker, source, TEST_CALL_S="0.05") as process:

        async def at(partition: int) -> int:
            return (await committed(broker.bootstrap, group_of(source), source, 2))[partition]

        async def reached(partition: int, offset: int) -> bool:
            return await at(partition) >= offset

        for number in range(1, 4):
            await eventually(lambda n=number: reached(0, 1000 * n), 60, lambda: process.log)
            before = await at(0)
            await publish(broker.bootstrap, source, [(None, item(-number), 1)])
            await eventually(lambda n=number: reached(1, n), 60, lambda: process.log)
            lead.append(await at(0) - before)
        rest = 20_000 - await at(0)
        assert process.stop() == 0, process.log
    assert rest > 2000, (rest, lead)


async def test_values_of_nearly_a_megabyte_stay_within_the_budget(broker, topic, tmp_path):
    """200 of 900 kB, `max_buffered_mb` = 16, while nothing can be delivered: reading stops; then
    all of it passes. Allowances are counted in bytes, so `max_poll_records` plays no part."""
    source, gate = await topic(partitions=4), tmp_path / "gate"
    value = "x" * 900_000
    records = [(None, item(n, value, wait=True), n % 4) for n in range(200)]
    positions = await publish(broker.bootstrap, source, records)
    with worker(
        broker, source, settings="max_buffered_mb = 16", TEST_GATE=str(gate), TEST_TEXT="/id"
    ) as process:
        await logged(process, f"reading {source}")
        running = psutil.Process(process.process.pid)
        base_mb = running.memory_info().rss / 1e6
        sizes = [base_mb]

        async def level() -> bool:
            """Ten looks in a row without growth: reading has stopped."""
            sizes.append(running.memory_info().rss / 1e6)
            return len(sizes) > 30 and max(sizes[-10:]) - min(sizes[-10:]) < 0.5

        await eventually(level, 60, lambda: str(sizes))
        held_mb = sizes[-1] - base_mb
        gate.touch()
        await done(broker, process, source, [50] * 4)
        peak_mb = max(sizes[-1], running.memory_info().rss / 1e6)
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert held_mb < 48, sizes
    assert peak_mb - base_mb < 100, (base_mb, peak_mb)


async def test_back_pressure_that_comes_and_goes_costs_no_second_each_time(broker, topic):
    """Faust's own resume costs 0.85 s. With room for a few calls' items only, the time of the run
    stays near that of its calls."""
    source, running = await topic(), Stopwatch()
    text = "x" * 5000
    records = [(None, item(n, text), 0) for n in range(600)]
    positions = await publish(broker.bootstrap, source, records)
    with worker(
        broker,
        source,
        settings="max_buffered_mb = 1",
        TEST_CALL_S="0.04",
        TEST_MAX_IN_FLIGHT="1",
        TEST_MAX_ITEMS="10",
    ) as process:
        await done(broker, process, source, [600])
        assert process.stop() == 0, process.log
        summary = process.summary
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    ideal_s = summary["calls"] * summary["one_call_per_item_s"] / summary["items"]
    # 500 kB are room for some 40 such items, so that it is filled up again 30 times and more.
    assert summary["elapsed_s"] < 1.5 * ideal_s + 3 + running.waited_s, summary
