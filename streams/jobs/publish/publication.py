"""`publish` from end to end: input -> checks -> topic, and a report of each bad line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.errors import BrokerError, UsageError
from streams.jobs.files.ahead import read_ahead
from streams.jobs.files.formats import Format, Source, columns_of, same_file
from streams.jobs.files.rejects import Rejects
from streams.jobs.files.rows import Reject
from streams.jobs.publish.checks import Chunk, checked, key_of, schema_faults
from streams.kafka.client import broker_error, client_arguments, connected
from streams.running.bar import State, rate

if TYPE_CHECKING:
    from streams.jobs.publish.sending import Sending
    from streams.settings import KafkaSettings

DEFAULT_PARTITIONS = 4


@dataclass(frozen=True)
class Publication:
    """What to publish where. `path`: None is standard input. `format`: None: guessed from the name.
    `rate`: records per second, None: as fast as the broker takes them. `partitions`: of a topic
    that publish creates."""

    topic: str
    path: Path | None
    format: Format | None = None
    key: str | None = None
    columns: str | None = None
    schema: Path | None = None
    rejects: Path | None = None
    rate: float | None = None
    partitions: int = DEFAULT_PARTITIONS


class Progress:
    """The state so far; `started` is on the monotonic clock, in seconds.

    `position` and `size`: bytes of the input read so far, and in total (None: not known). `sent`
    counts acknowledged records. `sending`: whether the first may be sent. Every change calls
    `changed`.
    """

    def __init__(self, *, tell: Callable[[str], None], changed: Callable[[Progress], None]) -> None:
        self.tell = tell
        self._changed = changed
        self.started = time.monotonic()
        self.sent = self.rejected = self.position = 0
        self.size: int | None = None
        self.sending = False

    def state(self) -> State:
        """What a bar shows."""
        facts = f"{rate(self.sent, time.monotonic() - self.started)}  rejected {self.rejected:,}"
        return State(f"published {self.sent:,}", facts, self.position, self.size)

    def add_rejected(self, records: int) -> None:
        self.rejected += records
        self._changed(self)

    def add_sent(self, records: int) -> None:
        self.sent += records
        self._changed(self)

    def summary(self) -> dict[str, Any]:
        """The keys that `--json` prints."""
        elapsed = time.monotonic() - self.started
        return {
            "published": self.sent,
            "rejected": self.rejected,
            "elapsed_s": round(elapsed, 3),
            "items_per_s": round(self.sent / elapsed, 1) if elapsed > 0 else 0.0,
        }


async def publish(kafka: KafkaSettings, publication: Publication, progress: Progress) -> None:
    """Publish everything valid, in order; returns when all of it is acknowledged.

    Raises UsageError for mistakes in the command line before anything is sent, and BrokerError for
    a broker that does not answer or refuses. `progress` is correct at any moment, also after an
    error.
    """
    from streams.jobs.publish.sending import Sending
    from streams.kafka.produce.job_writer import job_producers

    columns = columns_of(publication.columns) if publication.columns is not None else None
    key = key_of(publication.key) if publication.key is not None else None
    faults = schema_faults(publication.schema) if publication.schema is not None else None
    arguments = client_arguments(kafka)
    if same_file(publication.rejects, publication.path):
        raise UsageError("--rejects names the input itself")
    source = Source(publication.path, publication.format, columns)
    rejects = Rejects(publication.rejects, progress.tell)
    progress.size = source.size
    try:
        partitions, largest = await _topic(arguments, publication, progress.tell)
        producers = job_producers(arguments, progress.tell, largest)
        async with connected(producers, kafka.bootstrap_servers):
            chunks = checked(source.records(largest), largest=largest, key=key, faults=faults)
            progress.started, progress.sending = time.monotonic(), True
            sending = Sending(
                producers,
                publication.topic,
                partitions,
                on_sent=progress.add_sent,
                on_refused=partial(_reject, rejects, progress),
            )
            await _pump(chunks, sending, rejects, progress, publication.rate)
    finally:
        rejects.close()
        source.close()


def _reject(rejects: Rejects, progress: Progress, *found: Reject) -> None:
    rejects.add(found)
    progress.add_rejected(len(found))


async def _pump(
    chunks: Iterator[Chunk],
    sending: Sending,
    rejects: Rejects,
    progress: Progress,
    rate: float | None,
) -> None:
    """Send all chunks. What was read before the input failed is sent all the same, so that the
    count of what is published is exact."""
    failure: Exception | None = None
    try:
        try:
            await _put(chunks, sending, rejects, progress, rate)
        except Exception as error:
            failure = error
        await sending.finish()
        if failure is not None:
            raise failure
    finally:
        await sending.stop()


async def _put(
    chunks: Iterator[Chunk],
    sending: Sending,
    rejects: Rejects,
    progress: Progress,
    rate: float | None,
) -> None:
    """Queue all chunks, at this rate."""
    count = 0
    async for chunk in read_ahead(chunks):
        _reject(rejects, progress, *chunk.rejects)
        step = len(chunk.values) if rate is None else max(1, int(rate / 10))
        for start in range(0, len(chunk.values), max(1, step)):
            values = chunk.values[start : start + step]
            keys = chunk.keys[start : start + step] if chunk.keys is not None else None
            places = chunk.places[start : start + step]
            if rate is not None:
                due = progress.started + count / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await sending.put(values, keys, places)
            count += len(values)
        progress.position = chunk.position


async def _topic(
    arguments: dict[str, Any], publication: Publication, tell: Callable[[str], None]
) -> tuple[int, int]:
    """The topic's partitions, and its limit of a batch in bytes; created if it is missing."""
    from aiokafka.admin import NewTopic
    from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

    from streams.kafka.admin import Admin
    from streams.kafka.nodes import entry_of
    from streams.kafka.remedies import missing_permission
    from streams.kafka.topics import describe

    topic, servers = publication.topic, arguments["bootstrap_servers"]
    async with connected(Admin(**arguments), servers) as admin:
        try:
            facts = (await describe(admin, [topic])).get(topic)
            if facts is not None:
                return facts.partitions, facts.max_message_bytes
            brokers = len((await admin.describe_cluster())["brokers"])
            new = NewTopic(topic, publication.partitions, min(3, brokers))
            answer = await admin.create_topics([new])
            for _, code, *why in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    reason = missing_permission(for_code(code)(topic), entry_of(admin))
                    reason = reason or (why and why[0]) or for_code(code).__name__
                    raise BrokerError(f"the topic {topic} could not be created: {reason}")
            tell(f"created the topic {topic} with {publication.partitions} partitions")
            for _ in range(100):
                facts = (await describe(admin, [topic])).get(topic)
                if facts is not None:
                    return facts.partitions, facts.max_message_bytes
                await asyncio.sleep(0.1)
        except KafkaError as error:
            raise broker_error(error, servers, admin) from error
    raise BrokerError(f"the topic {topic} was created but does not appear")
