"""The transactions of one source partition, one after the other; the rules are in
`transactions.py`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidTimestampError, KafkaError

from streams.codec.committed import Committed
from streams.kafka.produce.groups import Commits, Ended, Group, Sent
from streams.kafka.produce.parcels import (
    OFFER_AGAIN_S,
    TOO_LARGE,
    Complaints,
    Parcel,
    acknowledgement,
    fill,
    retrieved,
)
from streams.kafka.produce.refusals import Refusals


class Owner(Protocol):
    """What a writer asks of `Transactions`."""

    worker_id: str
    complaints: Complaints
    committed: Callable[[TopicPartition], Any]
    progress: Callable[[Any, Collection[Any]], Committed]
    presses: Callable[[Any], bool]
    on_lost: Callable[[Any], None]
    on_defect: Callable[[BaseException], None]

    @property
    def interval_s(self) -> float: ...
    async def connect(self, partition: TopicPartition) -> AIOKafkaProducer: ...
    def retire(self, producer: AIOKafkaProducer) -> None: ...


FAILURES = (KafkaError, IllegalOperation, AssertionError)
"""aiokafka asserts that its producer is in the right state, or calls what is asked for illegal;
after a fatal error it is not."""


class LaneWriter:
    """Writes what is put into it, in order, each group in a transaction with its offset."""

    def __init__(self, owner: Owner, partition: TopicPartition) -> None:
        self._owner = owner
        self.partition = partition
        self._producer: AIOKafkaProducer | None = None
        self._queue: deque[tuple[TopicPartition, Parcel]] = deque()
        self._pending = 0
        self._moved: Any = None  # the lane that `_commits` are about
        self._commits = Commits()
        self._refusals: dict[TopicPartition, Refusals] = {}
        self._hurried = asyncio.Event()
        self._next_at = 0.0
        self._retired = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fence whoever had this partition before."""
        self._producer = await self._owner.connect(self.partition)

    def retire(self) -> None:
        """Write nothing more; a transaction under way is left to be ended by the next owner."""
        self._retired = True
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()
        if self._producer is not None:
            self._owner.retire(self._producer)
        self._commits.answer(committed=False)

    def pending(self) -> int:
        return self._pending

    def put(self, where: TopicPartition, parcel: Parcel) -> None:
        self._queue.append((where, parcel))
        self._pending += len(parcel.slots)
        if self._owner.presses(parcel.lane):
            self._hurried.set()
        self._begin()

    def hurry(self) -> None:
        if self._pending:
            self._hurried.set()

    async def commit(self, lane: Any) -> bool:
        """Commit what the lane has settled, with outcomes that have come meanwhile or without any;
        returns when the next transaction has ended. True: it is committed."""
        self._moved = lane
        committed = self._commits.ask()
        self._hurried.set()
        self._begin()
        return await committed

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._write())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or self._retired:
            return
        if (error := task.exception()) is not None:
            self._commits.answer(committed=False)
            self._owner.on_defect(error)
        elif self._queue or self._commits:
            self._begin()

    async def _write(self) -> None:
        await asyncio.sleep(0)  # what is released in this turn of the loop belongs together
        loop = asyncio.get_running_loop()
        while self._queue or self._commits:
            wait_s = self._next_at - loop.time()
            if wait_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._hurried.wait()
            self._hurried.clear()
            self._next_at = loop.time() + self._owner.interval_s
            asked = len(self._commits)
            ended = await self._transact()
            if ended is not Ended.UNDONE:  # who asks from now on asks for more
                self._commits.answer(asked, committed=ended is Ended.DONE)

    # -- one transaction -------------------------------------------------------------------------

    async def _transact(self) -> Ended:
        lane = self._moved
        group = self._take()
        if group:
            lane = group.lane
        elif lane is None or not lane.open:
            return Ended.LOST
        # Asked for now: an older value could be below what another transaction has committed.
        said = self._owner.progress(lane, group.slots)
        if not group and said == lane.committed:
            return Ended.DONE
        sent: list[Sent] = []
        try:
            await self._attempt(group, said, sent)
        except FAILURES as error:
            ended = await self._after(error, lane, said, group, sent)
        else:
            ended = Ended.DONE
        if ended is Ended.UNDONE:
            return ended
        self._pending -= len(group)
        if ended is Ended.DONE:
            lane.committed = said
            for where, parcel in group.parcels:
                self._refusals[where].passed(len(parcel.slots))
                parcel.sender.delivered(lane, parcel.slots)
        elif lane.open:
            self._owner.on_lost(lane)
        return ended

    def _take(self) -> Group:
        """Everything that is queued, of lanes that are open."""
        parcels = []
        while self._queue:
            where, parcel = self._queue.popleft()
            if parcel.lane.open:
                parcels.append((where, parcel))
            else:
                self._pending -= len(parcel.slots)
        return Group(parcels)

    async def _attempt(self, group: Group, said: Committed, sent: list[Sent]) -> None:
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        for where, parcels in group.by_where().items():
            await self._offer(producer, where, parcels, sent)
        offset = {self.partition: OffsetAndMetadata(said.offset, said.metadata)}
        offsets = asyncio.ensure_future(
            producer.send_offsets_to_transaction(offset, self._owner.worker_id)
        )
        offsets.add_done_callback(retrieved)
        try:
            for each in sent:
                await acknowledgement(each.acknowledged, each.where)
            await offsets
        finally:
            offsets.cancel()
        await producer.commit_transaction()

    async def _offer(
        self,
        producer: AIOKafkaProducer,
        where: TopicPartition,
        parcels: list[Parcel],
        sent: list[Sent],
    ) -> None:
        """Send these records as batches, in order."""
        refusals = self._refusals.setdefault(where, Refusals())
        first, number, skipped = 0, 0, 0  # the next record, its parcel, records before that parcel
        while number < len(parcels):
            batch = producer.create_batch()
            taken = fill(batch, parcels[number:], first - skipped, refusals)
            if not taken:
                raise KafkaError("its lane was closed meanwhile")
            size = batch.size()
            acknowledged = await producer.send_batch(batch, where.topic, partition=where.partition)
            acknowledged.add_done_callback(retrieved)
            sent.append(Sent(where, first, taken, size, acknowledged))
            first += taken
            while number < len(parcels) and first - skipped >= len(parcels[number].records):
                skipped += len(parcels[number].records)
                number += 1

    # -- what failed -----------------------------------------------------------------------------

    async def _after(
        self,
        error: BaseException,
        lane: Any,
        said: Committed,
        group: Group,
        sent: list[Sent],
    ) -> Ended:
        """Learn from the failure, and put back what is to be written again."""
        if not lane.open:  # its next owner ends what is pending, and must not be fenced by us
            return Ended.LOST
        given_up, understood = self._learn(group, sent)
        if not understood:
            self._owner.complaints.say("a transaction of %s/%s failed: %r", self.partition, error)
            await asyncio.sleep(OFFER_AGAIN_S)
        ended = await self._look_again(lane, said)
        if ended is Ended.UNDONE:
            await self._put_back(error, lane, group, given_up)
        return ended

    async def _put_back(
        self, error: BaseException, lane: Any, group: Group, given_up: Mapping[Any, str]
    ) -> None:
        """The group comes first again, with other records for those that are too large."""
        stubborn = False
        for slot, topic in given_up.items():
            record = group.record_of(slot)
            instead = group.sender.too_large(lane, slot, topic, record)
            self._pending -= instead is None  # it was put again, with another outcome
            stubborn |= instead is record
            group = group.with_instead(slot, instead)
        self._queue.extendleft(reversed(group.parcels))
        self._hurried.set()
        if stubborn:
            said = "%s/%s: even small records are refused: %r"
            self._owner.complaints.say(said, self.partition, error)
            await asyncio.sleep(OFFER_AGAIN_S)

    def _learn(self, group: Group, sent: list[Sent]) -> tuple[dict[Any, str], bool]:
        """What the refused batches say of their records: the slots whose records are too large by
        themselves, with their topics; and whether anything was said."""
        given_up: dict[Any, str] = {}
        understood = False
        now_ms = time.time() * 1000
        for each in sent:
            refusals, error = self._refusals[each.where], each.error
            if isinstance(error, TOO_LARGE):
                understood = True
                if not refusals.refused_size(each.taken, each.size):
                    given_up[group.at(each.where, each.first)[0]] = each.where.topic
            elif isinstance(error, InvalidTimestampError):
                asked = refusals.timestamp(group.at(each.where, each.first)[1][3], now_ms)
                understood |= refusals.refused_timestamp(each.taken, asked, now_ms)
        return given_up, understood

    async def _look_again(self, lane: Any, said: Committed) -> Ended:
        """A new producer; then, what became of the transaction of the old one."""
        while True:
            if self._producer is not None:
                self._owner.retire(self._producer)
                self._producer = None
            self._producer = await self._owner.connect(self.partition)
            try:
                there = await self._owner.committed(self.partition)
            except KafkaError as error:
                self._owner.complaints.say("offsets of %s/%s: %r", self.partition, error)
                await asyncio.sleep(OFFER_AGAIN_S)
                continue
            if there == said:
                return Ended.DONE
            if there == lane.committed or (there is None and not lane.committed.made):
                return Ended.UNDONE
            return Ended.LOST
