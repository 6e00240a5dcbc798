"""`publish` and `tail` on a real broker, as processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.brokers.choose import Broker
from tests.brokers.quotas import set_quota
from tests.cli.command import Result, started, streams
from tests.conftest import MakeTopic
from tests.patience import Stopwatch

HOSTILE = b'\xef\xbb\xbf{"a":1}\n{"a": NaN}\n[1]\n{"a":"cut\n\xff\n\n{"id": 7, "n": 1.10, "n": 2}\n'


def tailed(broker: Broker, topic: str, count: int, *arguments: str) -> list[Any]:
    result = streams(
        "tail", topic, "--count", str(count), "--json", "--broker", broker.bootstrap, *arguments
    )
    assert result.code == 0, result.err
    assert len(result.lines) == count
    return result.lines


def published(broker: Broker, topic: str, *arguments: str | Path, stdin: bytes = b"") -> Result:
    return streams("publish", topic, *arguments, "--broker", broker.bootstrap, stdin=stdin)


async def test_valid_lines_arrive_byte_for_byte_and_the_rest_is_rejected(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    name = await topic()
    rejects = tmp_path / "rejects.jsonl"
    result = published(broker, name, "-", "--json", "--rejects", rejects, stdin=HOSTILE)
    assert result.code == 0, result.err
    (summary,) = result.lines
    assert (summary["published"], summary["rejected"]) == (1, 5)
    assert set(summary) == {"published", "rejected", "elapsed_s", "items_per_s"}
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [
        1,
        2,
        3,
        4,
        5,
    ]
    out = streams("tail", name, "--count", "1", "--json", "--broker", broker.bootstrap).out
    assert '"value":{"id": 7, "n": 1.10, "n": 2}}' in out


async def test_nothing_valid_is_exit_code_1(broker: Broker, topic: MakeTopic) -> None:
    result = published(broker, await topic(), "-", stdin=b"[]\n[]\n")
    assert result.code == 1
    assert result.out == ""
    assert result.err.splitlines()[-1] == (
        "error: nothing was published: not one line is a valid record"
    )


@pytest.mark.needs("compaction")
async def test_a_topic_that_takes_no_record_of_a_file_is_exit_code_1(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic(configs={"cleanup.policy": "compact"})
    lines = b"".join(b'{"n": %d}\n' % n for n in range(500))
    few = published(broker, name, "-", "--json", stdin=lines[: lines.index(b"\n") + 1])
    assert (few.code, few.lines[0]["rejected"]) == (1, 1)
    assert "a compacted topic takes no record without a key" in few.err
    many = published(broker, name, "-", stdin=lines)
    assert many.code == 1
    assert "error: none of the first 100 records is published: " in many.err
    keyed = published(broker, name, "-", "--json", "--key", "n", stdin=lines)
    assert (keyed.code, keyed.lines[0]["published"]) == (0, 500)


async def test_nothing_at_all_is_done(broker: Broker, topic: MakeTopic) -> None:
    assert published(broker, await topic(), "-").code == 0


async def test_a_file_spreads_over_all_partitions_and_keys_stay_together(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    """In order within each partition, where Kafka's own partitioner puts a key."""
    keyless, keyed = await topic(partitions=4), await topic(partitions=4)
    file = tmp_path / "x.jsonl"
    file.write_text("".join(f'{{"n":{n},"k":"key-{n % 37}"}}\n' for n in range(2000)))
    assert published(broker, keyless, file).code == 0
    assert published(broker, keyed, file, "--key", "k").code == 0
    for name in (keyless, keyed):
        by_partition: dict[int, list[int]] = {}
        for record in tailed(broker, name, 2000):
            by_partition.setdefault(record["partition"], []).append(record["value"]["n"])
        assert all(numbers == sorted(numbers) for numbers in by_partition.values())
        everything = (n for numbers in by_partition.values() for n in numbers)
        assert sorted(everything) == list(range(2000))
        if name == keyless:
            assert [len(by_partition[p]) for p in range(4)] == [500] * 4
    keys: dict[str, set[int]] = {}
    for record in tailed(broker, keyed, 2000):
        assert record["key"] == record["value"]["k"]
        keys.setdefault(record["key"], set()).add(record["partition"])
    assert len(keys) == 37
    assert await _where_kafka_puts(broker, keyed, sorted(keys)) == [
        min(keys[k]) for k in sorted(keys)
    ]
    assert all(len(partitions) == 1 for partitions in keys.values())


async def _where_kafka_puts(broker: Broker, topic: str, keys: list[str]) -> list[int]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        return [
            (await producer.send_and_wait(topic, b"{}", key=key.encode())).partition for key in keys
        ]
    finally:
        await producer.stop()


