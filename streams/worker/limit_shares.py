"""The limits per minute of a worker's accounts, shared with the other workers of its group.

    partitions, use, who waits ─► word ─► {id}.limits ─► words of all ─► our part ─► the rate line

What is whose says `streams.policies.limit_parts`. Rules:
1. Each limit is looked at every `LOOK_S`: a rebalance changes our own part.
2. While we have company and call, or wait for the limit, we tell it every `TELL_S`. A worker alone
   makes no topic, reads nothing and writes nothing.
3. Whatever happens to the topic, the worker goes on, with its own part of each limit, and tries
   again after `AGAIN_S`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final

from streams.codec.limit_records import LimitRecord
from streams.core.rate_line import RateLine
from streams.policies.demand import KINDS
from streams.policies.limit_parts import LimitParts, Word
from streams.running.logs import RepeatLog
from streams.worker.group_topic import GroupTopic
from streams.worker.limit_topic import MEANWHILE
from streams.worker.partition import Partition
from streams.worker.task import TaskShell

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.25
TELL_S: Final = 1.0
AGAIN_S: Final = 10.0
REPEAT_S: Final = 300.0
STOP_WITHIN_S: Final = 1.0
USE_S: Final = 3.0
"""What is used a second is the mean of so long."""

LEAST_S: Final = 1.0
"""So much at least: after less time a call or two say nothing."""

StartTopic = Callable[[Callable[[LimitRecord], None]], Awaitable[GroupTopic[LimitRecord]]]


class SharedLimit:
    """One limit, and the tasks whose calls it holds back. `worker`: our name in the topic.
    `is_shared`: it is known, and others have a part of it."""

    def __init__(self, worker: str, line: RateLine) -> None:
        self.tasks: list[TaskShell] = []
        self.parts = LimitParts(worker)
        self.is_shared = False
        self._line = line
        self._given = (1.0,) * len(KINDS)
        self._per_s = [0.0] * len(KINDS)
        self._waits = [False] * len(KINDS)
        self._amounts: deque[tuple[float, list[float]]] = deque()

    def look(self, assigned: Counter[str], now: float) -> None:
        """Our part as things stand. `assigned`: our partitions of each source; where there are none
        it stays."""
        ours = sum(assigned[task.parts.source] for task in self.tasks)
        if ours:
            of_all = sum(task.route.source_partitions for task in self.tasks)
            self.parts.own_part = min(1.0, ours / of_all)
        limits = (inf,) * len(KINDS) if self.parts.is_alone else self._measure(now)
        self.is_shared = min(limits) < inf
        parts = self.parts.parts(limits, now)
        if parts != self._given:
            self._given = parts
            self._line.give(parts, now)

    def _measure(self, now: float) -> list[float]:
        """What is used a second, and who waits; returns the limits a second."""
        uses = self._line.use(now)
        amounts = [use.amount for use in uses]
        self._amounts.append((now, amounts))
        while now - self._amounts[0][0] > USE_S:
            self._amounts.popleft()
        since, before = self._amounts[0]
        took_s = max(now - since, LEAST_S)
        self._per_s = [
            round(max(0.0, amount - earlier) / took_s, 6)
            for amount, earlier in zip(amounts, before, strict=True)
        ]
        self._waits = [waited or use.waits for waited, use in zip(self._waits, uses, strict=True)]
        return [use.limit_per_s for use in uses]

    def word(self, now: float) -> Word | None:
        """What to tell; None: it is not shared, or nothing calls."""
        waits, self._waits = self._waits, [False] * len(KINDS)
        if not self.is_shared or not (any(waits) or any(self._per_s)):
            return None
        return Word(self.parts.own_part, self._per_s, waits, now)


class LimitShares:
    """`partitions()`: those assigned now. `start_topic(on_record)`: None: the worker is always
    alone. `on_defect(error)`: no part is set any more. Used in the worker's loop."""

    def __init__(
        self,
        tasks: Sequence[TaskShell],
        partitions: Callable[[], Sequence[Partition]],
        start_topic: StartTopic | None,
        on_defect: Callable[[BaseException], None],
    ) -> None:
        self._partitions = partitions
        self._start_topic = start_topic
        self._on_defect = on_defect
        self._worker = secrets.token_hex(6)
        self._limits: dict[str, SharedLimit] = {}
        self._running: list[asyncio.Task[None]] = []
        self._in_company = asyncio.Event()
        self._log = RepeatLog(logger)
        for task in tasks:
            for name, line in task.parts.rate_lines.items():
                limit = self._limits.setdefault(name, SharedLimit(self._worker, line))
                limit.tasks.append(task)

    def start(self) -> None:
        if self._limits and self._start_topic is not None:
            sharing = self._stay_in_company(self._start_topic)
            self._running = [asyncio.create_task(each) for each in (self._look_on(), sharing)]
            for running in self._running:
                running.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Nothing that the topic has yet is of use: a broker that is silent is not waited for."""
        for running in self._running:
            running.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_WITHIN_S)

    def _ended(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            self._on_defect(error)

    async def _look_on(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self.look(clock())
            await asyncio.sleep(LOOK_S)

    def look(self, now: float) -> None:
        """Every limit: what part of it is ours."""
        assigned = Counter(partition.where.topic for partition in self._partitions())
        for limit in self._limits.values():
            limit.look(assigned, now)
        if any(limit.is_shared for limit in self._limits.values()):
            self._in_company.set()

    async def _stay_in_company(self, start_topic: StartTopic) -> None:
        while True:
            await self._in_company.wait()
            try:
                await self._share(start_topic)
            except Exception as error:  # rule 3
                reasons = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
                why = "; ".join(str(reason) or repr(reason) for reason in reasons)
                self._log.say(f"workers cannot tell what they use of limits: {why}. {MEANWHILE}",
                              REPEAT_S)  # fmt: skip
            await asyncio.sleep(AGAIN_S)

    async def _share(self, start_topic: StartTopic) -> None:
        clock = asyncio.get_running_loop().time
        topic = await start_topic(lambda record: self.hear(record, clock()))
        self._log.over()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(topic.follow())
                group.create_task(self._tell(topic))
        finally:
            await topic.stop()

    async def _tell(self, topic: GroupTopic[LimitRecord]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            if records := self.records(clock()):
                await topic.append(records)
            await asyncio.sleep(TELL_S)

    def records(self, now: float) -> Sequence[LimitRecord]:
        """What to tell now."""
        words = [(name, limit.word(now)) for name, limit in self._limits.items()]
        return [LimitRecord(name, self._worker, word) for name, word in words if word is not None]

    def hear(self, record: LimitRecord, now: float) -> None:
        """A record of the topic."""
        if (limit := self._limits.get(record.limit)) is not None:
            limit.parts.hear(record.worker, record.word, now)
