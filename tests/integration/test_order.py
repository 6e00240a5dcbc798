"""Order "key" and "none": what is done beyond a slow item is named in the commit, and is not done
again after a crash."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter

import orjson
import pytest

from streams.codec.committed import MAX_METADATA_BYTES
from streams.jobs.judge import outcome_of
from tests.integration.beyond import all_told, called, named, told
from tests.integration.harness import (
    committed,
    create_topic,
    eventually,
    metadata,
    publish,
    verdict,
)
from tests.integration.running import done, group_of, item, worker

pytestmark = [pytest.mark.kafka, pytest.mark.needs("commit_metadata")]


BOTH = [("none", "at_least_once"), ("key", "exactly_once")]


def _written(records: list) -> Counter[tuple[int, int]]:
    """How many outcomes each source position has."""
    outcomes = [outcome for record in records if (outcome := outcome_of(record)) is not None]
    return Counter((each.source_partition, each.source_offset) for each in outcomes)


@pytest.mark.chaos
@pytest.mark.parametrize(("order", "guarantee"), BOTH)
async def test_what_a_commit_names_beyond_a_slow_item_is_not_done_again_after_a_kill(
    broker, topic, tmp_path, order, guarantee
):
    """The first microbatch hangs; all others are done, but for those of its keys in order "key"."""
    source, gate, calls = await topic(), tmp_path / "gate", tmp_path / "called"
    keys = [b"k%d" % (n % 50) for n in range(400)]
    records = [(key, item(n, wait=n == 0), 0) for n, key in enumerate(keys)]
    positions = await publish(broker.bootstrap, source, records)
    free = [n for n in range(10, 400) if order == "none" or n % 50 >= 10]
    variables = {
        "TEST_ORDER": order,
        "settings": f'guarantee = "{guarantee}"',
        "TEST_GATE": str(gate),
        "TEST_CALLED": str(calls),
        "TEST_MAX_ITEMS": "10",
    }
    with worker(broker, source, **variables) as process:
        said = await all_told(broker, process, source, free)
        process.signal(signal.SIGKILL)
        process.wait(10)
    assert said.offset == 0
    assert [n for n in range(400) if named(said, n)] == free
    gate.touch()
    with worker(broker, source, **variables) as process:
        await done(broker, process, source, [400])
        assert process.stop() == 0, process.log
    judged, _ = await verdict(
        broker.bootstrap, source, positions, order, isolation="read_committed"
    )
    assert judged == (0, 0, 0)
    assert all(called(calls)[0, n] == 1 for n in free)


@pytest.mark.chaos
@pytest.mark.parametrize(("order", "guarantee"), BOTH)
async def test_a_kill_in_full_flow_repeats_only_what_no_commit_had_named(
    broker, topic, seed, order, guarantee
):
    """Three times, at any moment; unequal calls, results and dead letters, halved microbatches."""
    chance = random.Random(seed)
    source = await topic(partitions=2)
    records = [
        (b"k%d" % (n % 30), item(n, refuse=n % 17 == 3, **{"raise": n % 301 == 5}), n % 2)
        for n in range(8000)
    ]
    positions = await publish(broker.bootstrap, source, records)
    variables = {
        "TEST_ORDER": order,
        "TEST_CALL_S": "0.1",
        "settings": f'guarantee = "{guarantee}"',
    }
    repeatable: set[tuple[int, int]] = set()

    async def more_than(count: int) -> bool:
        return sum(await committed(broker.bootstrap, group_of(source), source, 2)) > count

    for kill in range(3):
        with worker(broker, source, **variables) as process:
            await eventually(lambda goal=kill * 1500: more_than(goal), 60, lambda: process.log)
            await asyncio.sleep(chance.random() / 2)  # any moment
            process.signal(signal.SIGKILL)
            process.wait(10)
        said = [await told(broker, source, partition) for partition in range(2)]
        _, found = await verdict(
            broker.bootstrap, source, positions, order, isolation="read_committed"
        )
        written = _written(found)
        for partition, offset in positions:
            if not named(said[partition], offset):
                repeatable |= {(partition, offset)} & written.keys()
            else:
                assert written[partition, offset], f"{partition}/{offset} is named, not written"
    with worker(broker, source, **variables) as process:
        await done(broker, process, source, [4000] * 2)
        assert process.stop() == 0, process.log
    judged, found = await verdict(
        broker.bootstrap, source, positions, order, isolation="read_committed"
    )
    assert (judged.lost, judged.out_of_order) == (0, 0)
    assert {place for place, count in _written(found).items() if count > 1} <= repeatable
    assert guarantee == "at_least_once" or judged.duplicated == 0


@pytest.mark.chaos
async def test_two_workers_and_kills_keep_the_order_of_each_key(broker, topic, seed):
    """The sink has other partitions than the source: every key has one of them."""
    chance = random.Random(seed)
    source = await topic(partitions=4)
    await create_topic(broker.bootstrap, f"{source}.out", 3)
    keys = [b"k%d" % chance.randrange(80) if n % 10 else None for n in range(6000)]
    records = [
        (key, item(n, refuse=n % 23 == 7, **{"raise": n % 401 == 9}), n % 4)
        for n, key in enumerate(keys)
    ]
    positions = await publish(broker.bootstrap, source, records)
    variables = {"TEST_ORDER": "key", "TEST_CALL_S": "0.1"}

    async def more_than(count: int) -> bool:
        return sum(await committed(broker.bootstrap, group_of(source), source, 4)) > count

    with worker(broker, source, **variables) as staying:
        for kill in range(2):
            with worker(broker, source, **variables) as victim:
                goal = 6000 * (kill + 1) // 4
                await eventually(lambda goal=goal: more_than(goal), 90, lambda: staying.log)
                victim.signal(signal.SIGKILL)
                victim.wait(10)
        await done(broker, staying, source, [1500] * 4, within_s=120)
        assert staying.stop() == 0, staying.log
    judged, found = await verdict(broker.bootstrap, source, positions, "key")
    assert (judged.lost, judged.out_of_order) == (0, 0)
    places: dict[tuple[bytes, str], set[int]] = {}
    for record in found:
        if record.key is not None and record.topic.endswith(".out"):
            places.setdefault((record.key, record.topic), set()).add(record.partition)
    assert {len(partitions) for partitions in places.values()} == {1}


async def test_a_full_commit_holds_the_rest_back_until_the_watermark_moves(broker, topic, tmp_path):
    """Every other item waits for the first, whose key it has; of the others each is a range."""
    source, gate = await topic(), tmp_path / "gate"
    records = [(None if n % 2 else b"slow", item(n, wait=n == 0), 0) for n in range(4000)]
    positions = await publish(broker.bootstrap, source, records)
    said: list[tuple[int, str]] = []

    async def full() -> bool:
        """What the commit says stays as it is for two seconds, which are twenty intervals."""
        now = (await metadata(broker.bootstrap, group_of(source), source)).get(0, (0, ""))
        said[:] = [*said, now] if not said or said[-1] == now else [now]
        await asyncio.sleep(0.1)
        return len(now[1]) > 2000 and len(said) > 20

    with worker(broker, source, TEST_ORDER="key", TEST_GATE=str(gate)) as process:
        await eventually(full, 90, lambda: f"{said[-1:]}\n{process.log}")
        stood = await told(broker, source)
        judged, found = await verdict(broker.bootstrap, source, positions, "key")
        assert judged.lost == 4000 - len(found)
        assert {orjson.loads(record.value)["source"]["offset"] for record in found} == {
            n for n in range(4000) if named(stood, n)
        }
        assert 1000 < len(found) < 1400
        assert stood.offset == 0
        assert 3000 < len(said[-1][1]) <= MAX_METADATA_BYTES
        gate.touch()
        await done(broker, process, source, [4000])
        assert process.stop() == 0, process.log
    judged, _ = await verdict(broker.bootstrap, source, positions, "key")
    assert judged == (0, 0, 0)
    assert await metadata(broker.bootstrap, group_of(source), source) == {0: (4000, "")}