async def test_csv_and_text_become_objects(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    csv_topic, text_topic = await topic(), await topic()
    (tmp_path / "x.csv").write_text('id,text\n1,"a, b"\n2\n3,c\n')
    (tmp_path / "x.txt").write_text("one\n\ntwo\n")
    assert published(broker, csv_topic, tmp_path / "x.csv").code == 0
    assert published(broker, text_topic, tmp_path / "x.txt").code == 0
    assert [r["value"] for r in tailed(broker, csv_topic, 2)] == [
        {"id": "1", "text": "a, b"},
        {"id": "3", "text": "c"},
    ]
    assert [r["value"] for r in tailed(broker, text_topic, 2)] == [{"text": "one"}, {"text": "two"}]


async def test_a_missing_topic_is_created_and_told(broker: Broker, tmp_path: Path) -> None:
    name = f"made-{os.getpid()}-{time.time_ns()}"
    result = published(broker, name, "-", "--partitions", "3", stdin=b'{"a":1}\n')
    assert result.code == 0
    assert f"created the topic {name} with 3 partitions" in result.err


async def test_a_rate_is_kept(broker: Broker, topic: MakeTopic) -> None:
    data = b'{"a":1}\n' * 100
    result = published(broker, await topic(), "-", "--rate", "50", "--json", stdin=data)
    (summary,) = result.lines
    assert summary["published"] == 100
    assert 1.8 < summary["elapsed_s"] < 6


async def test_a_slow_pipe_is_published_as_it_comes_until_ctrl_c(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic()
    read, write = os.pipe()
    process = started("publish", name, "-", "--broker", broker.bootstrap, stdin=read)
    os.close(read)
    try:
        os.write(write, b'{"n":1}\n')
        assert (await asyncio.to_thread(tailed, broker, name, 1))[0]["value"] == {"n": 1}
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 130
        assert err.decode().splitlines()[-1] == "interrupted: 1 records are published"
    finally:
        os.close(write)
        process.kill()


async def test_sigterm_ends_publish_as_ctrl_c_does_and_json_says_how_far_it_came(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    name = await topic()
    (tmp_path / "x.jsonl").write_text('{"a":1}\n' * 10_000)
    arguments = ["--rate", "50", "--json", "--broker", broker.bootstrap]
    process = started("publish", name, tmp_path / "x.jsonl", *arguments)
    try:
        await asyncio.to_thread(tailed, broker, name, 1)
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    sent = json.loads(out)["published"]
    assert 0 < sent < 10_000
    assert err.decode().splitlines()[-1] == f"interrupted: {sent} records are published"


async def test_publish_says_how_much_is_sent_when_something_else_fails(
    broker: Broker, topic: MakeTopic
) -> None:
    """What was read before is sent, so that the number is exact."""
    name = await topic()
    data = b'{"a":1}\n' * 20 + b"[]\n" * 10
    result = published(broker, name, "-", "--rejects", "/dev/full", "--json", stdin=data)
    assert (result.code, result.lines[0]["published"]) == (1, 20)
    assert result.err.splitlines() == [
        "not finished: 20 records are published, 10 lines are rejected",
        "error: --rejects /dev/full: cannot be written: no space left on device",
    ]


@pytest.mark.needs("nodes")
async def test_a_quota_is_waited_for_and_told(
    own_broker: Any, topic: MakeTopic, tmp_path: Path
) -> None:
    """The broker is mute for some 15 s, which was taken for a dead one."""
    name = await topic()
    (tmp_path / "x.jsonl").write_text(f'{{"a":"{"x" * 1000}"}}\n' * 320)
    await set_quota(own_broker.bootstrap, "streams", 10_000)
    try:
        result = await asyncio.to_thread(published, own_broker, name, tmp_path / "x.jsonl")
    finally:
        await set_quota(own_broker.bootstrap, "streams", None)
    assert result.code == 0, result.err
    assert re.search(r"^throttled: the broker has a quota .* more for 1\d\.\d s;", result.err)
    assert "published 320 records in " in result.err


async def test_tail_shows_what_a_record_is(broker: Broker, topic: MakeTopic) -> None:
    name = await topic()
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    now = int(time.time()) * 1000 + 7
    for value, key, headers in [
        (b'{"a":\n 1}', b"k", [("h", b"1"), ("h", b"\xff"), ("n", None)]),
        (b"text\x1b[31m", None, []),
        (b"\xff\x00", b"\xfe", []),
        (None, b"k", []),
        (b"NaN", None, []),
    ]:
        await producer.send_and_wait(name, value, key=key, headers=headers, timestamp_ms=now)
    await producer.stop()
    first, *others = tailed(broker, name, 5)
    assert first == {
        "topic": name,
        "partition": 0,
        "offset": 0,
        "timestamp_ms": now,
        "key": "k",
        "headers": {"h": ["1", {"base64": "/w=="}], "n": None},
        "value": {"a": 1},
    }
    assert [record["value"] for record in others] == [
        "text\x1b[31m",
        {"base64": "/wA="},
        None,
        "NaN",
    ]
    assert others[1]["key"] == {"base64": "/g=="}
    plain = streams("tail", name, "--count", "2", "--broker", broker.bootstrap).out.splitlines()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.007Z", time.gmtime(now / 1000))
    assert plain[1] == f"0:1\t{moment}\t-\ttext\\x1b[31m"


async def test_tail_begins_at_an_offset(broker: Broker, topic: MakeTopic) -> None:
    name = await topic()
    assert published(broker, name, "-", stdin=b'{"n":1}\n{"n":2}\n{"n":3}\n').code == 0
    assert [r["offset"] for r in tailed(broker, name, 2, "--from", "1")] == [1, 2]


@pytest.mark.needs("time_lookup")
async def test_tail_begins_at_a_time(broker: Broker, topic: MakeTopic) -> None:
    name = await topic(partitions=2)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    now = int(time.time() * 1000)
    for hours in (3, 2, 1):
        await producer.send_and_wait(
            name, b"%d" % hours, partition=0, timestamp_ms=now - hours * 3_600_000
        )
    await producer.stop()
    assert [r["value"] for r in tailed(broker, name, 2, "--from", "-2h1m")] == [2, 1]
    day = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000 - 5400))
    assert [r["value"] for r in tailed(broker, name, 1, "--from", day)] == [1]


async def test_tail_latest_shows_only_what_comes_and_ends_on_ctrl_c(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic()
    assert published(broker, name, "-", stdin=b'{"n":1}\n{"n":2}\n').code == 0
    process = started("tail", name, "--from", "latest", "--json", "--broker", broker.bootstrap)
    assert process.stderr is not None
    assert process.stdout is not None
    try:
        told = await asyncio.to_thread(process.stderr.readline)
        assert told.decode() == f"following {name} from latest\n"
        assert published(broker, name, "-", stdin=b'{"n":3}\n').code == 0
        line = await asyncio.to_thread(process.stdout.readline)
        assert json.loads(line)["value"] == {"n": 3}
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(process.communicate, timeout=30)
        assert (process.returncode, out, err) == (130, b"", b"")
    finally:
        process.kill()


async def test_tail_of_a_missing_topic_is_exit_code_1_and_creates_none(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic("reviews")
    for _ in range(2):
        result = streams("tail", f"{name}x", "--broker", broker.bootstrap)
        assert result.code == 1
        assert result.err == f'error: the topic {name}x does not exist; did you mean "{name}"?\n'


async def test_check_connect_tells_what_is_there(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    source = await topic(partitions=2)
    dead = await topic("dead", configs={"cleanup.policy": "compact"})
    config = tmp_path / "streams.toml"
    config.write_text(
        f'[worker]\nid = "w"\n[[task]]\nname = "n"\nsource = "{source}"\nsink = "{source}.out"\n'
        f'dead_letter = "{dead}"\n'
        'operation = "classify"\nlabels = ["a", "b"]\n'
        '[[task]]\nname = "m"\nsource = "not-there"\nsink = "m.out"\noperation = "custom"\n'
        '[provider.anthropic]\nbase_url = "http://127.0.0.1:1"\n'
    )
    result = streams(
        "check", "--config", config, "--connect", "--json", "--broker", broker.bootstrap,
        variables={"ANTHROPIC_API_KEY": "sk-ant-secret"},
    )  # fmt: skip
    assert result.code == 1
    checks = {check["what"]: (check["ok"], check["detail"]) for check in result.lines[0]["checks"]}
    assert checks["broker"][0]
    assert checks[f"topic {source}"] == (True, "source of n, 2 partitions")
    assert checks[f"topic {source}.out"] == (True, "sink of n, will be created with 2 partitions")
    refused = "dead letters of n, is compacted: set its cleanup.policy to delete"
    assert checks[f"topic {dead}"] == (False, refused)
    assert checks["topic not-there"] == (False, "does not exist: create it, or publish to it")
    assert checks["anthropic claude-haiku-5-5"][0] is False
    assert "sk-ant-secret" not in result.out + result.err


@pytest.mark.needs("nodes")
async def test_a_broker_that_freezes_meanwhile_is_exit_code_1(
    own_broker: Any, topic: MakeTopic, tmp_path: Path
) -> None:
    """And the line says how much is safe."""
    name = await topic()
    file = tmp_path / "x.jsonl"
    file.write_text('{"a":1}\n' * 100_000)
    process = started("publish", name, file, "--rate", "500", "--broker", own_broker.bootstrap)
    try:
        await asyncio.to_thread(tailed, own_broker, name, 1)
        own_broker.nodes[0].freeze()
        waiting = Stopwatch()
        _, err = await asyncio.to_thread(process.communicate, timeout=60)
        assert waiting.took_s < 15
        assert process.returncode == 1
        assert re.search(
            rf"^error: the broker stopped answering: {name}/0 acknowledged nothing for 10 s;"
            r" \d+ records are published, and some after them may be\n\Z",
            err.decode(),
            re.MULTILINE,
        )
    finally:
        process.kill()
        own_broker.nodes[0].thaw()
