"""One worker process: the real `Worker`, `TaskShell`, `Outcomes`, `Sink` and writers, made as
`streams.app` makes them, between a simulated consumer, broker and API.

The one module, with `assembly.py` and `consumer.py`, that knows how the shells are put together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from streams.codec.committed import Committed
from streams.core.engine import Engine
from streams.errors import StreamsError
from streams.kafka.produce.producers import Producers
from streams.kafka.produce.sink import Sink
from streams.kafka.produce.transactions import Transactions
from streams.model import Item, Reply
from streams.worker.call_ledger import Ledger
from streams.worker.intake import Budget
from streams.worker.task import TaskShell
from streams.worker.worker import Worker
from tests.simulation.assembly import (
    make_ledger,
    make_transactions,
    route,
    task_limits,
    task_parts,
)
from tests.simulation.consumer import Consumer
from tests.simulation.ledger import Tenure, Violation
from tests.simulation.piped import API, PipedCaller
from tests.simulation.records import SOURCE
from tests.simulation.watch import watch

if TYPE_CHECKING:
    from tests.simulation.world import World


class Member:
    """`tenures`: the newest of each partition it has had. `troubled_at`: till when the broker last
    kept it from writing or committing. `started`: it has connected. `dead`: killed, or stopped."""

    def __init__(self, world: World, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.ledger_troubled_at = -1e9
        self.started = False
        self.transactions: Transactions | None = None
        self.call_ledger: Ledger | None = None
        self.pipeline: PipedCaller | None = None
        self.dead = False
        self.leaving = False
        self.tenures: dict[int, Tenure] = {}
        self.lanes: dict[int, Any] = {}
        self.troubled_at = -1e9
        self.in_flight = 0
        self.answers = 0  # to its calls
        self._answered_at, self._answers_before = -1.0, 0
        self.connection = asyncio.Lock()
        self._world = world
        self._keywords = {"world": world, "member": self}
        self._held: dict[int, Tenure] = {}  # from assignment to revocation
        self._tasks: list[asyncio.Task[None]] = []
        self._tenures = 0

    async def start(self) -> None:
        """Connect and join the group. What goes wrong after that is a violation."""
        world, parameters = self._world, self._world.parameters
        self.worker = Worker(
            sources=[SOURCE],
            consumer_keywords={},
            start="earliest",
            checks_log_end=True,
            commit_interval_s=parameters.commit_interval_s,
            drain_s=parameters.drain_s,
            budget=Budget(parameters.buffered_bytes),
            # What a cut-off worker writes is told by the member's troubles.
            lease=SimpleNamespace(holds=lambda: True),  # type: ignore[arg-type]
            on_fatal=self._failed,
        )
        self.sink = Sink(
            Producers(self._keywords),
            on_defect=self.worker.on_defect,
        )
        await world.until_it_works(self.sink.start)
        if self.dead:
            return
        self.transactions = make_transactions(parameters, self.worker, self.on_lost, self._keywords)
        outlet = self.transactions or self.sink
        if parameters.piped:
            self.pipeline = PipedCaller(world, self, task_limits(parameters))
            await self.pipeline.start()
        parts = task_parts(parameters, self.pipeline or self._call)
        self.call_ledger = make_ledger(parameters, self.worker, parts, self._keywords)
        if self.call_ledger is not None:
            await world.until_it_works(self.call_ledger.start)
            if self.dead:
                return
        self.task = TaskShell(
            parts, route(parameters), outlet, self.worker.on_room, self.call_ledger
        )
        watch(self.engine, world, self, parts.limits.max_in_flight)
        if self.pipeline is not None:
            api = self.pipeline.engine_of(API)
            watch(api, world, self, parameters.max_in_flight, releases=False)
        self.consumer = Consumer(world, self)
        self.worker.attach(self.consumer)  # type: ignore[arg-type]
        self.worker.begin({SOURCE: self.task}, self.sink, self.transactions, self.call_ledger)
        self.started = True
        self._run(self.consumer.read())
        self._run(self.consumer.take_part())

    @property
    def engine(self) -> Engine:
        return self.task._engine

    async def _call(self, items: Sequence[Item]) -> Reply:
        return await self._world.api.call(self, items)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._world.loop.create_task(coroutine)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if self.dead:
            return
        with self._world.guard():
            if isinstance(error, AssertionError | StreamsError):
                raise Violation(f"{self.name} failed: {error}") from error
            raise Violation(f"{self.name} failed: {error!r}") from error

    def count_answer(self, now: float) -> None:
        if now != self._answered_at:
            self._answered_at, self._answers_before = now, self.answers
        self.answers += 1

    def answers_before(self, now: float) -> int:
        """Without those of this very moment: the engine may not have heard of them yet."""
        return self._answers_before if now == self._answered_at else self.answers

    def on_lost(self, lane: Any) -> None:
        """It takes a partition for somebody else's, who must have committed then."""
        by = self._world.ledger.committed_by[lane.where.partition]
        with self._world.guard():
            if by is None or by.member == self.name:
                raise Violation(f"{self.name} takes {lane} for lost, committed last by {by}")
        self.worker.on_lost(lane)

    # -- tenures ---------------------------------------------------------------------------------

    def trouble(self, until_s: float) -> None:
        """The broker keeps it from writing or committing."""
        self.troubled_at = max(self.troubled_at, until_s)

    def ledger_trouble(self, until_s: float) -> None:
        """The broker keeps it from writing or reading the ledger."""
        self.ledger_troubled_at = max(self.ledger_troubled_at, until_s)

    def assigned(
        self,
        starts: Mapping[TopicPartition, Committed],
        lanes: Mapping[TopicPartition, Any],
        recorded: Sequence[int],
    ) -> None:
        """`recorded`: how much of each partition of the call ledger it must know."""
        for partition, start in starts.items():
            if partition not in lanes:
                continue  # it is draining
            number = partition.partition
            self._tenures += 1
            tenure = Tenure(self.name, number, start, self._tenures)
            lane = lanes[partition][0]
            if self.lanes.get(number) is lane:  # it goes on, and nothing was read for it
                tenure.recorded_below = self.tenures[number].recorded_below
            elif start.ledger_offset is not None or not start.is_committed:
                tenure.recorded_below = recorded[number]
            self.tenures[number] = self._held[number] = tenure
            self.lanes[number] = lane
        if self not in self._world.group.members:
            self.lost()

    def revoked(self, began_at: float) -> None:
        """Everything has been handed back, in a revocation that began at `began_at`."""
        for tenure in self._held.values():
            if self.troubled_at >= began_at - 1.0:
                tenure.excused = "the broker was in the way"
        self._held.clear()

    def lost(self) -> None:
        """Nobody waits for its commits any more."""
        for tenure in self._held.values():
            tenure.lost = True

    def rejoin(self) -> None:
        if self.started and not self.dead:
            self.consumer.rejoin()

    # -- ends ------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL: nothing more of it happens; what was sent may arrive."""
        if self.dead:
            return
        self._world.note(f"{self.name} is killed")
        self.lost()
        self.dead = True
        for task in self._tasks:
            task.cancel()
        self._world.loop.create_task(self._bury())

    async def leave(self) -> None:
        """SIGTERM, as `streams.process` goes about it."""
        if self.dead or self.leaving:
            return
        self.leaving = True
        world, began_at = self._world, self._world.now()
        world.note(f"{self.name} stops")
        if self.started:
            committed = await self.worker.drain(world.parameters.shutdown_s)
            if self.dead:
                return
            if not committed and not self._in_the_way(began_at):
                with world.guard():
                    raise Violation(f"{self.name} stopped without its last commit (G9)")
            self.revoked(began_at)
        for task in self._tasks:
            task.cancel()
        world.group.leave(self)
        if self.started:
            await self.worker.close()
        await self._close()
        self.dead = True
        world.gone(self)

    def _in_the_way(self, since_s: float) -> bool:
        """Whether the broker or the group kept it from committing."""
        return self.troubled_at >= since_s - 1.0 or self not in self._world.group.members

    async def _bury(self) -> None:
        """Free what it holds; nothing of this reaches anybody."""
        if self.started:
            await self.worker.close()
        await self._close()
        self._world.gone(self)

    async def _close(self) -> None:
        if self.transactions is not None:
            await self.transactions.stop()
        await self.sink.stop()
        if self.call_ledger is not None:
            await self.call_ledger.stop()
        if self.pipeline is not None:
            await self.pipeline.aclose()

    def undelivered(self) -> int:
        """Outcomes of which it does not know yet that they are durable."""
        if self.dead or not self.started:
            return 0
        more = 0 if self.transactions is None else self.transactions.pending()
        return self.sink.pending() + more

    def calling(self) -> int:
        """Calls under way, also those of lanes that are somebody else's by now: with a call ledger
        they run on, for what they are paid for."""
        if self.dead or not self.started:
            return 0
        inside = 0 if self.pipeline is None else self.pipeline.inside
        return self.task.statistics().in_flight + inside

    def check_empty(self) -> None:
        """Everything was settled, and is let go of."""
        if not self.started:
            return
        statistics = self.task.statistics()
        held = statistics.buffered_bytes, self.undelivered(), statistics.in_flight
        if any(held):
            raise Violation(f"{self.name} holds bytes, records, calls: {held} (G8)")
