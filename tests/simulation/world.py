"""Everything of one schedule: who lives, what goes wrong when, and whether it ends as it must."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NoReturn

import orjson
from aiokafka.errors import KafkaError

from streams.core.call import Slot
from streams.errors import BrokerError, ItemError
from tests.simulation.api import Api
from tests.simulation.call_ledger import Topic
from tests.simulation.coordinator import Coordinator
from tests.simulation.group import Group
from tests.simulation.lateness import company_s
from tests.simulation.ledger import Item, Ledger, Tenure, Violation
from tests.simulation.loop import EPOCH_S, VirtualLoop
from tests.simulation.member import Member
from tests.simulation.parameters import Parameters, Trouble
from tests.simulation.records import Kind, SourceLog, Writer
from tests.simulation.sinks import Parcel, SinkBroker
from tests.simulation.weather import Weather

STALLED_AFTER_S = 300.0
"""Without a commit, once nothing goes wrong any more, while a partition has lag. The longest pause
that a schedule's troubles can leave behind is a minute."""

LONELY_S = 3600.0
"""So long the item that is refused alone may take: where its own partition is full, nobody comes to
its worker any more."""


class World:
    def __init__(self, parameters: Parameters, loop: VirtualLoop, *, tracing: bool) -> None:
        self.parameters = parameters
        self.loop = loop
        self.now = loop.time
        self.tracing = tracing
        self.random = Random(parameters.seed + 1)
        self._nature = Random(parameters.seed + 2)  # small delays: their number says nothing
        self.quiet_at = max(
            (trouble.at_s + trouble.for_s for trouble in parameters.troubles),
            default=parameters.ends_s,
        )
        self.quiet_at = max(self.quiet_at, parameters.ends_s)
        self._moved = asyncio.Event()
        self.ledger = Ledger(parameters, self.now, self._moved.set, tracing=tracing)
        self.note = self.ledger.note
        self.weather = Weather(parameters.troubles, self.now)
        self.sources = [SourceLog(n) for n in range(parameters.partitions)]
        self.broker = SinkBroker(self)
        self.coordinator = Coordinator(self)
        self.call_ledger = Topic(self)
        self.api = Api(self)
        self.group = Group(self)
        self.members: list[Member] = []
        self.all_members: list[Member] = []
        self.violation: Violation | None = None
        self._over: asyncio.Future[None] = loop.create_future()
        self._writer = Writer(parameters, Random(parameters.seed + 3))
        self._unwritten = parameters.items
        self._starting: set[asyncio.Task[Any]] = set()
        self.unanswered: set[asyncio.Future[Any]] = set()  # else who waits would be collected

    # -- what the others ask for -----------------------------------------------------------------

    @contextmanager
    def guard(self) -> Iterator[None]:
        """A violation ends the schedule, wherever it is found."""
        try:
            yield
        except AssertionError as error:
            if self.violation is None:
                is_ours = isinstance(error, Violation)
                self.violation = error if is_ours else Violation(f"{error}")  # type: ignore[assignment]
            if not self._over.done():
                self._over.set_result(None)

    def soon(self) -> float:
        """How long a request usually takes."""
        return self._nature.uniform(0.0005, 0.005)

    def hop(self) -> float:
        """How long a call into another thread takes."""
        return 0.0 if self._nature.random() < 0.7 else self._nature.uniform(0, 0.003)

    def heartbeat(self) -> float:
        return self._nature.uniform(0, self.parameters.heartbeat_s)

    def faulty(self, share: float) -> bool:
        """Whether this one fails by chance; nothing does after the troubles' end."""
        return share > 0 and self.now() < self.quiet_at and self.random.random() < share

    async def takes_a_moment(self) -> None:
        await asyncio.sleep(self.soon())

    async def never(self) -> NoReturn:
        never = self.loop.create_future()
        self.unanswered.add(never)
        await never
        raise AssertionError("unreachable")

    async def until_it_works(self, call: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await call()
            except (KafkaError, BrokerError):
                await asyncio.sleep(0.5)

    def cut_until(self, member: Member) -> float:
        """Until when the process cannot reach the coordinator; 0: it can."""
        return self.weather.until("cut", member.number)

    async def reaches_coordinator(self, member: Member) -> None:
        """A request arrives there, and those that were sent after it do not before."""
        async with member.connection:
            await self.under_way(member)

    async def under_way(self, member: Member) -> None:
        """To be awaited with the member's `connection`."""
        await asyncio.sleep(self.soon())
        while until := self.cut_until(member):
            member.trouble(until)
            await asyncio.sleep(until - self.now())

    def released(self, slots: Sequence[Slot]) -> None:
        """An engine has given these to the sink."""
        for slot in slots:
            item = self.ledger.items[slot.item.partition][slot.item.offset]
            died = isinstance(slot.outcome, ItemError)
            item.released_as.add("dead letter" if died else "result")

    def wrote(self, parcel: Parcel, tenure: Tenure, item: Item, topic: str, partition: int) -> None:
        code = None
        for name, content in parcel.headers:
            if name == "streams-error-code" and content is not None:
                code = content.decode()
        if code is None and item.kind is not Kind.TOMBSTONE:
            said = orjson.loads(parcel.value or b"null")
            if said is None or said["of"] != [item.partition, item.offset]:
                raise Violation(f"the result of {item} is {said}", item)
        if parcel.key != item.key:
            raise Violation(f"the key of {item} is {parcel.key!r}", item)
        self.ledger.emitted(tenure, topic, partition, item, code)

    # -- the schedule ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Raises Violation."""
        parameters, loop = self.parameters, self.loop
        self._begin_writing()
        if parameters.alone is not None:
            self._keep_company()
        for _ in range(parameters.workers):
            self._join()
        for trouble in parameters.troubles:
            loop.call_at(trouble.at_s, self._happen, trouble)
        ending = loop.create_task(self._end())
        await asyncio.wait((ending, self._over), return_when=asyncio.FIRST_COMPLETED)
        if self.violation is None:
            ending.result()
        if self.violation is None and loop.defects:
            self.violation = Violation(f"an error that nobody caught: {loop.defects[0]}")
        if self.violation is not None:
            raise self.violation

    def _begin_writing(self) -> None:
        parameters, random = self.parameters, Random(self.parameters.seed + 4)
        backlog = random.choice([0.0, 0.5, 1.0]) if parameters.arriving_s else 1.0
        lopsided = random.random() < 0.3
        for _ in range(parameters.items):
            log = self.sources[0 if lopsided and random.random() < 0.9 else
                               random.randrange(parameters.partitions)]  # fmt: skip
            at = 0.0 if random.random() < backlog else random.uniform(0, parameters.arriving_s)
            if at == 0.0:
                self._write(log)
            else:
                self.loop.call_at(at, self._write, log)

    def _keep_company(self) -> None:
        """Others come until the item that is refused alone is committed: who has nobody to compare
        it with has to wait."""
        if self.ledger.alone_is_committed():
            return
        if self.now() > self.quiet_at + LONELY_S:
            with self.guard():
                raise Violation("refused alone, and never decided", self.ledger.alone)
        if self._unwritten <= 0:
            self._write(self.sources[self._nature.randrange(len(self.sources))])
        self.loop.call_later(company_s(self.parameters.call_s), self._keep_company)

    def _write(self, log: SourceLog) -> None:
        kind = self._writer.kind()
        now_ms = int((EPOCH_S + self.now()) * 1000)
        record, gap_after = self._writer.record(log, kind, now_ms)
        item = Item(log.partition, record.offset, kind, record.key)
        self.ledger.offered(item)
        if self._writer.is_alone:
            self.ledger.alone = item
        log.append(record, gap_after)
        self._unwritten -= self._unwritten > 0
        for member in self.members:
            if member.started:
                member.consumer.look()

    def _join(self) -> None:
        member = Member(self, f"w{len(self.all_members)}", len(self.all_members))
        self.members.append(member)
        self.all_members.append(member)
        self._spawn(member.start())

    def _spawn(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self._starting.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        """One that failed would look like a stall, minutes later."""
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            with self.guard():
                raise Violation(f"a member failed: {error!r}") from error

    def gone(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)

    def _happen(self, trouble: Trouble) -> None:
        self.note(f"trouble: {trouble}")
        alive = [member for member in self.members if not member.dead and not member.leaving]
        if trouble.kind == "join" and len(self.members) < 4:
            self._join()
        if not alive:
            return
        met = alive[trouble.number % len(alive)]
        if trouble.kind == "leave":
            self._spawn(met.leave())
        elif trouble.kind == "kill":
            self._kill(met)
        elif trouble.kind == "replace":
            self._kill(met)
            self._join()
        elif trouble.kind == "sought" and met.started:
            met.consumer.sought()
        elif trouble.kind == "cut":
            for member in self.members:
                self._cut(member)

    def _kill(self, member: Member) -> None:
        member.kill()
        self.loop.call_later(
            max(0.0, self.parameters.session_s - self.heartbeat()),
            self.group.lose, member, "its process is dead",
        )  # fmt: skip

    def _cut(self, member: Member) -> None:
        until, session_s = self.cut_until(member), self.parameters.session_s
        over_at = self.now() + session_s - self.heartbeat()
        if until > over_at:
            self.loop.call_at(over_at, self.group.lose, member, "no heartbeat came")
            self.loop.call_at(until + self.heartbeat(), member.rejoin)

    # -- the end ---------------------------------------------------------------------------------

    async def _end(self) -> None:
        """After the last trouble everything is done in time, and then everybody stops in order."""
        await asyncio.sleep(self.quiet_at - self.now())
        if not any(not member.dead and not member.leaving for member in self.members):
            self._join()
        while not self.ledger.finished() or self._unwritten:
            self._moved.clear()
            try:
                async with asyncio.timeout(self._stalled_after_s()):
                    await self._moved.wait()
            except TimeoutError:
                told = "; ".join(self.ledger.behind())
                raise Violation(f"stalled. {told}", self.ledger.first_behind()) from None
        await self._everybody_has_joined()
        await self._everything_is_passed()
        await self._quiet()
        self.ledger.check_nothing_lost()
        for member in list(self.members):
            await self._stop(member)
        await self._quiet()
        await self._everything_is_passed()

    def _stalled_after_s(self) -> float:
        waits = self.parameters.alone is not None and not self.ledger.alone_is_committed()
        return LONELY_S if waits else STALLED_AFTER_S

    async def _everybody_has_joined(self) -> None:
        """Whoever was put out of the group is back, holds nothing of what it had, and knows what
        became of what it wrote and called for."""
        deadline = self.now() + STALLED_AFTER_S
        while not self.group.at_rest or any(m.undelivered() or m.calling() for m in self.members):
            if self.now() > deadline:
                raise Violation("the group does not come to rest")
            await asyncio.sleep(0.5)

    async def _everything_is_passed(self) -> None:
        """Offsets that are no items', too. A stop may find their commit under way, and give it up
        where the broker does not answer: who runs on has to get it done."""
        deadline = self.now() + STALLED_AFTER_S
        while told := self.ledger.not_passed([log.end for log in self.sources]):
            if self.now() > deadline:
                raise Violation(told)
            await asyncio.sleep(0.5)

    async def _quiet(self) -> None:
        """Whatever is still on its way arrives: late acknowledgements, requests of the dead."""
        await asyncio.sleep(0.5)
        while not self.coordinator.at_rest or any(
            count and not member.dead for (member, *_), count in self.broker.unacknowledged.items()
        ):
            await asyncio.sleep(0.5)

    async def _stop(self, member: Member) -> None:
        if member.dead:
            return
        if not member.leaving:
            member.check_empty()
        await member.leave()
