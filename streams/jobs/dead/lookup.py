"""One record by its position: a dead letter to show, or a source record that a letter left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from streams.codec.records import BrokenValue
from streams.errors import BrokerError
from streams.jobs.dead.letters import DeadLetter
from streams.kafka.client import broker_answer, client_arguments, connect, connected
from streams.model import Position

if TYPE_CHECKING:
    from streams.settings import KafkaSettings


class Lookup:
    """Reads single records over a consumer without a group; connects at the first read."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._consumer: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def record(self, where: Position) -> tuple[Any, range]:
        """The record at this position (None: not there any more, or not yet), and the offsets that
        its partition has. Raises BrokerError. The partition must exist."""
        try:
            return await broker_answer(self._record(where), await self._started())
        except BrokerError as error:
            raise BrokerError(f"{_place(where)} cannot be read: {error}") from None

    async def _started(self) -> Any:
        from aiokafka import AIOKafkaConsumer

        from streams.kafka.consume.fetched_records import allow_any_record

        if self._consumer is None:
            allow_any_record()
            self._consumer = AIOKafkaConsumer(
                **client_arguments(self._kafka),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            await connect(self._consumer, self._kafka.bootstrap_servers)
        return self._consumer

    async def _record(self, where: Position) -> tuple[Any, range]:
        from aiokafka import TopicPartition

        place = TopicPartition(where.topic, where.partition)
        self._consumer.assign([place])
        first = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        if not first <= where.offset < end:
            return None, range(first, end)
        self._consumer.seek(place, where.offset)
        while await self._consumer.position(place) <= where.offset:
            found = await self._consumer.getmany(place, timeout_ms=500, max_records=1)
            for record in found.get(place, []):
                return (record if record.offset == where.offset else None), range(first, end)
        return None, range(first, end)


async def find(kafka: KafkaSettings, topic: str, partition: int, offset: int) -> Any:
    """The record at this place. Raises BrokerError if there is none, with the offsets that
    exist."""
    from streams.kafka.admin import Admin
    from streams.kafka.tail import partitions_of

    admin = Admin(**client_arguments(kafka))
    async with connected(admin, kafka.bootstrap_servers), Lookup(kafka) as lookup:
        partitions = await partitions_of(admin, topic)
        if partition not in partitions:
            raise BrokerError(f"{topic} has the partitions 0 to {partitions[-1]}, not {partition}")
        record, offsets = await lookup.record(Position(topic, partition, offset))
    if record is None:
        has = f"offsets {offsets.start} to {offsets.stop - 1}" if offsets else "no records"
        raise BrokerError(f"there is no record at {topic}/{partition}/{offset}: it has {has}")
    return record


async def original(lookup: Lookup, letter: DeadLetter) -> Any:
    """The source record of a letter without some of its parts. Raises ValueError, with the reason,
    if the source no longer has the record: another record may have its offset by now."""
    record, offsets = await lookup.record(letter.source)
    lost = " and ".join(letter.omitted)
    if record is None:
        raise ValueError(
            f"it is without its {lost}, and {_place(letter.source)} is gone from the source"
            f" (it has offsets {offsets.start} to {offsets.stop - 1})"
        )
    if isinstance(record.value, BrokenValue):
        raise ValueError(
            f"it is without its {lost}, and {_place(letter.source)} cannot be read: "
            f"{record.value.problem}"
        )
    sizes = {"value": len(record.value or b""), "key": len(record.key or b"")}
    sizes["headers"] = len(record.headers)
    same = all(sizes[what] == size for what, size in letter.omitted.items())
    stamp = None if record.timestamp < 0 else record.timestamp
    if not same or stamp != letter.source_timestamp_ms:
        raise ValueError(
            f"it is without its {lost}, and {_place(letter.source)} is another record by now"
        )
    return record


def _place(where: Position) -> str:
    return f"{where.topic}/{where.partition}/{where.offset}"
