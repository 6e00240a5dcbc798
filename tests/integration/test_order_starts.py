"""Where a lane of order "key" or "none" begins: behind what earlier owners have done already."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.codec.committed import Committed
from tests.integration.beyond import all_told, called, named
from tests.integration.harness import commit, metadata, publish, verdict
from tests.integration.running import done, group_of, item, worker

pytestmark = [pytest.mark.kafka, pytest.mark.needs("commit_metadata")]


async def _publish_with_gaps(broker: Any, topic: str, first: int, count: int) -> list[int]:
    """Transactions of five items; their markers take offsets, and so does what is aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    await producer.start()
    offsets: list[int] = []
    try:
        for start in range(first, first + count, 5):
            async with producer.transaction():
                sent = [
                    await producer.send(topic, item(n, wait=n == 0), partition=0)
                    for n in range(start, start + 5)
                ]
                offsets += [(await each).offset for each in sent]
            if start % 3 == 0:
                await producer.begin_transaction()
                await producer.send_and_wait(topic, item(-1), partition=0)
                await producer.abort_transaction()
    finally:
        await producer.stop()
    return offsets


@pytest.mark.needs("transactions")
async def test_clean_restarts_behind_a_slow_item_do_nothing_twice_over_gaps_too(
    broker, topic, tmp_path
):
    """A worker that stops hands back the slow items and names the rest: one range for each owner,
    whatever lies between the offsets and is no item."""
    source, gate, calls = await topic(), tmp_path / "gate", tmp_path / "called"
    offsets = await _publish_with_gaps(broker, source, 0, 200)
    variables = {
        "TEST_ORDER": "none",
        "TEST_GATE": str(gate),
        "TEST_CALLED": str(calls),
        "TEST_MAX_ITEMS": "10",
        "settings": "shutdown_timeout_s = 4",
    }
    for owners in (1, 2):
        with worker(broker, source, **variables) as process:
            said = await all_told(broker, process, source, offsets[10:])
            assert process.stop() == 0, process.log
        assert (said.offset, len(said.beyond)) == (0, owners)
        assert [n for n in offsets if named(said, n)] == offsets[10:]
        offsets += await _publish_with_gaps(broker, source, len(offsets), 100)
    gate.touch()
    with worker(broker, source, **variables) as process:
        await done(broker, process, source, [offsets[-1] + 1])
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, [(0, n) for n in offsets], "none")
    assert judged == (0, 0, 0)
    counts = called(calls)
    assert {place for place, count in counts.items() if count > 1} <= {(0, n) for n in offsets[:10]}
    said_last = await metadata(broker.bootstrap, group_of(source), source)
    ((offset, beyond),) = said_last.values()
    assert (offset > offsets[-1], beyond) == (True, "")  # the last marker may be passed, too


@pytest.mark.parametrize("order", ["none", "partition"])
async def test_a_watermark_directly_below_what_is_done_goes_on_behind_it(
    broker, topic, tmp_path, order
):
    """Also where the order was changed between two runs."""
    source, calls = await topic(), tmp_path / "called"
    await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(30)])
    said = Committed(5, ((5, 9), (15, 29)))
    await commit(broker.bootstrap, group_of(source), source, 5, said.metadata)
    with worker(broker, source, TEST_ORDER=order, TEST_CALLED=str(calls)) as process:
        await done(broker, process, source, [30])
        await publish(broker.bootstrap, source, [(None, item(30), 0)])
        await done(broker, process, source, [31])
        assert process.stop() == 0, process.log
    assert called(calls) == {(0, n): 1 for n in (10, 11, 12, 13, 14, 30)}


async def test_ranges_beyond_the_end_of_a_log_say_nothing_of_what_comes_there_later(
    broker, topic, tmp_path
):
    """A log that lost its tail: those offsets are other records' now."""
    source, calls = await topic(), tmp_path / "called"
    await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(20)])
    said = Committed(5, ((10, 24), (30, 40)))
    await commit(broker.bootstrap, group_of(source), source, 5, said.metadata)
    with worker(broker, source, TEST_ORDER="none", TEST_CALLED=str(calls)) as process:
        await done(broker, process, source, [20])
        await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(20, 45)])
        await done(broker, process, source, [45])
        assert process.stop() == 0, process.log
    assert called(calls) == {(0, n): 1 for n in range(5, 45) if not 10 <= n < 20}


async def test_what_somebody_else_wrote_beside_an_offset_says_nothing(broker, topic, tmp_path):
    source, calls = await topic(), tmp_path / "called"
    await publish(broker.bootstrap, source, [(None, item(n), 0) for n in range(20)])
    await commit(broker.bootstrap, group_of(source), source, 5, "checkpoint 17, beyond=everything")
    with worker(broker, source, TEST_ORDER="none", TEST_CALLED=str(calls)) as process:
        await done(broker, process, source, [20])
        assert process.stop() == 0, process.log
    assert called(calls) == {(0, n): 1 for n in range(5, 20)}
