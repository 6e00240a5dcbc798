"""The transactions of one source partition, one after the other; the rules are in
`transactions.py`."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from streams.codec.committed import Committed
from streams.kafka.produce.group import Group, HandedBack, Sent
from streams.kafka.produce.parcels import (
    REFUSED,
    STUBBORN,
    Parcel,
    Refusals,
    WarningLog,
    acknowledgement,
    mark_retrieved,
    warn_of_silence,
)
from streams.kafka.produce.producers import BATCH_BYTES, OFFER_INTERVAL_S
from streams.kafka.produce.quota import Quota
from streams.kafka.produce.waiting import Commits

QUOTA_MEMORY_S = 600.0
"""How long a quota that was met makes for small transactions."""


class Ended(Enum):
    """What happened to a transaction that failed."""

    UNDONE = "nothing of it happened"
    DONE = "all of it happened"
    LOST = "somebody else has committed"


class Owner(Protocol):
    """What a writer asks of `Transactions`."""

    worker_id: str
    warning_log: WarningLog
    quota: Quota
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
"""aiokafka asserts that its producer is in the right state, or calls a request illegal; after a
fatal error the state is wrong."""


class LaneWriter:
    """Writes what is put into it, in order, each group in a transaction with its offset."""

    def __init__(self, owner: Owner, partition: TopicPartition) -> None:
        self._owner = owner
        self.partition = partition
        self._producer: AIOKafkaProducer | None = None
        self._queue: deque[tuple[TopicPartition, Parcel]] = deque()
        self._pending = 0
        self._commit_lane: Any = None  # the lane that `_commits` are about
        self._commits = Commits()
        self._refusals: dict[TopicPartition, Refusals] = defaultdict(Refusals)
        self._urgent = asyncio.Event()
        self._next_at = 0.0
        self._retired = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fence the earlier owner of this partition."""
        self._producer = await self._owner.connect(self.partition)

    def retire(self) -> None:
        """Write nothing more; the next owner ends a transaction that is under way."""
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
            self._urgent.set()
        self._begin()

    def hurry(self) -> None:
        if self._pending:
            self._urgent.set()

    async def commit(self, lane: Any) -> bool:
        """Commit what the lane has settled, with outcomes that arrive in the meantime or without
        any; returns when the next transaction has ended. True: committed."""
        self._commit_lane = lane
        committed = self._commits.ask()
        self._urgent.set()
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
        await asyncio.sleep(0)  # all outcomes of this turn of the loop go together
        loop = asyncio.get_running_loop()
        while self._queue or self._commits:
            wait_s = self._next_at - loop.time()
            if wait_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._urgent.wait()
            self._urgent.clear()
            if self._owner.quota.left_s:
                await asyncio.sleep(self._owner.quota.left_s)
            self._next_at = loop.time() + self._owner.interval_s
            requests = len(self._commits)
            ended = await self._transact()
            if ended is not Ended.UNDONE:  # later requests belong to the next transaction
                self._commits.answer(requests, committed=ended is Ended.DONE)

    # -- one transaction -------------------------------------------------------------------------

    async def _transact(self) -> Ended:
        lane = self._commit_lane
        group = self._take()
        if group:
            lane = group.lane
        elif lane is None or not lane.open:
            return Ended.LOST
        # Ask only now: an older value could be below what another transaction has committed.
        target = self._owner.progress(lane, group.slots)
        if not group and target == lane.committed:
            return Ended.DONE
        sent: list[Sent] = []
        try:
            await self._attempt(group, target, sent)
        except FAILURES as error:
            ended = await self._after(error, lane, target, group, sent)
        else:
            ended = Ended.DONE
        if ended is Ended.UNDONE:
            return ended
        self._pending -= len(group)
        if ended is Ended.DONE:
            lane.committed = target
            for where, parcel in group.parcels:
                self._refusals[where].passed(len(parcel.slots))
                parcel.sender.delivered(lane, parcel.slots)
        elif lane.open:
            self._owner.on_lost(lane)
        return ended

    def _take(self) -> Group:
        """Everything in the queue of open lanes; where a quota was met, about a batch of it."""
        parcels = []
        room_bytes = BATCH_BYTES if self._owner.quota.met(QUOTA_MEMORY_S) else math.inf
        while self._queue and room_bytes > 0:
            where, parcel = self._queue.popleft()
            if parcel.lane.open:
                parcels.append((where, parcel))
                if room_bytes < math.inf:
                    room_bytes -= sum(len(value or b"") for _, value, *_ in parcel.records)
            else:
                self._pending -= len(parcel.slots)
        return Group(parcels)

    async def _attempt(self, group: Group, target: Committed, sent: list[Sent]) -> None:
        producer = self._producer
        assert producer is not None
        await producer.begin_transaction()
        await group.send(producer, self._refusals, sent)
        offset = {self.partition: OffsetAndMetadata(target.offset, target.metadata)}
        offsets = asyncio.ensure_future(
            producer.send_offsets_to_transaction(offset, self._owner.worker_id)
        )
        offsets.add_done_callback(mark_retrieved)
        try:
            for each in sent:
                silent = partial(warn_of_silence, each.where)
                await acknowledgement(each.acknowledged, silent, self._owner.quota)
            await offsets
        finally:
            offsets.cancel()
        await producer.commit_transaction()

    # -- what failed -----------------------------------------------------------------------------

    async def _after(
        self,
        error: BaseException,
        lane: Any,
        target: Committed,
        group: Group,
        sent: list[Sent],
    ) -> Ended:
        """Learn from the failure, and put back what must be written again."""
        if not lane.open:  # the next owner ends what is pending; we must not fence it
            return Ended.LOST
        back, understood = group.learn(sent, self._refusals)
        if not understood:
            self._owner.warning_log.say("a transaction of %s/%s failed: %r", self.partition, error)
            await asyncio.sleep(OFFER_INTERVAL_S)
        ended = await self._look_again(lane, target)
        if ended is Ended.UNDONE:
            await self._put_back(error, lane, group, back)
        return ended

    async def _put_back(
        self, error: BaseException, lane: Any, group: Group, back: Mapping[Any, HandedBack]
    ) -> None:
        """Put the group in front again, with other records in place of those that are not taken."""
        stubborn = False
        for slot, why in back.items():
            record = group.record_of(slot)
            instead = group.instead_of(slot, lane, why)
            # the sender has put the slot again, with another outcome
            self._pending -= instead is None
            stubborn |= instead is record
            group = group.with_instead(slot, instead)
        self._queue.extendleft(reversed(group.parcels))
        self._urgent.set()
        if stubborn:
            message = "%s/%s: even small records are refused: %r"
            refused = isinstance(error, REFUSED)
            self._owner.warning_log.say(STUBBORN if refused else message, self.partition, error)
            await asyncio.sleep(OFFER_INTERVAL_S)

    async def _look_again(self, lane: Any, target: Committed) -> Ended:
        """Get a new producer, then find out what happened to the old one's transaction."""
        while True:
            if self._producer is not None:
                self._owner.retire(self._producer)
                self._producer = None
            self._producer = await self._owner.connect(self.partition)
            try:
                there = await self._owner.committed(self.partition)
            except KafkaError as error:
                self._owner.warning_log.say("offsets of %s/%s: %r", self.partition, error)
                await asyncio.sleep(OFFER_INTERVAL_S)
                continue
            if there == target:
                return Ended.DONE
            if there == lane.committed or (there is None and not lane.committed.is_committed):
                return Ended.UNDONE
            return Ended.LOST
