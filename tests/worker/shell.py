"""A worker's shell without a broker: real tasks, engines and writers; a consumer that writes down
what is committed and allowed; calls that end when the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
from aiokafka import TopicPartition

from streams.codec.call_terms import CallTerms
from streams.codec.committed import Committed
from streams.codec.records import Decoder
from streams.codec.results import Encoder
from streams.core.limits import Limits
from streams.core.ranges import Ranges
from streams.kafka.consume.open_batches import Share
from streams.kafka.consume.reader import Allowance
from streams.kafka.extents import Extent
from streams.model import Caller, Headers, Reply, Usage
from streams.worker.call_ledger import Ledger, LedgerTask, reads_from
from streams.worker.intake import Budget
from streams.worker.output import Route
from streams.worker.task import TaskShell
from streams.worker.task_parts import TaskParts
from streams.worker.worker import Worker
from tests.kafka.producers import Broker, OfflineProducers, OfflineSink


class Call:
    """One call under way; `answer` ends it."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = list(items)
        self.ended: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    @property
    def offsets(self) -> list[int]:
        return [item.offset for item in self.items]

    def answer(self, *answers: Any) -> None:
        """With these, by default with each item's own offset."""
        if not self.ended.done():  # else it was cancelled: nobody waits for it
            given = answers or [{"of": offset} for offset in self.offsets]
            self.ended.set_result(Reply(given, Usage(100, 10, 1000)))


