"""The call ledger on a real broker: what was answered before a kill is not paid for after it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import (
    WorkerProcess,
    eventually,
    items,
    publish,
    read,
    topic_settings,
    verdict,
)
from tests.integration.running import done, group_of, item, logged, worker
from tests.integration.simulated import API_KEY, Simulated, classifies, simulated
from tests.integration.topics import delete_topic, grow_topic, set_topic

pytestmark = [pytest.mark.kafka, pytest.mark.needs("version_4")]

LEDGER = "ledger = true"


def ledger_of(source: str) -> str:
    return f"{group_of(source)}.{source}.ledger"


async def recorded(broker: Any, source: str) -> set[tuple[int, int]]:
    """The positions of the items whose answers the ledger has."""
    keys = [record.key.decode() for record in await read(broker.bootstrap, [ledger_of(source)])]
    return {(int(key.split("/")[1]), int(key.split("/")[2])) for key in keys}


async def until_recorded(
    broker: Any, process: WorkerProcess, source: str, wanted: set[tuple[int, int]]
) -> None:
    found: set[tuple[int, int]] = set()

    async def all_there() -> bool:
        nonlocal found
        found = await recorded(broker, source)
        return wanted <= found

    await eventually(all_there, 60, lambda: f"{len(found)} recorded\n{process.log}")


def called(path: Path) -> list[list[tuple[int, int]]]:
    """The items of each call that has ended."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        [(int(place.split("/")[0]), int(place.split("/")[1])) for place in line.split()]
        for line in lines
    ]


