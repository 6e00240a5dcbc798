"""Looks again and again at what is committed, and then at what stands in the topics.

In that order: what is committed and then not in a topic was committed too early. Where a reader may
see a record later than its writer was told of it (a transaction's markers, a new leader's high
watermark), `grace_s` passes before that counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from streams.jobs.judge import outcome_of
from tests.chaos.account import Account, Copy, Place

LOOK_EVERY_S = 0.03


class Watch:
    """`source_partitions`: may grow while it looks. `now`: seconds since the run began.
    `moved_at`: when each partition's committed offset last moved. `looks`: how often it looked."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        source: str,
        partitions: int,
        account: Account,
        now: Callable[[], float],
        grace_s: float,
    ) -> None:
        keywords: dict[str, Any] = {"bootstrap_servers": bootstrap, "enable_auto_commit": False}
        isolation = "read_committed" if account.guarantee == "exactly_once" else "read_uncommitted"
        self._group = AIOKafkaConsumer(group_id=group, **keywords)
        self._reader = AIOKafkaConsumer(
            auto_offset_reset="earliest", isolation_level=isolation, **keywords
        )
        self._source = source
        self._outcomes = [
            TopicPartition(f"{source}.{kind}", n)
            for kind in ("out", "dead")
            for n in range(partitions)
        ]
        self._account = account
        self._now = now
        self._grace_s = grace_s
        self._checked: dict[int, int] = {}
        self._suspected: dict[Place, float] = {}
        self.source_partitions = partitions
        self.committed: dict[int, int] = {}
        self.moved_at: dict[int, float] = {}
        self.longest_look_s = 0.0
        self.looks = 0

    async def start(self) -> None:
        await self._group.start()
        await self._reader.start()
        self._reader.assign(self._outcomes)
        await self._reader.seek_to_beginning()

    async def stop(self) -> None:
        await self._group.stop()
        await self._reader.stop()

    async def committed_now(self, within_s: float = 2.0) -> dict[int, int]:
        """What the group has committed; what was seen last where the broker does not answer."""
        try:
            async with asyncio.timeout(within_s):
                return await self._fetch()
        except (TimeoutError, KafkaError):
            return dict(self.committed)

    def first_move(self, partition: int, beyond: int) -> float:
        """When the partition's committed offset was first seen beyond this one."""
        return next(at for at, seen in self._account.commits if seen.get(partition, 0) > beyond)

    async def _fetch(self) -> dict[int, int]:
        """Asked for here: aiokafka takes a node that is not the group's coordinator any more, and
        says so, for one that knows of no offset."""
        coordinator = self._group._coordinator
        await coordinator.ensure_coordinator_known()
        request = OffsetFetchRequest(
            coordinator.group_id, [(self._source, list(range(self.source_partitions)))]
        )
        response = await coordinator._send_req(request)
        if response.error_code:
            coordinator.coordinator_dead()
            raise for_code(response.error_code)()
        ((_, found),) = response.topics
        return {partition: max(0, offset) for partition, offset, *_ in found}

    async def look(self) -> None:
        began = time.monotonic()
        committed = await self._fetch()
        at_s = self._now()
        for partition, offset in committed.items():
            if offset != self.committed.get(partition, 0):
                self.moved_at[partition] = at_s
        self._account.committed(at_s, committed)
        await self._read()
        self.committed = committed
        self._check(committed)
        self.looks += 1
        self.longest_look_s = max(self.longest_look_s, time.monotonic() - began)

    def _check(self, committed: dict[int, int]) -> None:
        copies, now = self._account.copies, self._now()
        for partition, end in committed.items():
            start = self._checked.get(partition, 0)
            for offset in range(start, end):
                if (partition, offset) not in copies:
                    self._suspected.setdefault((partition, offset), now)
            self._checked[partition] = max(start, end)
        for place, since in list(self._suspected.items()):
            if place in copies:
                del self._suspected[place]
            elif now - since >= self._grace_s:
                self._account.breaks(place, f"committed {committed} and no outcome in a topic")
                del self._suspected[place]

    async def _read(self) -> None:
        ends = await self._reader.end_offsets(self._outcomes)
        for place, end in ends.items():
            while await self._reader.position(place) < end:
                for records in (await self._reader.getmany(place, timeout_ms=500)).values():
                    for record in records:
                        self._account.emitted(self._copy(record))

    def _copy(self, record: Any) -> Copy:
        outcome = outcome_of(record)
        assert outcome is not None, record
        headers = dict(record.headers)
        code = headers.get("streams-error-code", b"").decode()
        writer = headers["streams-task"].decode() if code else orjson.loads(record.value)["task"]
        place = outcome.source_partition, outcome.source_offset
        return Copy(record.topic, record.partition, record.offset, place, writer, code, self._now())


async def _looked(watch: Watch) -> bool:
    """False: a node is away."""
    try:
        await watch.look()
    except KafkaError:
        return False
    return True


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[Watch]:
    """Look for as long as the block takes, and once at its end."""
    await watch.start()

    async def for_ever() -> None:
        while True:  # noqa: ASYNC110  nothing tells us
            await asyncio.sleep(LOOK_EVERY_S if await _looked(watch) else 0.2)

    task = asyncio.ensure_future(for_ever())
    try:
        yield watch
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        try:
            if not isinstance(ended, asyncio.CancelledError):
                raise ended
            async with asyncio.timeout(60):
                while not await _looked(watch):  # noqa: ASYNC110  nothing tells us
                    await asyncio.sleep(0.2)
        finally:
            await watch.stop()
