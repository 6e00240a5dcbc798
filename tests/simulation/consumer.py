"""One process's side of the group: `consume/transport.py` replayed step by step around the real
`LaneReader` over aiokafka's own fetcher, with its two threads as two ends of a queue.

What this relies on: `RecordHost` (`on_revoked`, `before_assigned`, `on_assigned`, `on_records`,
`on_reader_error`), `LaneReader` (`open`, `close`, `allow`, `set_allowance`, `run`, `position_of`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CoordinatorNotAvailableError, KafkaError

from streams.codec.committed import Committed
from streams.kafka.consume.reader import Allowance, LaneReader
from tests.simulation.hop import Hop
from tests.simulation.records import SOURCE, SourceRecord

if TYPE_CHECKING:
    from tests.simulation.member import Member
    from tests.simulation.world import World


UNCOMMITTED = Committed(0, is_committed=False)
"""Where a partition begins that nobody has committed for."""


class _Fetched:
    """Records as `open_batches.take` takes them."""

    def __init__(self, records: list[SourceRecord], position: int, end: int) -> None:
        self.next_fetch_offset = position
        size = sum(len(record.value or b"") for record in records)
        self._records = SimpleNamespace(size_in_bytes=lambda: size, opened=None)
        self._records_iterator = self._unpack_records(records, end)

    def _unpack_records(self, records: list[SourceRecord], end: int) -> Iterator[SourceRecord]:
        for record in records:
            self.next_fetch_offset = record.offset + 1
            yield record
        self.next_fetch_offset = end


class _Bell:
    """What aiokafka's fetcher rings when there is room for another fetch."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring

    def done(self) -> bool:
        return False

    def set_result(self, _result: None) -> None:
        self._ring()


class _Fetcher(Fetcher):
    """`fetched_records`, `seek_to` and the waiters are aiokafka's; the logs are the world's."""

    def __init__(self, world: World, subscription: SubscriptionState) -> None:
        self._subscriptions = subscription
        self._loop = world.loop
        self._closed = False
        self._records: OrderedDict[TopicPartition, Any] = OrderedDict()
        self._wait_consume_future = _Bell(self.look)
        self._fetch_waiters: set[asyncio.Future[None]] = set()
        self._fetch_task = world.loop.create_future()  # which never ends
        self._world = world
        self._under_way: set[TopicPartition] = set()

    def look(self) -> None:
        """Fetch whatever is neither here nor under way."""
        subscription = self._subscriptions.subscription
        if subscription is None or subscription.assignment is None:
            return
        assignment = subscription.assignment
        for partition in sorted(assignment.tps):
            position = assignment.state_value(partition)._position
            ready = partition in self._records or partition in self._under_way
            if ready or position is None or assignment.state_value(partition).paused:
                continue
            if self._world.sources[partition.partition].end > position:
                self._under_way.add(partition)
                wait_s = self._world.soon()
                self._world.loop.call_later(wait_s, self._answered, partition, assignment, position)

    def _answered(self, partition: TopicPartition, assignment: Any, position: int) -> None:
        self._under_way.discard(partition)
        state = assignment.state_value(partition)
        if not assignment.active or state._position != position or partition in self._records:
            self.look()
            return
        world = self._world
        if world.weather.is_on("fetching fails", partition.partition):
            self._records[partition] = FetchError(error=KafkaError("not now"), backoff=0)
        else:
            most = world.parameters.fetch_records
            records, end = world.sources[partition.partition].read(position, most)
            self._records[partition] = FetchResult(
                partition,
                assignment=assignment,
                partition_records=_Fetched(records, position, end),
                backoff=0,
            )
        for waiter in list(self._fetch_waiters):
            self._notify(waiter)


class _Client:
    """What the reader uses of an `AIOKafkaConsumer`."""

    def __init__(self, world: World, request_rejoin: Callable[[], None]) -> None:
        self._subscription = SubscriptionState()
        self._subscription.subscribe({SOURCE})
        self._fetcher = _Fetcher(world, self._subscription)
        self._coordinator = SimpleNamespace(
            request_rejoin=request_rejoin, check_errors=lambda: None
        )

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._subscription.assigned_partitions())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._fetcher.seek_to(partition, offset)

    def pause(self, partition: TopicPartition) -> None:
        self._subscription.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        self._subscription.resume(partition)
        self._fetcher.look()