@pytest.mark.chaos
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("partitions", [1, 12])
async def test_a_kill_behind_one_slow_call_pays_for_that_call_alone_again(
    broker, topic, tmp_path, partitions, guarantee
):
    """Each partition's first call hangs; hundreds of later answers cannot be released. A second
    kill right after the restart changes nothing."""
    settings = f'{LEDGER}\nguarantee = "{guarantee}"'
    source, gate = await topic(partitions=partitions), tmp_path / "gate"
    heads = {(n, 0) for n in range(partitions)}
    records = [(None, item(n, wait=n < partitions), n % partitions) for n in range(600)]
    positions = await publish(broker.bootstrap, source, records)
    variables = {
        "TEST_GATE": str(gate),
        "TEST_MAX_ITEMS": "10",
        "TEST_MAX_IN_FLIGHT": str(partitions + 4),
        "TEST_CALL_S": "0.02",
    }
    logs = [tmp_path / f"called{n}" for n in range(3)]
    with worker(
        broker, source, settings=settings, TEST_CALLED=str(logs[0]), **variables
    ) as process:
        await logged(process, "0 answers from the ledger")
        await eventually(lambda: _quiet(logs[0], partitions), 60, lambda: process.log)
        answered = {place for call in called(logs[0]) for place in call}
        await until_recorded(broker, process, source, answered)
        process.signal(signal.SIGKILL)
        process.wait(10)
    assert len(answered) > 300
    assert not answered & heads
    assert await read(broker.bootstrap, [f"{source}.out"]) == []

    with worker(
        broker, source, settings=settings, TEST_CALLED=str(logs[1]), **variables
    ) as process:
        await logged(process, "answers from the ledger")
        process.signal(signal.SIGKILL)
        process.wait(10)
    gate.touch()
    with worker(
        broker, source, settings=settings, TEST_CALLED=str(logs[2]), **variables
    ) as process:
        await done(broker, process, source, [600 // partitions] * partitions)
        assert process.stop() == 0, process.log
        assert process.summary["items"] >= len(answered)
    again = {place for log in logs[1:] for call in called(log) for place in call}
    assert not answered & again
    judged, _ = await verdict(broker.bootstrap, source, positions, isolation="read_committed")
    assert judged == (0, 0, 0)


async def _quiet(log: Path, partitions: int) -> bool:
    """Everything has been answered but what hangs with the heads."""
    items_called = sum(len(call) for call in called(log))
    return items_called >= 600 - 10 * partitions


async def test_the_ledger_is_made_like_its_source_and_forgets_after_a_day(broker, topic):
    source = await topic(
        partitions=5, configs={"retention.ms": str(30 * 86_400_000), "cleanup.policy": "compact"}
    )
    with worker(broker, source, settings=LEDGER) as process:
        await logged(process, f"created {source}.out")
        await logged(process, "0 answers from the ledger")
        assert process.stop() == 0, process.log
    made = await topic_settings(broker.bootstrap, ledger_of(source))
    assert made.partitions == 5
    assert made.settings["retention.ms"] == "86400000"
    assert made.settings["cleanup.policy"] == "delete"


@pytest.mark.parametrize("changed", [False, True], ids=["the same prompt", "another prompt"])
async def test_a_changed_prompt_is_paid_for_again_and_an_unchanged_one_is_not(
    broker, topic, changed
):
    """Through the Anthropic SDK: the first call hangs, two more are answered, a kill."""
    source = await topic()
    positions = await publish(
        broker.bootstrap, source, [(None, item(n, f"text number {n}"), 0) for n in range(30)]
    )
    with simulated() as api:
        api.script({"fault": "hang", "times": 1})
        config = classifies(source, api, timeout_s=60)
        key = {"ANTHROPIC_API_KEY": API_KEY}
        with worker(broker, source, app=None, config=config, settings=LEDGER, **key) as process:
            await until_recorded(broker, process, source, {(0, n) for n in range(10, 30)})
            process.signal(signal.SIGKILL)
            process.wait(10)
        before = _requests(api)
        if changed:
            config = config.replace("[task.batch]", 'instructions = "Be strict."\n[task.batch]')
        with worker(broker, source, app=None, config=config, settings=LEDGER, **key) as process:
            await done(broker, process, source, [30])
            assert process.stop() == 0, process.log
        assert _requests(api) - before == (3 if changed else 1)
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


def _requests(api: Simulated) -> int:
    total: int = api.state()["requests"]
    return total


async def test_the_answer_of_a_call_whose_partition_has_been_revoked_is_recorded(
    broker, topic, tmp_path
):
    """One worker's calls hang while a second one joins and takes half of the partitions."""
    source, gate, log = await topic(partitions=4), tmp_path / "gate", tmp_path / "called"
    records = [(None, item(n, wait=True), n % 4) for n in range(40)]
    positions = await publish(broker.bootstrap, source, records)
    variables = {"TEST_GATE": str(gate), "TEST_MAX_ITEMS": "10", "TEST_MAX_IN_FLIGHT": "4"}
    settings = f"{LEDGER}\ndrain_s = 0.2"
    with worker(broker, source, settings=settings, TEST_CALLED=str(log), **variables) as staying:
        await logged(staying, "reading")
        never = {**variables, "TEST_GATE": str(tmp_path / "never")}
        with worker(broker, source, settings=settings, **never) as guest:
            await logged(guest, f"reading {source}")
            gate.touch()
            await until_recorded(broker, staying, source, {(n % 4, n // 4) for n in range(40)})
            guest.signal(signal.SIGKILL)
            guest.wait(10)
        await done(broker, staying, source, [10] * 4)
        assert staying.stop() == 0, staying.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)


@pytest.mark.parametrize("harm", ["deleted", "refusing"])
async def test_a_ledger_that_is_deleted_or_refuses_stops_nothing_and_is_told_once(
    broker, topic, harm
):
    source = await topic(partitions=2)
    positions = await publish(broker.bootstrap, source, items(200, 2))
    with worker(broker, source, settings=LEDGER) as process:
        await done(broker, process, source, [100] * 2)
        if harm == "deleted":
            await delete_topic(broker.bootstrap, ledger_of(source))
        else:
            await set_topic(broker.bootstrap, ledger_of(source), {"max.message.bytes": "100"})
        each = 100
        while "cannot be written" not in process.log and each < 20_000:  # until it has taken effect
            positions += await publish(broker.bootstrap, source, items(2000, 2))
            each += 1000
            await done(broker, process, source, [each] * 2)
        await logged(process, "cannot be written")
        assert process.stop() == 0, process.log
        assert process.log.count("cannot be written") == 1
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    with worker(broker, source, settings=LEDGER) as process:  # it is made anew
        positions += await publish(broker.bootstrap, source, items(20, 2))
        await done(broker, process, source, [each + 10] * 2)
        assert process.stop() == 0, process.log


async def test_a_source_that_has_grown_takes_its_ledger_along(broker, topic):
    source = await topic()
    with worker(broker, source, settings=LEDGER) as process:
        await logged(process, "0 answers from the ledger")
        assert process.stop() == 0, process.log
    await grow_topic(broker.bootstrap, source, 3)
    positions = await publish(broker.bootstrap, source, items(30, 3))
    with worker(broker, source, settings=LEDGER) as process:
        await done(broker, process, source, [10] * 3)
        await until_recorded(broker, process, source, set(positions))
        assert process.stop() == 0, process.log
    assert (await topic_settings(broker.bootstrap, ledger_of(source))).partitions == 3
