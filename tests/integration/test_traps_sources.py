"""Source topics that are not a gapless log for ever: transactions, compaction, more partitions, cut
off, deleted."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from tests.integration.guarantees import GUARANTEES
from tests.integration.harness import committed, eventually, publish, read, verdict
from tests.integration.running import done, group_of, item, logged, worker
from tests.integration.topics import delete_records, delete_topic, grow_topic

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]


@pytest.mark.needs("transactions")
@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_aborted_records_are_not_processed_and_gaps_and_markers_stall_nothing(
    broker, topic, guarantee
):
    """`read_committed`; offsets of markers are gaps, and a log can end with one. It is committed,
    too: when the log has let go of it nobody may say that records were lost."""
    source = await topic()
    settings = f'guarantee = "{guarantee}"'
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, transactional_id=f"{source}-producer"
    )
    await producer.start()
    number = 0
    aborted = set()
    try:
        for round_ in range(9):
            await producer.begin_transaction()
            for _ in range(10):
                await producer.send(source, item(number), partition=0)
                if round_ % 3 == 1:
                    aborted.add(number)
                number += 1
            if round_ % 3 == 1:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
        with worker(broker, source, settings=settings, TEST_CALL_S="0.01") as process:
            end = number + 9  # nine markers, the last of them at the end
            await done(broker, process, source, [end])
            await producer.begin_transaction()
            await producer.send(source, item(number), partition=0)
            (sent,) = [await producer.send(source, item(number + 1), partition=0)]
            await sent  # written, and not yet to be read
            first = await _ids(broker, source)
            await producer.commit_transaction()
            await done(broker, process, source, [end + 3])
            assert process.stop() == 0, process.log
        await delete_records(broker.bootstrap, source, 0, end + 3)
        with worker(broker, source, settings=settings) as process:
            await logged(process, f"reading {source}/0")
            assert process.stop() == 0, process.log
    finally:
        await producer.stop()
    expected = [n for n in range(number) if n not in aborted]
    assert first == expected
    assert await _ids(broker, source) == [*expected, number, number + 1]


async def _ids(broker, source: str) -> list[int]:
    return [orjson.loads(r.value)["id"] for r in await read(broker.bootstrap, [f"{source}.out"])]


@pytest.mark.needs("create_partitions")
async def test_partitions_added_to_a_live_source_are_read_and_routed_by_key(broker, topic):
    """The sink has fewer partitions from then on: by key, keyless ones by source partition mod
    sink partitions."""
    source = await topic(partitions=2)
    positions = await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(20)])
    with worker(broker, source, TEST_METADATA_MS="2000") as process:
        await done(broker, process, source, [10, 10])
        await grow_topic(broker.bootstrap, source, 5)
        await logged(process, "5 source partitions, 2 of the sink")
        late = [(b"key-%d" % n if n % 2 else None, item(100 + n), n % 5) for n in range(100)]
        positions += await publish(broker.bootstrap, source, late)
        await done(broker, process, source, [30, 30, 20, 20, 20])
        assert process.stop() == 0, process.log
    judged, found = await verdict(broker.bootstrap, source, positions)
    assert (judged.lost, judged.duplicated) == (0, 0)
    partitioner = DefaultPartitioner()
    for record in found:
        envelope = orjson.loads(record.value)
        if envelope["id"] < 100:
            continue
        if record.key is None:
            assert record.partition == envelope["source"]["partition"] % 2
        else:
            assert record.partition == partitioner(record.key, [0, 1], [0, 1])
    assert judged.out_of_order == 0


@pytest.mark.needs("create_partitions")
async def test_a_start_at_latest_passes_over_nothing_of_partitions_that_are_added(broker, topic):
    """It is for a group without offsets: what came before the group began is not its business,
    all that comes later is."""
    source = await topic()
    settings = 'start = "latest"'
    await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(10)])
    with worker(broker, source, settings=settings, TEST_METADATA_MS="3000") as process:
        await done(broker, process, source, [10])
        await grow_topic(broker.bootstrap, source, 2)
        await publish(broker.bootstrap, source, [(None, item(n), 1) for n in range(100, 110)])
        await done(broker, process, source, [10, 10])
        assert process.stop() == 0, process.log
        assert process.summary["items"] == 10
    await grow_topic(broker.bootstrap, source, 3)
    await publish(broker.bootstrap, source, [(None, item(n), 2) for n in range(200, 210)])
    with worker(broker, source, settings=settings) as process:
        await done(broker, process, source, [10, 10, 10])
        assert process.stop() == 0, process.log
    assert sorted(await _ids(broker, source)) == [*range(100, 110), *range(200, 210)]


async def test_a_source_that_is_cut_off_below_the_worker_ends_it_with_1_and_one_line(broker, topic):
    """Retention overtook it: never a silent restart from somewhere else."""
    source = await topic()
    records = [(None, item(n, "x" * 2000), 0) for n in range(2000)]
    await publish(broker.bootstrap, source, records)
    settings = "max_buffered_mb = 1"
    with worker(broker, source, settings=settings, TEST_CALL_S="0.5") as process:
        await eventually(lambda: _some(broker, source), 60, lambda: process.log)
        await delete_records(broker.bootstrap, source, 0, 2000)
        assert process.wait(60) == 1, process.log
        assert "out of range" in process.log
        assert "Traceback" not in process.log


async def _some(broker, source: str) -> bool:
    return sum(await committed(broker.bootstrap, group_of(source), source, 1)) > 0


async def test_a_source_that_is_deleted_ends_the_worker_with_1_and_one_line(broker, topic):
    source = await topic(partitions=2)
    await publish(broker.bootstrap, source, [(None, item(n), n % 2) for n in range(20)])
    with worker(broker, source) as process:
        await done(broker, process, source, [10, 10])
        await delete_topic(broker.bootstrap, source)
        assert process.wait(90) == 1, process.log
        lines = Counter(line.split(" ", 2)[-1] for line in process.log.splitlines())
        assert any(source in line and "deleted" in line for line in lines), process.log
        assert "Traceback" not in process.log
        assert lines.total() <= 12, process.log


@pytest.mark.parametrize("what", ["drop", "dead_letter"])
async def test_a_tombstone_is_what_the_task_makes_of_it(broker, topic, what):
    """`forward` is held by test_main_job."""
    source = await topic()
    records = [(b"a", None, 0), (b"b", item(1), 0), (b"c", None, 0)]
    await publish(broker.bootstrap, source, records)
    with worker(broker, source, TEST_TOMBSTONES=what) as process:
        await done(broker, process, source, [3])
        assert process.stop() == 0, process.log
        assert process.summary["items"] == 3
    assert await _ids(broker, source) == [1]
    dead = await read(broker.bootstrap, [f"{source}.dead"])
    assert [(r.key, r.value) for r in dead] == (
        [(b"a", None), (b"c", None)] if what == "dead_letter" else []
    )


async def test_a_worker_says_nothing_of_a_source_that_is_quiet(broker, topic):
    """No crash, no log line, no spin."""
    source = await topic(partitions=3)
    with worker(broker, source) as process:
        await logged(process, f"reading {source}")
        assert process.stop() == 0, process.log
        assert process.summary["items"] == 0