class Consumer:
    """The part of `transport.Consumer` that a worker knows, and the membership."""

    def __init__(self, world: World, member: Member) -> None:
        self._world = world
        self._member = member
        self._host = member.worker
        self._rejoin = asyncio.Event()
        self._to_worker = Hop(world)
        self._to_thread = Hop(world)
        self._client = _Client(world, self.rejoin)
        self._reader = LaneReader(
            self._client,
            self._to_worker,  # type: ignore[arg-type]
            self._alive(self._host.on_records),
            self._alive(self._host.on_reader_error),
        )
        self._in_rebalance = True
        self._generation = -1
        self._assigned: frozenset[TopicPartition] = frozenset()
        self.look = self._client._fetcher.look

    def _alive(self, call: Callable[..., None]) -> Callable[..., None]:
        def called(*args: Any) -> None:
            if not self._member.dead:
                call(*args)

        return called

    async def read(self) -> None:
        await self._reader.run()

    @property
    def at_rest(self) -> bool:
        """It has its partitions, and is not asked to join anew."""
        return not self._in_rebalance and not self._rejoin.is_set()

    def rejoin(self) -> None:
        self._rejoin.set()

    # -- a rebalance, as the transport's docstring has it ----------------------------------------

    async def take_part(self) -> None:
        """Join, and join again whenever the group asks for it."""
        member, group = self._member, self._world.group
        subscription = self._client._subscription
        while True:
            self._rejoin.clear()
            self._in_rebalance = True
            subscription.begin_reassignment()
            self._reader.close()
            await self._to_worker.crossed()
            began_at = self._world.now()
            await self._host.on_revoked()
            member.revoked(began_at)
            await self._to_thread.crossed()
            self._generation, partitions = await group.join(member)
            assigned = [TopicPartition(SOURCE, n) for n in partitions]
            subscription.assign_from_subscribed(set(assigned))
            self._assigned = frozenset(assigned)
            await self._to_worker.crossed()
            await self._assign(assigned)
            self._in_rebalance = False
            await self._rejoin.wait()

    async def _assign(self, assigned: list[TopicPartition]) -> None:
        starts: dict[TopicPartition, Committed] = {}
        if assigned:
            await self._host.before_assigned(assigned)
            starts = await self._starts(assigned)
        asked_at, recorded = self._world.now(), self._world.call_ledger.promised()
        if assigned:
            await self._host.before_lanes(starts)
        lanes = self._host.on_assigned(starts)
        if self._member.ledger_troubled_at >= asked_at:
            recorded = [0] * len(recorded)
        self._member.assigned(starts, lanes, recorded)
        self._in_thread(self._open, lanes)
        self._in_thread(self._reader.allow, self._host.allowance())

    def _open(self, lanes: Mapping[TopicPartition, tuple[Any, int]]) -> None:
        self._reader.open(lanes)
        self.look()

    def sought(self) -> None:
        """Somebody else seeks every partition, as Faust's recovery does."""
        if self._client._subscription.reassignment_in_progress:
            return
        for partition in sorted(self._client.assignment()):
            end = self._world.sources[partition.partition].end
            self._client.seek(partition, self._world.random.choice([0, end // 2, end]))
        self.look()

    async def _starts(self, assigned: list[TopicPartition]) -> dict[TopicPartition, Committed]:
        while True:
            await self._to_thread.crossed()
            try:
                found = await self._world.group.committed(
                    self._member, [partition.partition for partition in assigned]
                )
            except CoordinatorNotAvailableError:
                await asyncio.sleep(0.5)
                continue
            await self._to_worker.crossed()
            return {tp: found.get(tp.partition, UNCOMMITTED) for tp in assigned}

    # -- what a worker asks for ------------------------------------------------------------------

    async def commit_watermarks(self, committed: Mapping[TopicPartition, Committed]) -> bool:
        if self._member.dead:
            await self._world.never()
        await self._to_thread.crossed()
        if not self._assigned.issuperset(committed):  # aiokafka: IllegalStateError
            return False
        offsets = {partition.partition: said for partition, said in committed.items()}
        done = await self._world.group.commit(self._member, self._generation, offsets)
        await self._to_worker.crossed()
        return done

    async def committed(self, partition: TopicPartition) -> Committed | None:
        """Raises KafkaError."""
        if self._member.dead:
            await self._world.never()
        await self._to_thread.crossed()
        found = await self._world.group.committed(self._member, [partition.partition])
        await self._to_worker.crossed()
        return found.get(partition.partition)

    def join_again(self) -> None:
        self._in_thread(self._reader.join_again)

    def _in_thread(self, call: Callable[..., None], *args: Any) -> None:
        self._to_thread.call_soon_threadsafe(self._alive(call), *args)

    def allow(self, allowance: Allowance) -> None:
        self._in_thread(self._reader.allow, allowance)

    def set_allowance(self, allowance: Allowance) -> None:
        self._in_thread(self._reader.set_allowance, allowance)

    def close_reader(self) -> None:
        self._in_thread(self._reader.close)

    def inflated_bytes(self) -> int:
        return self._reader.inflated_bytes

    def position_of(self, partition: TopicPartition) -> int | None:
        return self._reader.position_of(partition)

    def end_of(self, partition: TopicPartition) -> int | None:
        return self._world.sources[partition.partition].end
