"""`streams diff` on a real broker, as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from tests.brokers.choose import Broker
from tests.cli.command import Result, streams
from tests.conftest import MakeTopic
from tests.diff.written import Record, Topic, label, result


def diff(broker: Broker, *arguments: str | Path, json_: bool = True) -> Result:
    more = ["--json"] if json_ else []
    return streams("diff", *arguments, "--broker", broker.bootstrap, *more)


def found(broker: Broker, *arguments: str) -> dict[str, Any]:
    ran = diff(broker, *arguments)
    assert ran.code == 0, ran.err
    (summary,) = ran.lines
    assert isinstance(summary, dict)
    return summary


async def fill(broker: Broker, topic: str, records: Topic) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=5) as producer:
        sent = [
            await producer.send(
                topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=partition,
            )
            for partition, each in records.items()
            for record in each
        ]
        for acknowledged in sent:
            await acknowledged


def labels(name: str, count: int, partitions: int, **facts: Any) -> dict[int, list[Record]]:
    return {
        partition: [
            result(n, label(name), partition=partition, **facts) for n in range(count // partitions)
        ]
        for partition in range(partitions)
    }


async def test_two_topics_are_compared_by_position_with_texts_from_the_source(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    source, a, b = (
        await topic("source", partitions=2),
        await topic("a", partitions=2),
        await topic("b", partitions=3),
    )
    items = [
        Record(n, 0, 0, None, orjson.dumps({"id": n, "text": f"review {n}"}), ()) for n in range(50)
    ]
    await fill(broker, source, {0: items, 1: items})
    old = labels("good", 100, 2, topic=source)
    new = labels("good", 100, 2, topic=source, fingerprint="new", cost=1_000)
    new[1][7] = result(7, label("bad"), partition=1, topic=source, fingerprint="new")
    await fill(broker, a, old)
    await fill(broker, b, {2: new[0], 0: new[1][:-1]})
    page = tmp_path / "diff.html"
    summary = found(broker, a, b, "--html", str(page))
    assert (summary["matched_by"], summary["compared"], summary["equal"]) == ("position", 99, 98)
    assert (summary["missing_in_a"], summary["missing_in_b"]) == (0, 1)
    (flip,) = summary["labels"]["flips"]
    assert (flip["a"], flip["b"], flip["examples"][0]["text"]) == ("good", "bad", "review 7")
    assert summary["missing_examples"]["in_b"][0]["text"] == "review 49"
    assert summary["b"]["cost_usd"] < summary["a"]["cost_usd"]
    assert "review 7" in page.read_text()
    plain = diff(broker, a, b, json_=False)
    assert "99 items compared by position: 98.99 % the same, 1 changed" in plain.out
    assert "good → bad: 1 (1.01 %)" in plain.out


async def test_a_topic_with_a_replay_in_it_is_compared_with_itself(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic("sink", partitions=2)
    await fill(broker, name, labels("good", 2_000, 2, mode="merge", key=b"k"))
    again = labels("bad", 2_000, 2, mode="merge", fingerprint="new", run="r1", key=b"k")
    await fill(broker, name, again)
    summary = found(broker, name, name)
    assert (summary["matched_by"], summary["compared"], summary["equal"]) == ("id", 2_000, 0)
    assert [each["run"] for each in summary["b"]["versions"]] == ["r1"]
    refused = diff(broker, name, name, "--b-run", "r2")
    assert refused.code == 2
    assert "has no such results; it has" in refused.err


@pytest.mark.parametrize(("by", "expected"), [(None, "id"), ("key", "key")])
async def test_copies_of_a_source_are_matched_by_id_or_as_asked(
    broker: Broker, topic: MakeTopic, by: str | None, expected: str
) -> None:
    a, b = await topic("a"), await topic("b")
    for name, source in ((a, "one"), (b, "two")):
        records = [result(n, label("x"), id=n, key=b"%d" % n, topic=source) for n in range(9)]
        await fill(broker, name, {0: records})
    summary = found(broker, a, b, *(["--by", by] if by else []))
    assert (summary["matched_by"], summary["equal"]) == (expected, 9)


async def test_empty_topics_have_nothing_to_compare(broker: Broker, topic: MakeTopic) -> None:
    a, b = await topic("a", partitions=3), await topic("b")
    assert found(broker, a, b)["compared"] == 0
    alone = diff(broker, a, a)
    assert (alone.code, alone.out) == (2, "")
    assert "nothing to compare it with" in alone.err


async def test_a_topic_that_is_not_there_is_one_line_and_exit_code_1(
    broker: Broker, topic: MakeTopic
) -> None:
    name = await topic("a")
    ran = diff(broker, name, f"{name}x")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: the topic {name}x does not exist; did you mean")
