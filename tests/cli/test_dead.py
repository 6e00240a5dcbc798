"""`streams dead` on a real broker, as a process."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.brokers.choose import Broker
from tests.cli.command import Result, started, streams
from tests.conftest import MakeTopic
from tests.integration.harness import create_topic, read
from tests.integration.topics import delete_records
from tests.kafka.dead.letters import Item, item, written


def dead(broker: Broker, *arguments: str, json_: bool = True) -> Result:
    more = ["--json"] if json_ else []
    return streams("dead", *arguments, "--broker", broker.bootstrap, *more)


def redriven(broker: Broker, *arguments: str, code: int = 0) -> dict[str, Any]:
    result = dead(broker, "redrive", *arguments)
    assert result.code == code, result.err
    (summary,) = result.lines
    assert isinstance(summary, dict)
    return summary


async def fill(broker: Broker, topic: str, records: Sequence[Any], **keywords: Any) -> None:
    """(key, value, headers, timestamp) and a partition each."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, **keywords)
    await producer.start()
    try:
        for (key, value, headers, _), partition in records:
            await producer.send_and_wait(
                topic, value, key=key, headers=list(headers), partition=partition
            )
    finally:
        await producer.stop()


def short_session(directory: Path) -> list[str]:
    """The options for the shortest session that a broker takes: a killed run is gone after 6 s."""
    config = directory / "streams.toml"
    config.write_text("[kafka]\nsession_timeout_s = 6\n")
    return ["--config", str(config)]


def of(source: str, number: int, partition: int = 0, **fields: Any) -> Item:
    return item(number, topic=source, partition=partition, **fields)


async def numbers(broker: Broker, topic: str) -> list[int]:
    """The ids of what a topic holds, partition by partition."""
    return [json.loads(record.value)["id"] for record in await read(broker.bootstrap, [topic])]


