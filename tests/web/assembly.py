"""A worker without Kafka: real tasks and engines, a sink and a consumer that the test plays."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.codec.records import Decoder
from streams.codec.results import Encoder
from streams.core.account import Account
from streams.core.call_money import CallMoney
from streams.core.limits import Limits
from streams.errors import CallError
from streams.kafka.consume.lease import Lease
from streams.kafka.produce.parcels import Parcel
from streams.model import Item, Reply
from streams.policies.breaker import BreakerLimits
from streams.policies.budget import Budget, Budgets
from streams.policies.call_costs import CallCosts, Learned
from streams.policies.retry import Backoff
from streams.providers.functions import function_caller
from streams.worker.intake import Budget as Memory
from streams.worker.output import Route
from streams.worker.partition import Partition
from streams.worker.task import TaskShell
from streams.worker.task_parts import TaskParts
from streams.worker.worker import Worker

SOURCE = "reviews"
NO_WAIT = Backoff(base_s=0.0, cap_s=0.0)


class Record(NamedTuple):
    """As aiokafka's `ConsumerRecord`."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = b"key-of-the-item"
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_760_000_000_000


class PlayedSink:
    """Acknowledges what it gets in the next turn of the loop; with `holding`, when it is told."""

    def __init__(self) -> None:
        self.holding = False
        self.held: list[Parcel] = []
        self.records: list[tuple[str, Any]] = []

    def put(self, topic: str, partition: int, parcel: Parcel) -> None:
        self.records += [(topic, record) for record in parcel.records]
        self.held.append(parcel)
        if not self.holding:
            asyncio.get_running_loop().call_soon(self.acknowledge)

    def acknowledge(self, *, last_first: bool = False) -> None:
        held, self.held = self.held, []
        for parcel in reversed(held) if last_first else held:
            parcel.sender.delivered(parcel.lane, parcel.slots)

    def pending(self) -> int:
        return sum(len(parcel.slots) for parcel in self.held)

    async def stop(self) -> None:
        self.held.clear()


class PlayedConsumer:
    """Knows ends and positions; does what a consumer is told, which is nothing here."""

    def __init__(self) -> None:
        self.ends: dict[TopicPartition, int] = {}
        self.positions: dict[TopicPartition, int] = {}

    def end_of(self, partition: TopicPartition) -> int | None:
        return self.ends.get(partition)

    def inflated_bytes(self) -> int:
        return 0

    def position_of(self, partition: TopicPartition) -> int | None:
        return self.positions.get(partition)

    def allow(self, allowance: Any) -> None: ...
    def set_allowance(self, allowance: Any) -> None: ...
    def close_reader(self) -> None: ...

    waits = ""

    def waits_for(self) -> str:
        return self.waits

    async def commit_watermarks(self, offsets: Any) -> bool:
        return True


class Steered:
    """A caller whose calls end when, and as, the test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Item], asyncio.Future[Reply]]] = []
        self._begun = asyncio.Event()

    async def __call__(self, items: Sequence[Item]) -> Reply:
        ended: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.calls.append((list(items), ended))
        self._begun.set()
        return await ended

    async def begun(self, count: int) -> None:
        while len(self.calls) < count:
            self._begun.clear()
            await self._begun.wait()

    def answer(self, place: int) -> None:
        items, ended = self.calls[place]
        ended.set_result(Reply([{"label": "good"}] * len(items)))

    def fail(self, place: int, error: CallError) -> None:
        self.calls[place][1].set_exception(error)


def money(budgets: Budgets) -> CallMoney:
    """A budget whose calls cost 30 nano-dollars for each item, by what was told before the first
    reply."""
    now = asyncio.get_running_loop().time()
    costs = CallCosts(1, 1)
    costs.told = Learned(30.0, 0.0, 1)
    return CallMoney(Budget(budgets, "pause", now), costs)


class Played:
    """One task of a real `Worker`. `function`: its custom function; `caller`: instead of one.
    `beside`: a second task of this name, and with this source. `money`: see `money`."""

    def __init__(
        self,
        function: Callable[[Sequence[Item]], Awaitable[Sequence[Any]]] | None = None,
        *,
        caller: Any = None,
        name: str = "sentiment",
        max_items: int = 2,
        max_in_flight: int = 2,
        max_attempts: int = 3,
        max_wait_s: float = 0.0,
        backoff: Backoff = NO_WAIT,
        breaker: BreakerLimits | None = None,
        beside: str | None = None,
        has_price: bool = True,
        money: CallMoney | None = None,
        account: Account | None = None,
    ) -> None:
        self.sink, self.consumer = PlayedSink(), PlayedConsumer()
        self.worker = Worker(
            sources=[SOURCE],
            consumer_keywords={},
            start="earliest",
            checks_log_end=True,
            commit_interval_s=3600,
            drain_s=1,
            budget=Memory(64_000_000),
            lease=Lease(10),
            on_fatal=lambda error: None,
        )
        limits = Limits(
            max_items=max_items,
            max_wait_s=max_wait_s,
            max_in_flight=max_in_flight,
            max_attempts=max_attempts,
            backoff=backoff,
            breaker=breaker,
        )
        parts = TaskParts(
            name=name,
            source=SOURCE,
            limits=limits,
            timeout_s=60,
            decoder=Decoder(),
            encoder=Encoder(task=name, model=None, fingerprint="f"),
            caller=caller if function is None else function_caller(function),
            has_price=has_price,
            money=money,
            account=account,
        )
        route = Route(f"{SOURCE}.sink", f"{SOURCE}.dead", 4, 4, 4, 1_000_000, 1_000_000)
        sink: Any = self.sink
        consumer: Any = self.consumer
        self.task = TaskShell(parts, route, sink, self.worker.on_room)
        tasks = {SOURCE: self.task}
        if beside is not None:
            parts = dataclasses.replace(parts, name=beside, source=beside)
            tasks[beside] = TaskShell(parts, route, sink, self.worker.on_room)
        self.worker.begin(tasks, sink)
        self.worker.attach(consumer)

    async def __aenter__(self) -> Played:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.task.stop()
        await self.worker.close()

    def assign(self, *partitions: int, offset: int = 0, source: str = SOURCE) -> list[Partition]:
        """Partitions come to this worker, to be read from `offset`."""
        starts = {TopicPartition(source, number): Committed(offset) for number in partitions}
        return [lane for lane, _ in self.worker.on_assigned(starts).values()]

    def arrive(self, lane: Partition, *texts: str | None, end: int | None = None) -> None:
        """Items come from the lane's partition, whose end is after them or at `end`. None: a
        tombstone."""
        first, partition = lane.next_offset, lane.where
        records = [
            Record(
                partition.topic,
                partition.partition,
                first + place,
                None if text is None else b'{"text": "%s"}' % text.encode(),
            )
            for place, text in enumerate(texts)
        ]
        self.consumer.positions[partition] = first + len(texts)
        self.consumer.ends[partition] = first + len(texts) if end is None else end
        self.worker.on_records([(lane, records, first + len(texts))])

    async def until(self, fact: Callable[[], bool]) -> None:
        """Give the loop turns until the fact holds."""
        for _ in range(10_000):
            if fact():
                return
            await asyncio.sleep(0)
        raise AssertionError("what was waited for never came")

    async def until_settled(self, items: int) -> None:
        """So many items have their outcome, durable."""
        await self.until(lambda: self.task.tally.items >= items)
