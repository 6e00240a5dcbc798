"""Workers, topics, items, a watch and an account of them: what every test of faults stands on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import Any, Self

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.account import Account
from tests.chaos.fleet import Fleet, name_of
from tests.chaos.schedule import Work
from tests.chaos.simulator import SimulatorProcess
from tests.chaos.watch import Watch, watching
from tests.conftest import _create_topic
from tests.integration.topics import grow_topic

NO_BROKER = "no broker answers"
BEGIN_WITHIN_S = 90.0
STALL_S = 30.0
"""A partition with lag that does not move for so long, while no fault is under way, stands still:
the session (6 s), a start of a worker on a busy machine, and as much again."""

GRACE_S = 10.0
SESSION_S = 6.0
LEARNS_S = 3.0
"""How long a worker that was lost may write before it learns of it: a heartbeat's time."""

FROZEN, CUT_OFF = "frozen", "cut off"
PUBLISH_EVERY_S = 0.25
HISTORIES = 5


class StalledError(AssertionError):
    """A partition with lag made no progress."""


class Scene:
    """An asynchronous context manager; `finish` and `judge` come at its end, `account` has all.

    `may_stop_with_1`: a worker was told to stop while the broker was away.
    """

    def __init__(
        self,
        broker: Any,
        work: Work,
        simulator: SimulatorProcess | None = None,
        name: str = "scene",
        stall_s: float = STALL_S,
    ) -> None:
        self.work = work
        self.account = Account(work.guarantee, one_node=len(broker.nodes) <= 1)
        self.source = f"{name}-{time.time_ns() % 10**9}"
        self.fleet = Fleet(broker.bootstrap, work, self.source, simulator)
        self.may_stop_with_1 = False
        self.longest_stand_s = 0.0
        self._stall_s = stall_s
        self._broker = broker
        self._began = time.monotonic()
        self._stopped_from: dict[int, dict[int, int]] = {}
        self._ends: dict[int, int] = {}
        self._disturbed_at = 0.0
        self._number = 0
        self._partitions = work.partitions
        # A new leader, or a transaction's marker, shows a record later than its writer knew of it.
        late = work.guarantee == "exactly_once" or len(broker.nodes) > 1
        self.watch = Watch(
            broker.bootstrap, self.fleet.group, self.source, work.partitions,
            self.account, self.now, GRACE_S if late else 0.0,
        )  # fmt: skip
        self._producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, enable_idempotence=True, metadata_max_age_ms=2000
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in (self.source, f"{self.source}.out", f"{self.source}.dead"):
            await _create_topic(self._broker, name, self.work.partitions, {})
        await self._stack.enter_async_context(self._producer)
        await self._stack.enter_async_context(watching(self.watch))
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Ends everything. An AssertionError is given the histories and the workers' logs."""
        await asyncio.to_thread(self._broker.heal)
        try:
            await self._stack.__aexit__(kind, error, trace)
            if error is None:
                self.judge()
            elif isinstance(error, AssertionError):
                raise AssertionError(f"{error}\n{self.told()}") from None
        finally:
            self.fleet.close()

    def now(self) -> float:
        """Seconds since the scene began."""
        return time.monotonic() - self._began

    def say(self, what: str) -> None:
        """A fault, or its end; what stands still because of it may do so from now on."""
        self.account.events.append((self.now(), what))
        self._disturbed_at = self.now()

    # -- items ---------------------------------------------------------------------------------

    async def publish(self, count: int, partition: int | None = None) -> None:
        """`partition`: None for each in turn."""
        sent = []
        for _ in range(count):
            number, self._number = self._number, self._number + 1
            every = self.work.poison
            poison = every is not None and number % every == every - 1
            text = f"{'POISON' if poison else 'item'} {number} of {self.source}"
            where = number % self._partitions if partition is None else partition
            value = orjson.dumps({"id": number, "text": text})
            sent.append((text, poison, await self._producer.send(self.source, value, None, where)))
        for text, poison, future in sent:
            written = await future
            place = written.partition, written.offset
            self.account.offer(place, text)
            if poison:
                self.account.poison.add(place)
            self._ends[place[0]] = max(self._ends.get(place[0], 0), place[1] + 1)

    async def publish_over(self, count: int, seconds: float) -> None:
        """The items arrive evenly; 0 seconds: at once."""
        steps = max(1, int(seconds / PUBLISH_EVERY_S))
        for step in range(steps):
            await self.publish(count * (step + 1) // steps - count * step // steps)
            if seconds:
                await asyncio.sleep(PUBLISH_EVERY_S)

    async def grow(self, items: int) -> None:
        """One partition more, with so many items."""
        new = self._partitions
        async with asyncio.timeout(60):
            while new not in await self._producer.partitions_for(self.source):
                # A node is away, or it was done and nobody heard of it.
                with contextlib.suppress(KafkaError, TimeoutError):
                    await grow_topic(self._broker.bootstrap, self.source, new + 1)
                await asyncio.sleep(0.05)
                await self._producer.client.force_metadata_update()
        self._partitions = self.watch.source_partitions = new + 1  # now others may publish there
        await self.publish(items, new)

    # -- workers -------------------------------------------------------------------------------

    async def kill(self, who: int) -> None:
        self.fleet.kill(who)
        await self.lose(who, "killed")

    async def freeze(self, who: int) -> None:
        await self.fleet.reading(who)
        self.fleet.freeze(who)
        await self.lose(who, FROZEN)

    def thaw(self, who: int) -> None:
        self.fleet.thaw(who)
        self.account.back(FROZEN, self.now() + LEARNS_S, name_of(who))

    async def lose(self, who: int, why: str) -> None:
        """It can commit no more: what is committed now is what was committed last."""
        committed = await self.watch.committed_now()
        self.account.lost(self.now(), name_of(who), why, committed)

    def cut_off(self, *workers: int) -> None:
        """These (none: all) may lose their sessions, and with them what they have not committed."""
        for who in workers or self.fleet.living():
            self.account.lost(self.now(), name_of(who), CUT_OFF, self.watch.committed)

    def reached(self) -> None:
        """Those that were cut off reach the broker again."""
        self.account.back(CUT_OFF, self.now() + SESSION_S + LEARNS_S)

    async def stop(self, who: int) -> None:
        """SIGTERM; `finish` waits for it."""
        await self.fleet.reading(who)
        self._stopped_from[who] = dict(self.watch.committed)
        self.fleet.stop(who)

    async def stopped(self, who: int) -> int:
        """0; or 1 where the broker was away or the worker was frozen: it could not make its last
        commit, and what was not committed is made again."""
        code = await self.fleet.stopped(who, 30.0)
        self.say(f"worker {who} stopped with {code}")
        frozen = any(x.why == FROZEN and x.worker == name_of(who) for x in self.account.losses)
        allowed = (0, 1) if self.may_stop_with_1 or frozen else (0,)
        assert code in allowed, f"worker {who}: exit code {code}"
        if code:
            self.account.lost(self.now(), name_of(who), "stopped", self._stopped_from[who])
        return code

    # -- the end -------------------------------------------------------------------------------

    async def begun(self, items: int = 1) -> None:
        """Wait until so many items are committed."""
        deadline = self.now() + BEGIN_WITHIN_S
        while sum(self.watch.committed.values()) < items:
            if self.now() > deadline:
                raise StalledError(f"not {items} items are done within {BEGIN_WITHIN_S:g} s")
            await asyncio.sleep(0.05)

    async def done(self) -> None:
        """Wait until all that was published is committed, and nothing stands still."""
        while not self._all_committed():
            self._look_for_a_stall()
            self._start_again()
            await asyncio.sleep(0.1)

    async def finish(self) -> None:
        """`done`, and every worker stops in order."""
        await self.done()
        for who in self.fleet.living():
            await self.stop(who)
        for who in list(self.fleet.stopping):
            await self.stopped(who)

    def _start_again(self) -> None:
        """As a supervisor would: a worker that was started where the broker was away gave up."""
        for who, code in self.fleet.ended().items():
            found_none = self.may_stop_with_1 and NO_BROKER in self.fleet.log(who)
            assert found_none, f"worker {who} ended with {code}"
            self.say(f"worker {who} found no broker")
            self.fleet.start()

    def _all_committed(self) -> bool:
        committed = self.watch.committed
        return all(committed.get(place, 0) >= end for place, end in self._ends.items())

    def _look_for_a_stall(self) -> None:
        for partition, end in self._ends.items():
            at = self.watch.committed.get(partition, 0)
            if at >= end:
                continue
            still_s = self.now() - max(self.watch.moved_at.get(partition, 0.0), self._disturbed_at)
            self.longest_stand_s = max(self.longest_stand_s, still_s)
            if still_s > self._stall_s:
                raise StalledError(f"partition {partition} stands at {at} of {end}")

    def judge(self) -> None:
        """Raises AssertionError with the histories of the items that break a promise."""
        self._note_calls()
        broken = self.account.violations()
        assert not broken, f"{len(broken)} promises are broken: {broken[:20]}\n{self.told()}"

    def _note_calls(self) -> None:
        if not self.account.paid:
            for place, call in self.fleet.calls(self.account.offered):
                self.account.paid[place].append(call)

    def told(self) -> str:
        """The first broken items' histories, and what the workers said."""
        self._note_calls()
        places = [place for place, _ in self.account.violations() if place is not None]
        first = dict.fromkeys(places[:HISTORIES])
        return "\n".join([*map(self.account.history, first), self.fleet.logs()])
