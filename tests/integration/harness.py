"""Real workers as processes, real topics, and what came of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams.jobs.judge import Order, Verdict, judge, outcome_of
from streams.kafka.topics import TopicFacts, describe
from tests import forked

CHECKOUT = Path(__file__).parents[2]
POLL_S = 0.1


class WorkerProcess:
    """`streams worker` as a process of its own. `log`: what it printed on stderr so far."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        *,
        app: str | None = "tests.integration.apps:app",
        config: str = "",
        worker: str = "",
        variables: dict[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self._directory = tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        self._config = directory / "streams.toml"
        self._config.write_text(
            f'[kafka]\nbootstrap_servers = "{bootstrap}"\nsession_timeout_s = 6\n'
            f'[worker]\nid = "{group}"\nweb = ""\n{worker}\n{config}\n'
        )
        self._log = directory / "stderr"
        self._out = directory / "stdout"
        arguments = ["worker", "--json", *arguments]
        if app is not None:
            arguments += ["--app", app]
        environ = {**os.environ, "STREAMS_CONFIG": str(self._config), **(variables or {})}
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self.process = forked.started(
                "streams", *arguments, cwd=CHECKOUT, env=environ, stdout=out, stderr=log
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def summary(self) -> dict[str, Any]:
        """The exit line of a worker that has stopped."""
        found: dict[str, Any] = json.loads(self._out.read_text())
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, within_s: float) -> int:
        """The exit code. Raises with the log where it takes longer."""
        try:
            return int(self.process.wait(within_s))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s} s:\n{self.log}") from None

    def stop(self, within_s: float = 30) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def close(self) -> None:
        """End it whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._directory.cleanup()


async def create_topic(bootstrap: str, name: str, partitions: int, **settings: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        configs = {key.replace("_", "."): value for key, value in settings.items()}
        topic = NewTopic(name, partitions, 1, topic_configs=configs)
        answer = await admin.create_topics([topic])
        assert answer.topic_errors[0][1] == 0, answer
    finally:
        await admin.close()


async def topic_settings(bootstrap: str, name: str) -> TopicFacts:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return (await describe(admin, [name]))[name]
    finally:
        await admin.close()


Record = tuple[bytes | None, bytes | None, int]
"""Key, value, partition."""


async def publish(bootstrap: str, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
    """Send the records; returns where each stands, as (partition, offset)."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    await producer.start()
    try:
        sent = [
            await producer.send(topic, value, key=key, partition=partition)
            for key, value, partition in records
        ]
        done = [await each for each in sent]
    finally:
        await producer.stop()
    return [(each.partition, each.offset) for each in done]


def items(count: int, partitions: int, *, text: str = "item") -> list[Record]:
    """Numbered items, spread over the partitions in turn."""
    return [
        (None, orjson.dumps({"id": number, "text": f"{text} {number}"}), number % partitions)
        for number in range(count)
    ]


async def read(
    bootstrap: str, topics: Sequence[str], *, isolation: str = "read_uncommitted"
) -> list[Any]:
    """Every record that these topics hold now, per partition in order; missing topics are empty.
    `isolation`: "read_committed" leaves out what transactions aborted."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level=isolation
    )
    await consumer.start()
    try:
        partitions = await _partitions(bootstrap, topics)
        records: list[Any] = []
        if not partitions:
            return records
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                fetched = await consumer.getmany(partition, timeout_ms=1000)
                records += fetched.get(partition, [])
        return records
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topics: Sequence[str]) -> list[TopicPartition]:
    deadline = time.monotonic() + 30
    while True:
        try:
            return await _partitions_now(bootstrap, topics)
        except KafkaError:  # a broker that has just been thawed may not know itself yet
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(POLL_S)


async def _partitions_now(bootstrap: str, topics: Sequence[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return sorted(
            TopicPartition(found["topic"], partition["partition"])
            for found in await admin.describe_topics()
            if found["topic"] in topics
            for partition in found["partitions"]
        )
    finally:
        await admin.close()


async def committed(bootstrap: str, group: str, topic: str, partitions: int) -> list[int]:
    """The group's committed offset of each partition; 0 where there is none."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        return [
            await consumer.committed(TopicPartition(topic, number)) or 0
            for number in range(partitions)
        ]
    finally:
        await consumer.stop()


async def metadata(bootstrap: str, group: str, topic: str) -> dict[int, tuple[int, str]]:
    """By partition, the offset that the group has committed and the text beside it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:
        return {}  # the broker's first group has just been asked for
    finally:
        await admin.close()
    return {
        place.partition: (said.offset, said.metadata)
        for place, said in found.items()
        if place.topic == topic
    }


async def commit(bootstrap: str, group: str, topic: str, offset: int, said: str = "") -> None:
    """Set the group's committed offset of partition 0, and the text beside it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(offset, said)})
    finally:
        await consumer.stop()


async def eventually(
    what: Callable[[], Awaitable[bool]], within_s: float, describe: Callable[[], str] = str
) -> None:
    """Wait for an outside process until `what` holds; AssertionError with `describe()` if not."""
    deadline = time.monotonic() + within_s
    while not await what():
        assert time.monotonic() < deadline, f"not within {within_s} s: {describe()}"
        await asyncio.sleep(POLL_S)


async def verdict(
    bootstrap: str,
    source: str,
    positions: Sequence[tuple[int, int]],
    order: Order = "partition",
    *,
    isolation: str = "read_uncommitted",
) -> tuple[Verdict, list[Any]]:
    """What became of the items of a source, judged from its sink and dead letters."""
    records = await read(bootstrap, [f"{source}.out", f"{source}.dead"], isolation=isolation)
    outcomes = [outcome for record in records if (outcome := outcome_of(record)) is not None]
    return judge(positions, outcomes, order), records