async def test_letters_are_listed_by_partition_with_a_count_by_code(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic("dead", partitions=2)
    now = int(time.time() * 1000)
    letters = [
        (written(of("reviews", 1), now_ms=now - 7_200_000), 0),
        (written(of("reviews", 2), code="timeout", now_ms=now), 0),
        (written(of("reviews", 3, 1), now_ms=now, task="other"), 1),
        ((None, b"no letter", [], None), 1),
    ]
    await fill(broker, name, letters)
    result = dead(broker, "list", name)
    assert result.code == 0
    listed = [(each["partition"], each["source"]["offset"], each["code"]) for each in result.lines]
    assert sorted(listed) == [(0, 1, "refused"), (0, 2, "timeout"), (1, 3, "refused")]
    assert f"3 dead letters (2 refused, 1 timeout) in {name}\n" in result.err
    assert "1 other records are no dead letters" in result.err
    for arguments, expected in (
        (["--code", "timeout"], {2}),
        (["--code", "timeout", "--code", "refused", "--task", "mood"], {1, 2}),
        (["--since", "-1h"], {2, 3}),
        (["--task", "none"], set()),
    ):
        found = {each["source"]["offset"] for each in dead(broker, "list", name, *arguments).lines}
        assert found == expected
    assert len(dead(broker, "list", name, "--count", "2").lines) == 2
    plain = dead(broker, "list", name, json_=False)
    assert len(plain.out.splitlines()) == 1 + 3
    assert '"text"' not in plain.out + plain.err


async def test_an_empty_topic_has_no_letters(broker: Broker, topic: MakeTopic) -> None:
    name = await topic("dead", partitions=3)
    result = dead(broker, "list", name)
    assert (result.code, result.out, result.err) == (0, "", f"0 dead letters in {name}\n")
    assert redriven(broker, name)["redriven"] == 0


async def test_one_letter_is_shown_whole(broker: Broker, topic: MakeTopic) -> None:
    name = await topic("dead")
    await fill(broker, name, [(written(of("reviews", 5)), 0), ((None, b"x", [], None), 0)])
    (found,) = dead(broker, "show", name, "0/0").lines
    assert (found["code"], found["source"]["offset"]) == ("refused", 5)
    assert (found["key"], found["value"], found["headers"]) == (
        "k",
        {"id": 5, "text": "t"},
        {"h": ["1", None]},
    )
    text = dead(broker, "show", name, "0/0", json_=False).out
    assert 'value\n{\n  "id": 5,\n  "text": "t"\n}\n' in text
    for place, line in (
        ("0/1", f"{name}/0/1 is no dead letter; `streams tail` shows any record"),
        ("0/2", f"there is no record at {name}/0/2: it has offsets 0 to 1"),
        ("4/0", f"{name} has the partitions 0 to 0, not 4"),
    ):
        result = dead(broker, "show", name, place)
        assert (result.code, result.out, result.err) == (1, "", f"error: {line}\n")


async def test_letters_go_back_to_their_partitions_in_order_as_they_were(
    broker: Broker, topic: MakeTopic
) -> None:
    """Key, value and the source's own headers byte for byte; ours are taken off."""
    source, name = await topic("source", partitions=3), await topic("dead", partitions=3)
    odd: dict[str, Any] = {"key": b"\xfe", "headers": [("a", b"\xff"), ("a", None)]}
    letters = [(written(of(source, n, n % 3, **odd)), n % 3) for n in range(30)]
    await fill(broker, name, letters)
    summary = redriven(broker, name)
    assert (summary["redriven"], summary["skipped"], summary["into"]) == (30, 0, {source: 30})
    records = await read(broker.bootstrap, [source])
    assert [(r.partition, json.loads(r.value)["id"]) for r in records] == [
        (n % 3, n) for n in sorted(range(30), key=lambda n: n % 3)
    ]
    for record in records:
        assert record.key == b"\xfe"
        assert record.value.endswith(b',  "text": "t"}')
        assert record.headers == (("a", b"\xff"), ("a", None), ("streams-redriven", b"1"))


async def test_a_second_run_sends_nothing_and_a_later_letter_alone(
    broker: Broker, topic: MakeTopic
) -> None:
    source, name = await topic("source"), await topic("dead")
    await fill(broker, name, [(written(of(source, n)), 0) for n in range(3)])
    assert redriven(broker, name, "--dry-run")["would_redrive"] == 3
    assert redriven(broker, name)["redriven"] == 3
    again = dead(broker, "redrive", name, json_=False)
    assert again.err.splitlines()[-2:] == [
        "sent 0 dead letters",
        "letters that an earlier run sent are left out (--all takes them too)",
    ]
    assert await numbers(broker, source) == [0, 1, 2]
    await fill(broker, name, [(written(of(source, 9)), 0)])
    assert redriven(broker, name)["redriven"] == 1
    assert await numbers(broker, source) == [0, 1, 2, 9]
    assert redriven(broker, name, "--all", "0/1")["redriven"] == 1
    assert await numbers(broker, source) == [0, 1, 2, 9, 1]
    assert redriven(broker, name)["redriven"] == 0


@pytest.mark.needs("commit_metadata")
async def test_what_a_filter_passed_over_is_sent_by_a_later_run(
    broker: Broker, topic: MakeTopic
) -> None:
    source, name = await topic("source"), await topic("dead")
    codes = ["refused", "timeout", "refused", "timeout", "no_answer"]
    await fill(
        broker, name, [(written(of(source, n), code=code), 0) for n, code in enumerate(codes)]
    )
    assert redriven(broker, name, "--code", "timeout")["codes"] == {"timeout": 2}
    assert redriven(broker, name, "0/2")["redriven"] == 1
    assert redriven(broker, name, "--count", "1")["redriven"] == 1
    assert await numbers(broker, source) == [1, 3, 2, 0]
    assert redriven(broker, name)["codes"] == {"no_answer": 1}
    assert await numbers(broker, source) == [1, 3, 2, 0, 4]


async def test_letters_sent_into_another_topic_are_still_to_be_sent_home(
    broker: Broker, topic: MakeTopic
) -> None:
    source, name, lab = await topic("s"), await topic("dead"), await topic("lab", partitions=2)
    await fill(broker, name, [(written(of(source, n)), 0) for n in range(3)])
    for redriven_now in (3, 0):
        assert redriven(broker, name, "--into", lab)["redriven"] == redriven_now
    assert sorted(await numbers(broker, lab)) == [0, 1, 2]
    assert await numbers(broker, source) == []
    assert redriven(broker, name)["redriven"] == 3
    missing = dead(broker, "redrive", name, "--into", f"{lab}x")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == f"error: the topic {lab}x does not exist: create it first\n"


@pytest.mark.needs("commit_metadata", "out_of_range")
async def test_a_value_that_was_left_out_is_read_again_from_the_source_or_skipped(
    broker: Broker, topic: MakeTopic
) -> None:
    source, name = await topic("source"), await topic("dead")
    stamp = int(time.time() * 1000)  # an old one would be the retention's to take
    values = [b'{"id": %d, "text": "%s"}' % (n, b"x" * 3000) for n in range(3)]
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    for value in values:
        await producer.send_and_wait(source, value, key=b"k", partition=0, timestamp_ms=stamp)
    await producer.stop()
    letters = [
        written(of(source, n, value=value, headers=[], timestamp_ms=stamp), limit_bytes=1000)
        for n, value in enumerate([*values, b"y" * 3000])
    ]
    letters.append(written(of(source, 2, value=b"z" * 77, timestamp_ms=stamp), limit_bytes=450))
    letters.append(written(of(f"{source}-gone", 1)))
    await fill(broker, name, [(letter, 0) for letter in letters])
    await delete_records(broker.bootstrap, source, 0, before=1)
    result = dead(broker, "redrive", name)
    assert result.code == 1
    (summary,) = result.lines
    assert (summary["redriven"], summary["skipped"]) == (2, 4), result.err
    for line in (
        f"skipped 0/0: it is without its value, and {source}/0/0 is gone from the source",
        f"skipped 0/3: it is without its value, and {source}/0/3 is gone",
        f"skipped 0/4: it is without its value, and {source}/0/2 is another record by now",
        f"skipped 0/5: the topic {source}-gone does not exist: create it, or send --into another",
    ):
        assert line in result.err
    assert result.err.endswith(
        "error: 4 dead letters (4 refused) could not be sent again, and stay to be\n"
    )
    sent = (await read(broker.bootstrap, [source]))[2:]
    assert [record.value for record in sent] == values[1:]
    again = dead(broker, "redrive", name)
    assert (again.code, again.lines[0]["redriven"], again.lines[0]["skipped"]) == (1, 0, 4)


@pytest.mark.needs("commit_metadata")
async def test_a_letter_larger_than_its_source_takes_is_skipped(
    broker: Broker, topic: MakeTopic
) -> None:
    source = await topic("source", configs={"max.message.bytes": "1000"})
    name = await topic("dead")
    await fill(
        broker, name, [(written(of(source, n, value=b"x" * 100 * n)), 0) for n in (1, 20, 2)]
    )
    summary = redriven(broker, name, code=1)
    assert (summary["redriven"], summary["skipped"]) == (2, 1)
    assert [len(record.value) for record in await read(broker.bootstrap, [source])] == [100, 200]


@pytest.mark.needs("compaction", "commit_metadata")
async def test_a_letter_that_its_source_refuses_is_skipped_and_sent_when_it_is_taken(
    broker: Broker, topic: MakeTopic
) -> None:
    """It ended the command, and nothing behind it was ever sent."""
    source = await topic("source", configs={"cleanup.policy": "compact"})
    name, other = await topic("dead"), await topic("other")
    letters = [written(of(source, n, key=None if n in (3, 4) else b"k%d" % n)) for n in range(8)]
    await fill(broker, name, [(letter, 0) for letter in letters])
    result = dead(broker, "redrive", name)
    assert (result.code, result.lines[0]["redriven"], result.lines[0]["skipped"]) == (1, 6, 2)
    assert "a compacted topic takes no record without a key" in result.err
    assert await numbers(broker, source) == [0, 1, 2, 5, 6, 7]
    again = redriven(broker, name, code=1)
    assert (again["redriven"], again["skipped"]) == (0, 2)
    assert redriven(broker, name, "--into", other)["redriven"] == 8


@pytest.mark.needs("transactions")
async def test_letters_of_a_transactional_topic_are_read_to_the_end_and_remembered(
    broker: Broker, topic: MakeTopic
) -> None:
    """Its marks are offsets without a record, also behind the last letter."""
    source, name = await topic("source"), await topic("dead")
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=name)
    await producer.start()
    for number in range(4):
        await producer.begin_transaction()
        key, value, headers, _ = written(of(source, number))
        await producer.send_and_wait(name, value, key=key, headers=headers, partition=0)
        if number == 2:
            await producer.abort_transaction()
        else:
            await producer.commit_transaction()
    await producer.stop()
    assert [each["source"]["offset"] for each in dead(broker, "list", name).lines] == [0, 1, 3]
    assert redriven(broker, name)["redriven"] == 3
    assert redriven(broker, name)["redriven"] == 0
    assert await numbers(broker, source) == [0, 1, 3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_a_run_that_is_ended_goes_on_and_loses_nothing(
    broker: Broker, topic: MakeTopic, number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C sends none twice; a kill a chunk at most (here: a tenth of a second's letters)."""
    source, name = await topic("source", partitions=2), await topic("dead", partitions=2)
    await fill(broker, name, [(written(of(source, n, n % 2)), n % 2) for n in range(300)])
    config = short_session(tmp_path)
    process = started(
        "dead", "redrive", name, "--rate", "60", *config, "--broker", broker.bootstrap
    )
    try:
        while len(await numbers(broker, source)) < 40:
            assert process.poll() is None
        process.send_signal(number)
        _, err = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    if number == signal.SIGINT:
        assert process.returncode == 130
        sent = len(await numbers(broker, source))
        line = f"interrupted: {sent} are sent again; run it again to go on"
        assert err.decode().splitlines()[-1] == line
        assert sent < 300
    assert redriven(broker, name, *config)["redriven"] > 0
    found = await numbers(broker, source)
    assert sorted(set(found)) == list(range(300))
    assert len(found) <= 300 + (6 if number == signal.SIGKILL else 0)


async def test_a_second_redrive_at_the_same_time_is_refused(
    broker: Broker, topic: MakeTopic
) -> None:
    source, name = await topic("source"), await topic("dead")
    await fill(broker, name, [(written(of(source, n)), 0) for n in range(100)])
    process = started("dead", "redrive", name, "--rate", "20", "--broker", broker.bootstrap)
    try:
        while len(await numbers(broker, source)) < 10:
            assert process.poll() is None
        other = await asyncio.to_thread(dead, broker, "redrive", name)
        _, err = await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
    ended = {process.returncode: err.decode(), other.code: other.err}
    assert set(ended) == {0, 1}
    assert f"error: another redrive of {name} is under way" in ended[1]
    assert await numbers(broker, source) == list(range(100))
    assert redriven(broker, name)["redriven"] == 0


@pytest.mark.needs("commit_metadata")
async def test_two_redrives_that_begin_together_send_no_letter_twice(
    broker: Broker, topic: MakeTopic
) -> None:
    """Each sent a chunk before it noticed the other."""
    source, name = await topic("source", partitions=2), await topic("dead", partitions=2)
    await fill(broker, name, [(written(of(source, n, n % 2)), n % 2) for n in range(300)])
    command = ["dead", "redrive", name, "--rate", "300", "--broker", broker.bootstrap]
    processes = [started(*command) for _ in range(2)]
    try:
        for process in processes:
            await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        for process in processes:
            process.kill()
    assert 0 in {process.returncode for process in processes}
    assert sorted(await numbers(broker, source)) == list(range(300))


@pytest.mark.needs("commit_metadata")
async def test_a_redrive_that_stood_still_for_a_session_sends_nothing_more(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """Another one took over meanwhile, and sent the rest."""
    source, name = await topic("source"), await topic("dead")
    await fill(broker, name, [(written(of(source, n)), 0) for n in range(600)])  # 30 s of work
    config = short_session(tmp_path)
    command = ["dead", "redrive", name, *config, "--broker", broker.bootstrap]
    process = started(*command, "--rate", "20")
    try:
        while len(await numbers(broker, source)) < 10:
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        other = await asyncio.to_thread(streams, *command)
        process.send_signal(signal.SIGCONT)
        _, err = await asyncio.to_thread(process.communicate, timeout=60)
    finally:
        process.kill()
    assert other.code == 0, other.err
    assert f"another redrive of {name} is under way, or was killed in the last 6 s" in other.err
    assert process.returncode == 1
    assert f"error: another redrive of {name} " in err.decode()
    found = await numbers(broker, source)
    assert set(found) == set(range(600))
    assert len(found) <= 600 + 2, "no more than the chunk in which it stopped"


async def test_a_missing_topic_is_exit_code_1(broker: Broker, topic: MakeTopic) -> None:
    name = await topic("dead")
    for arguments in (["list"], ["redrive"], ["show"]):
        place = ["0/0"] if arguments == ["show"] else []
        result = dead(broker, *arguments, f"{name}x", *place)
        assert result.code == 1
        line = f'error: the topic {name}x does not exist; did you mean "{name}"?'
        assert result.err.splitlines()[-1] == line


async def test_the_embedded_broker_would_forget_what_was_passed_over_and_is_not_asked_to() -> None:
    """It keeps offsets alone. Refused before anything is sent, with the way out."""
    from streams.kafka.broker.tansu import EmbeddedBroker

    async with EmbeddedBroker(quiet=True) as broker:
        await create_topic(broker.bootstrap, "source", 1)
        await create_topic(broker.bootstrap, "dead", 1)
        letters = [written(of("source", n), code=code) for n, code in enumerate("aba")]
        await fill(broker, "dead", [(letter, 0) for letter in letters])  # type: ignore[arg-type]
        command = ["dead", "redrive", "dead", "--broker", broker.bootstrap]
        refused = streams(*command, "--code", "b")
        assert refused.code == 2
        assert (
            "letters that are passed over: not on the embedded broker, which forgets" in refused.err
        )
        assert await read(broker.bootstrap, ["source"]) == []
        assert streams(*command).code == 0
        assert "0 dead letters" in streams(*command).err
        assert len(await read(broker.bootstrap, ["source"])) == 3
