"""How a worker stops (G9): what is in flight is finished, what is done is committed, and the exit
code says which."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.integration.harness import (
    WorkerProcess,
    commit,
    committed,
    eventually,
    items,
    publish,
    read,
    verdict,
)
from tests.integration.members import members_of, other_member
from tests.patience import Stopwatch

pytestmark = pytest.mark.kafka

PARTITIONS = 4


async def _some_committed(broker, group: str, source: str, more_than: int = 0) -> bool:
    return sum(await committed(broker.bootstrap, group, source, PARTITIONS)) > more_than


WORKER = "shutdown_timeout_s = 10"


async def _started(broker, source: str, settings=WORKER, **variables: str) -> WorkerProcess:
    """A worker on `source` that has committed something."""
    group = f"{source}-group"
    worker = WorkerProcess(
        broker.bootstrap, group, variables={"TEST_SOURCE": source, **variables}, worker=settings
    )
    await eventually(lambda: _some_committed(broker, group, source), 60, lambda: worker.log)
    return worker


async def test_sigterm_under_load_commits_every_delivered_result_and_exits_0(broker, topic):
    source = await topic(partitions=PARTITIONS)
    positions = await publish(broker.bootstrap, source, items(4000, PARTITIONS))
    worker = await _started(broker, source, TEST_CALL_S="0.1")
    try:
        code = worker.stop()
        offsets = await committed(broker.bootstrap, f"{source}-group", source, PARTITIONS)
        delivered = await read(broker.bootstrap, [f"{source}.out"])
        assert code == 0, worker.log
        assert sum(offsets) == len(delivered) < len(positions)
        assert worker.summary["items"] == len(delivered)
        assert not {"lost", "duplicated", "out_of_order"} & set(worker.summary)
    finally:
        worker.close()


async def test_a_worker_that_stopped_gracefully_goes_on_without_a_duplicate(broker, topic):
    source = await topic(partitions=PARTITIONS)
    positions = await publish(broker.bootstrap, source, items(3000, PARTITIONS))
    first = await _started(broker, source, TEST_CALL_S="0.1")
    try:
        assert first.stop() == 0, first.log
    finally:
        first.close()
    second = await _started(broker, source)
    try:
        await eventually(
            lambda: _some_committed(broker, f"{source}-group", source, len(positions) - 1), 60
        )
        assert second.stop() == 0, second.log
    finally:
        second.close()
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


async def test_a_second_signal_stops_at_once_with_130(broker, topic):
    source = await topic(partitions=PARTITIONS)
    await publish(broker.bootstrap, source, items(400, PARTITIONS))
    group = f"{source}-group"
    worker = WorkerProcess(
        broker.bootstrap,
        group,
        variables={"TEST_SOURCE": source, "TEST_CALL_S": "8"},
        worker=WORKER,
    )
    try:

        async def calling() -> bool:
            return "calling" in worker.log

        await eventually(calling, 60, lambda: worker.log)
        worker.signal(signal.SIGINT)
        await asyncio.sleep(0.5)  # for the first signal to be taken
        stopping = Stopwatch()
        worker.signal(signal.SIGINT)
        assert worker.wait(20) == 130
        assert stopping.took_s < 2
    finally:
        worker.close()


@pytest.mark.needs("freeze")
async def test_sigterm_with_the_broker_frozen_ends_with_1_within_the_shutdown_timeout(
    own_broker, topic
):
    source = await topic(partitions=PARTITIONS)
    await publish(own_broker.bootstrap, source, items(4000, PARTITIONS))
    worker = await _started(own_broker, source, TEST_CALL_S="0.1")
    try:
        for node in own_broker.nodes:
            node.freeze()
        worker.signal(signal.SIGTERM)
        stopping = Stopwatch()
        assert worker.wait(30) == 1, worker.log
        assert stopping.took_s < 11
    finally:
        for node in own_broker.nodes:
            node.thaw()
        worker.close()


@pytest.mark.needs("nodes")
async def test_an_idle_worker_whose_broker_is_gone_stops_without_a_wait_or_a_traceback(
    own_broker, topic
):
    """aiokafka's fetcher ended the consumer's thread; the stop then waited for the watchdog."""
    source = await topic(partitions=PARTITIONS)
    await publish(own_broker.bootstrap, source, items(40, PARTITIONS))
    worker = await _started(own_broker, source, "shutdown_timeout_s = 20", TEST_CALL_S="0.01")
    group = f"{source}-group"
    await eventually(
        lambda: _some_committed(own_broker, group, source, more_than=39), 30, lambda: ""
    )
    try:
        own_broker.nodes[0].kill()
        # It has noticed, and waits between two attempts.
        await eventually(lambda: _said(worker, "Failed fetch messages"), 30, lambda: worker.log)
        stopping = Stopwatch()
        assert worker.stop() == 0, worker.log
        assert stopping.took_s < 9, worker.log  # less than half of shutdown_timeout_s
        assert "Traceback" not in worker.log
    finally:
        own_broker.nodes[0].start()
        worker.close()


async def _said(worker: WorkerProcess, text: str) -> bool:
    return text in worker.log


async def test_sigterm_just_after_a_rebalance_began_wedges_neither_worker(broker, topic):
    """The old owner exits 0 or 1 in time, and the newcomer does the rest."""
    source = await topic(partitions=PARTITIONS)
    positions = await publish(broker.bootstrap, source, items(4000, PARTITIONS))
    old = await _started(broker, source, TEST_CALL_S="0.1")
    new = WorkerProcess(
        broker.bootstrap, f"{source}-group", variables={"TEST_SOURCE": source}, worker=WORKER
    )
    try:

        async def joining() -> bool:
            return "reading" in new.log or old.log.count("reading") > 1

        await eventually(joining, 60, lambda: new.log)
        old.signal(signal.SIGTERM)
        stopping = Stopwatch()
        assert old.wait(30) in (0, 1), old.log
        assert stopping.took_s < 12
        await eventually(
            lambda: _some_committed(broker, f"{source}-group", source, len(positions) - 1),
            60,
            lambda: new.log,
        )
        assert new.stop() == 0, new.log
    finally:
        old.close()
        new.close()
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert (judged.lost, judged.out_of_order) == (0, 0)


def test_a_missing_source_topic_is_exit_code_1_and_one_line(broker):
    worker = WorkerProcess(
        broker.bootstrap, "nobody", variables={"TEST_SOURCE": "no.such.topic"}, worker=WORKER
    )
    try:
        assert worker.wait(30) == 1
        assert "no.such.topic does not exist" in worker.log
        assert "Traceback" not in worker.log
    finally:
        worker.close()


def test_a_broker_that_does_not_answer_is_exit_code_1_within_15_s():
    worker = WorkerProcess("127.0.0.1:9", "nobody", variables={"TEST_SOURCE": "any"}, worker=WORKER)
    try:
        trying = Stopwatch()
        assert worker.wait(40) == 1
        assert trying.took_s < 15
        assert "Traceback" not in worker.log
    finally:
        worker.close()


async def test_a_committed_offset_out_of_range_is_an_error_not_a_restart(broker, topic):
    source = await topic(partitions=1)
    await publish(broker.bootstrap, source, items(10, 1))
    await commit(broker.bootstrap, f"{source}-group", source, 500)
    worker = WorkerProcess(
        broker.bootstrap, f"{source}-group", variables={"TEST_SOURCE": source}, worker=WORKER
    )
    try:
        assert worker.wait(30) == 1
        assert "committed offset 500" in worker.log
        assert await read(broker.bootstrap, [f"{source}.out"]) == []
    finally:
        worker.close()


async def test_sigterm_while_the_group_is_not_joined_yet_ends_with_0_and_leaves_it(broker, topic):
    """The others would wait for it until its session is over."""
    source = await topic(partitions=1)
    group = f"{source}-group"

    async def joins() -> bool:
        return "streams" in await members_of(broker.bootstrap, group)

    async with other_member(broker.bootstrap, group, "consumer", "faust"):
        worker = WorkerProcess(
            broker.bootstrap, group, variables={"TEST_SOURCE": source}, worker=WORKER
        )
        try:
            await eventually(joins, 60, lambda: worker.log)
            stopping = Stopwatch()
            assert worker.stop() == 0, worker.log
            assert stopping.took_s < 5, "not after shutdown_timeout_s"
            assert await members_of(broker.bootstrap, group) == ["aiokafka-0.14.0"]
        finally:
            worker.close()
