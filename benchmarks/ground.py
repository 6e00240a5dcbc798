"""What every benchmark stands on: a broker, topics of its own, and items in them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

ITEM_BYTES = 200
BATCH_BYTES = 256 * 1024
PROSE = (
    "The battery lasted for two days, far more than I expected; the parcel took nine days though, "
    "and nobody at the shop could say where it was. I would still buy it again for that price. "
)


def item(number: int) -> bytes:
    """An item whose value is exactly `ITEM_BYTES` bytes of JSON."""
    head = b'{"id": %d, "text": "' % number
    return head + PROSE[: ITEM_BYTES - len(head) - 2].encode() + b'"}'


MakeItem = Callable[[int], bytes]
"""The value of the item of a number."""


@contextlib.contextmanager
def broker(chosen: str | None) -> Iterator[tuple[str, str]]:
    """An address and what answers there. `chosen`: `--broker`; None: `STREAMS_TEST_BROKER`, a kind
    or an address; unset: the best kind that can run here."""
    wanted = chosen or os.environ.get("STREAMS_TEST_BROKER")
    with _quiet():
        if wanted and ":" in wanted:
            yield wanted, f"the broker at {wanted}"
            return
        from tests.brokers.choose import choose, start

        made = start(choose(wanted).kind, fast_start=False)
        try:
            yield made.bootstrap, made.description
        finally:
            made.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """aiokafka complains about topics that are seconds old. Only while a benchmark runs: tests that
    import one stand in the same process as those that listen to what aiokafka says."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


class Topics:
    """Topics with a name of their own on one broker; all of them are deleted at the end."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._admin = AIOKafkaAdminClient(bootstrap_servers=server)
        self._watcher = AIOKafkaConsumer(bootstrap_servers=server)
        self._made: dict[str, int] = {}

    async def make(self, partitions: int, **settings: str) -> str:
        """A new, empty topic; its settings with "_" for "."."""
        name = f"bench-{secrets.token_hex(4)}"
        configs = {key.replace("_", "."): value for key, value in settings.items()}
        await self._admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        self._made[name] = partitions
        return name

    async def delete(self, name: str) -> None:
        """With what a worker and a replay of that id have made for it: the topics of dead letters,
        of ledgers and of runs."""
        del self._made[name]
        beside = (f"{name}.dead", f".{name}.ledger", f"{name}.replays")
        there = await self._admin.list_topics()
        for each in (name, *(other for other in there if other.endswith(beside))):
            with contextlib.suppress(KafkaError):
                await self._admin.delete_topics([each])

    async def fill(
        self, name: str, items: int, *, only: int | None = None, item: MakeItem = item
    ) -> None:
        """Write that many items, with keys: the same number to each partition, or all to `only`."""
        partitions = self._made[name]
        async with AIOKafkaProducer(
            bootstrap_servers=self.server, max_batch_size=BATCH_BYTES
        ) as producer:
            if only is not None:
                await write_items(producer, name, only, range(items), item)
                return
            await asyncio.gather(
                *(
                    write_items(
                        producer, name, partition, range(partition, items, partitions), item
                    )
                    for partition in range(partitions)
                )
            )

    async def count(self, name: str) -> int:
        """How many records the topic has."""
        partitions = [TopicPartition(name, n) for n in range(self._made[name])]
        return sum((await self._watcher.end_offsets(partitions)).values())

    async def __aenter__(self) -> Topics:
        await self._admin.start()
        await self._watcher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._made):
            await self.delete(name)
        await self._watcher.stop()
        await self._admin.close()


async def write_items(
    producer: AIOKafkaProducer, name: str, partition: int, numbers: range, item: MakeItem = item
) -> None:
    """Write those items in as few batches as hold them, and wait until they are written."""
    batch = producer.create_batch()
    for number in numbers:
        while not batch.append(key=b"%08d" % number, value=item(number), timestamp=None):
            await (await producer.send_batch(batch, name, partition=partition))
            batch = producer.create_batch()
    await (await producer.send_batch(batch, name, partition=partition))


@contextlib.asynccontextmanager
async def topics(server: str) -> AsyncIterator[Topics]:
    async with Topics(server) as made:
        yield made


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--broker", metavar="HOST:PORT", help="default: STREAMS_TEST_BROKER")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    return parser
