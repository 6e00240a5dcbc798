"""The four users of the ordered queue, each over a broker in memory, behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from streams.codec.answers import Entry
from streams.errors import BrokerError
from streams.jobs.dead.plan import LetterPlan
from streams.jobs.dead.redrive import LetterWriter
from streams.jobs.files.rows import Reject
from streams.jobs.publish.sending import Sending
from streams.kafka.produce.ledger_writer import LedgerWriter
from streams.kafka.produce.parcels import Parcel
from tests.kafka.producers import Broker, OfflineProducers, OfflineSink

TOPIC = TopicPartition("topic", 0)


class Lane:
    open = True


class User:
    """`persists`: it offers a batch for as long as it takes; else it ends with a BrokerError."""

    persists = True

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.producers = OfflineProducers(broker)

    async def start(self) -> None:
        await self.producers.start()

    def put(self, *values: bytes) -> None:
        """Queue records; only in this turn of the loop."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Everything is acknowledged, or what it ended with is raised."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    def left(self) -> int:
        """Bytes or records that it still holds."""
        raise NotImplementedError

    @property
    def written(self) -> list[bytes | None]:
        return self.broker.values("topic")


class SinkUser(User):
    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.lane = Lane()
        self.durable: list[Any] = []
        self.defects: list[BaseException] = []
        self.sink = OfflineSink(broker, on_defect=self.defects.append)
        self.producers = self.sink.producers

    def put(self, *values: bytes) -> None:
        records = [(None, value, (), None) for value in values]
        self.sink.put("topic", 0, Parcel(self, self.lane, values, records))

    def delivered(self, lane: Any, slots: Any) -> None:
        self.durable += slots

    def too_large(self, lane: Any, slot: Any, topic: str, record: Any, error: Any = None) -> None:
        """It was put with another outcome."""

    refused = too_large

    async def finish(self) -> None:
        while self.sink.pending() and not self.defects:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0)
        assert self.defects == []

    async def stop(self) -> None:
        await self.sink.stop()

    def left(self) -> int:
        return self.sink.pending()


class LedgerUser(User):
    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.positions: list[tuple[int, int]] = []
        self.watermark_of = 0
        self.writer = LedgerWriter(
            self.producers,
            room_bytes=1_000_000,
            on_written=lambda where, first, count, highest: self.positions.append((first, count)),
            watermark_of=lambda where: self.watermark_of,
        )
        self._number = 0

    def put(self, *values: bytes) -> None:
        entries = [Entry(self._number + n, b"key", value) for n, value in enumerate(values)]
        self._number += len(values)
        self.writer.put(TOPIC, entries)

    async def finish(self) -> None:
        # `flush` would not wait for what cannot be written.
        while self.writer.queued_bytes:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(0)

    async def stop(self) -> None:
        await self.writer.stop()

    def left(self) -> int:
        return self.writer.queued_bytes


class JobUser(User):
    persists = False

    def _begin(self, step: Coroutine[Any, Any, None]) -> None:
        """What it queues is queued in this turn of the loop; `finish` waits for the rest."""
        try:
            step.send(None)
        except (StopIteration, BrokerError):
            return
        step.close()


class PublishUser(JobUser):
    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.counts: list[int] = []
        self.rejects: list[Reject] = []
        self.sending = Sending(
            self.producers,
            "topic",
            1,
            on_sent=self.counts.append,
            on_refused=self.rejects.append,
        )

    def put(self, *values: bytes) -> None:
        places = [(n, n) for n in range(1, len(values) + 1)]
        self._begin(self.sending.put(values, None, places))

    async def finish(self) -> None:
        await self.sending.finish()

    async def stop(self) -> None:
        await self.sending.stop()
        await self.producers.stop()

    def left(self) -> int:
        return self.sending._writer.queued_bytes


class RedriveUser(JobUser):
    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.letters = LetterWriter(self.producers, SimpleNamespace(sent=7))  # type: ignore[arg-type]

    def put(self, *values: bytes) -> None:
        letters = [
            LetterPlan(None, "topic", 0, (b"key", value, [("h", b"1")], None))  # type: ignore[arg-type]
            for value in values
        ]
        self._begin(self.letters.send(letters))

    async def finish(self) -> None:
        await self.letters.send(())

    async def stop(self) -> None:
        await self.letters.stop()
        await self.producers.stop()

    def left(self) -> int:
        return self.letters._writer.queued_bytes


USERS: Sequence[type[User]] = (SinkUser, LedgerUser, PublishUser, RedriveUser)