class Commits:
    """A consumer as far as a worker uses it. `outcome`: what the next commits do: True, False, or
    an error that is raised; True when it is empty. `alive`: what the group takes
    this worker for. `elsewhere`: offsets that others have committed."""

    def __init__(self) -> None:
        self.requests: list[Mapping[TopicPartition, Committed]] = []
        self.outcome: list[bool | Exception] = []
        self.allowances: list[Mapping[Any, Share]] = []
        self.inflated = 0
        self.under_way = 0
        self.most_under_way = 0
        self.alive = True
        self.elsewhere: dict[TopicPartition, int] = {}

    async def committed(self, partition: TopicPartition) -> Committed | None:
        offset = self.elsewhere.get(partition)
        return None if offset is None else Committed(offset)

    async def commit_watermarks(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            self.requests.append(dict(committed))
            outcome = self.outcome.pop(0) if self.outcome else True
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            self.under_way -= 1

    def allow(self, allowance: Allowance) -> None:
        self.allowances.append(allowance.shares)

    set_allowance = allow

    def close_reader(self) -> None:
        self.allowances.append({})

    def inflated_bytes(self) -> int:
        return self.inflated

    def position_of(self, partition: TopicPartition) -> int | None:
        return None

    def end_of(self, partition: TopicPartition) -> int | None:
        return None


class OfflineLedger(Ledger):
    """A ledger in a `Broker` in memory. `unreadable`: what reading raises, once. `cut_off`: not
    even its ends can be told. `source_end`: of every source partition, if not where it was read to.
    """

    def __init__(self, broker: Broker, fingerprint: str, room_bytes: int) -> None:
        answering = {"source": LedgerTask(fingerprint, timeout_s=60.0)}
        super().__init__(
            "worker",
            answering,
            {},
            end_of=lambda lane: max(self.source_end, lane.next_offset),
            room_bytes=room_bytes,
            batch_bytes=1_000_000,
        )
        self.source_end = 0
        self.broker = broker
        self.unreadable: list[Exception] = []
        self.cut_off = False
        self._writer.producers = OfflineProducers(broker)

    async def connect(self) -> None:
        await self._writer.start()

    async def _fetch(self, starts: Any, found: Any, take: Any) -> None:
        if self.cut_off:
            raise OSError("cut off")
        for source, start in starts.items():
            where = TopicPartition("worker.source.ledger", source.partition)
            end = len(self.broker.logs[where])
            begin = reads_from(start)
            first = end if begin is None else min(begin, end)
            found[where] = Extent(first, end)
            if self.unreadable:
                raise self.unreadable.pop()
            take(where, self.broker.logs[where][first:])


class Shell:
    """A worker with one task on the topic "source".

    `broker`: with what an earlier worker has left; None: a new one. `ledger`: whether there is one.
    `caller`: what the task calls; by default `calls`, which end when the test says.
    """

    def __init__(
        self,
        *,
        buffered_bytes: int = 64_000_000,
        drain_s: float = 0.05,
        deliver_within_s: float = 30.0,
        broker: Broker | None = None,
        ledger: bool = False,
        fingerprint: str = "f",
        ledger_room: int = 1_000_000,
    ) -> None:
        self.broker = broker or Broker()
        self.fingerprint = fingerprint
        self.ledger = OfflineLedger(self.broker, fingerprint, ledger_room) if ledger else None
        self.calls: list[Call] = []
        self.caller: Caller = self._call
        self.fatal: list[BaseException] = []
        self.consumer = Commits()
        self.worker = Worker(
            sources=["source"],
            consumer_keywords={},
            start="earliest",
            checks_log_end=True,
            commit_interval_s=0.001,
            drain_s=drain_s,
            budget=Budget(buffered_bytes),
            lease=SimpleNamespace(holds=lambda: self.consumer.alive),  # type: ignore[arg-type]
            on_fatal=self.fatal.append,
            deliver_within_s=deliver_within_s,
        )
        self.sink = OfflineSink(
            self.broker,
            on_defect=self.worker.on_defect,
            may_write=self.worker.lease.holds,
        )

    async def start(self, terms: CallTerms | None = None, **limits: Any) -> None:
        await self.sink.start()
        if self.ledger is not None:
            await self.ledger.connect()
        given = {"max_items": 10, "max_wait_s": 0.0, "max_in_flight": 5, **limits}
        parts = TaskParts(
            name="task",
            source="source",
            limits=Limits(**given),
            timeout_s=60.0,
            decoder=Decoder(),
            encoder=Encoder(
                task="task", model=None, fingerprint="f", mode="result", embedding="floats"
            ),
            caller=self.caller,
            fingerprint=self.fingerprint,
            terms=terms or CallTerms(),
        )
        route = Route("sink", "dead", 4, 4, 4, 1_000_000, 1_000_000)
        self.task = TaskShell(parts, route, self.sink, self.worker.on_room, self.ledger)
        self.worker.attach(self.consumer)  # type: ignore[arg-type]
        self.worker.begin({"source": self.task}, self.sink, ledger=self.ledger)

    async def stop(self) -> None:
        await self.worker.close()
        await self.sink.stop()
        if self.ledger is not None:
            await self.ledger.stop()

    async def _call(self, items: Sequence[Any]) -> Reply:
        call = Call(items)
        self.calls.append(call)
        return await call.ended

    async def assign(
        self,
        *partitions: int,
        offset: int = 0,
        beyond: Ranges = (),
        said: Committed | None = None,
    ) -> list[Any]:
        """New lanes for these partitions of the source, when their start has been committed.
        `said`: by the last commit; None: the offset, and what is done beyond it."""
        start = said or Committed(offset, beyond)
        places = {TopicPartition("source", n): start for n in partitions}
        await self.worker.before_lanes(places)
        known = self.worker.on_assigned(places)
        lanes = [known[place][0] for place in places]
        await self.until(lambda: all(lane.committed == self.task.progress(lane) for lane in lanes))
        self.consumer.requests.clear()
        return lanes

    def arrive(
        self,
        lane: Any,
        count: int,
        *,
        size: int = 10,
        first: int | None = None,
        keys: Sequence[bytes | None] = (None,),
        also: Sequence[Mapping[str, Any]] = ({},),
        headers: Headers = (),
    ) -> None:
        """So many records from offset `first` on (None: the next ones of the lane), with these keys
        and further members of their values in turn."""
        first = lane.next_offset if first is None else first
        records = [
            _record(
                lane.where,
                first + n,
                {"text": "x" * size, **also[n % len(also)]},
                keys[n % len(keys)],
                headers,
            )
            for n in range(count)
        ]
        self.worker.on_records([(lane, records, first + count)])

    def passed(self, lane: Any, position: int) -> None:
        """The lane was read to there, and nothing was a record."""
        self.worker.on_records([(lane, (), position)])

    async def until(self, what: Callable[[], bool], within_s: float = 10) -> None:
        async with asyncio.timeout(within_s):
            while not what():  # noqa: ASYNC110  nothing tells us
                await asyncio.sleep(0.001)

    def written(self, partition: int = 0) -> list[int]:
        """Source offsets of the results in a sink partition."""
        return [orjson.loads(value)["of"] for value in self.broker.values("sink", partition)]

    @property
    def committed(self) -> dict[int, int]:
        """The last offset of each partition that a commit which succeeded named."""
        found: dict[int, int] = {}
        for request in self.consumer.requests:
            found |= {place.partition: said.offset for place, said in request.items()}
        return found


def _record(
    partition: TopicPartition, offset: int, value: Any, key: bytes | None, headers: Headers
) -> Any:
    return SimpleNamespace(
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        timestamp=0,
        key=key,
        value=orjson.dumps(value),
        headers=headers,
    )


async def settled() -> None:
    """Everything that can happen without the test's doing has happened."""
    for _ in range(100):
        await asyncio.sleep(0)
