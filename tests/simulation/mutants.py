"""Faults put into the code by hand, one at a time: the simulation has to find each of them.

Each is what a hasty change could do, and breaks one promise. `apply(patch)`: `pytest.MonkeyPatch`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from streams.committed import Committed
from streams.core.engine import Engine
from streams.core.pauses import Pauses
from streams.core.repeats import Aftermath, Repeats
from streams.core.sequencer import ORDERS, NoOrder
from streams.core.window import _Cut
from streams.errors import Fault
from streams.kafka import writer
from streams.kafka.reader import LaneReader
from streams.kafka.sink import Sink
from streams.kafka.writer import PartitionWriter
from streams.policies import retry
from streams.shells.lane import Lane
from streams.shells.settling import Settling
from streams.shells.task import TaskShell
from streams.shells.worker import Worker
from tests.simulation.parameters import BEYOND

Patch = pytest.MonkeyPatch
MUTANTS: dict[str, Callable[[Patch], None]] = {}


def mutant(fact: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def known(apply: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS[fact] = apply
        return apply

    return known


@mutant("a commit names one offset too many")
def _(patch: Patch) -> None:
    progress = TaskShell.progress

    def further(self: TaskShell, lane: Lane) -> Committed:
        said = progress(self, lane)
        known = self._engine.lanes.get(lane)
        return said._replace(offset=said.offset + 1) if known and known.unsettled else said

    patch.setattr(TaskShell, "progress", further)


@mutant("what a revoked lane has queued is still written")
def _(patch: Patch) -> None:
    close = TaskShell.close

    def left_open(self: TaskShell, lane: Lane) -> None:
        close(self, lane)
        lane.open = True

    patch.setattr(TaskShell, "close", left_open)
    # Next to nothing is left queued otherwise: a sink would have to be away for that long.
    patch.setattr("streams.shells.worker.DELIVER_WITHIN_S", 1.0)


@mutant("outcomes leave as they come")
def _(patch: Patch) -> None:
    patch.setitem(ORDERS, "partition", NoOrder)
    patch.setattr("tests.simulation.member.CHECK_EVERY", 10**9)  # the engine itself would tell


@mutant("a failed acknowledgement counts as one")
def _(patch: Patch) -> None:
    send = PartitionWriter._send

    async def done(self: PartitionWriter, producer: Any, batch: Any, taken: int) -> bool:
        offer = self._offer
        offered = []

        async def noted(producer: Any, batch: Any) -> Any:
            offered.append(await offer(producer, batch))
            return offered[-1]

        patch.setattr(self, "_offer", noted, raising=False)
        return await send(self, producer, batch, taken) or bool(offered)

    patch.setattr(PartitionWriter, "_send", done)


@mutant("outcomes count as delivered when they are sent")
def _(patch: Patch) -> None:
    async def unheard(*_: Any) -> None:
        await asyncio.sleep(0)

    if hasattr(writer, "acknowledgement"):
        patch.setattr(writer, "acknowledgement", unheard)
    else:
        patch.setattr(PartitionWriter, "_acknowledgement", unheard)


@mutant("a writer goes on with a producer that has a hole in its sequence")
def _(patch: Patch) -> None:
    async def kept(self: Sink, failed: Any) -> None:
        await asyncio.sleep(0)

    patch.setattr(Sink, "renew", kept)


@mutant("a batch that was not accepted is forgotten")
def _(patch: Patch) -> None:
    offer = PartitionWriter._offer

    async def swallowed(self: PartitionWriter, producer: Any, batch: Any) -> Any:
        try:
            return await offer(self, producer, batch)
        except KafkaError:
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

    patch.setattr(PartitionWriter, "_offer", swallowed)


@mutant("nothing is committed when partitions are revoked")
def _(patch: Patch) -> None:
    revoked = Worker.on_revoked

    async def uncommitted(self: Worker) -> None:
        async def nothing(_within_s: float) -> bool:
            return True

        committer = getattr(self, "_committer", None)
        holder: Any = committer if hasattr(committer, "once") else self
        name = "once" if holder is committer else "_commit_once"
        before = getattr(holder, name)
        setattr(holder, name, nothing)
        try:
            await revoked(self)
        finally:
            setattr(holder, name, before)

    patch.setattr(Worker, "on_revoked", uncommitted)


@mutant("a revocation does not wait for what is on its way")
def _(patch: Patch) -> None:
    async def hasty(self: Settling, within_s: float, **_: Any) -> None:
        await asyncio.sleep(0)

    patch.setattr(Settling, "wait", hasty)


@mutant("one call more than max_in_flight")
def _(patch: Patch) -> None:
    limit = Pauses.limit.fget
    assert limit is not None
    patch.setattr(Pauses, "limit", property(lambda self: limit(self) + 1))
    patch.setattr("tests.simulation.member.CHECK_EVERY", 10**9)


@mutant("a microbatch takes more tokens than it may")
def _(patch: Patch) -> None:
    begin = _Cut.__init__

    def roomy(self: _Cut, window: Any) -> None:
        begin(self, window)
        self.max_tokens *= 2

    patch.setattr(_Cut, "__init__", roomy)
    patch.setattr("tests.simulation.member.CHECK_EVERY", 10**9)


@mutant("a reader that was moved stays where it is")
def _(patch: Patch) -> None:
    patch.setattr(LaneReader, "_moved", lambda self, partition: False)


@mutant("a lane begins one record late")
def _(patch: Patch) -> None:
    begin = Lane.__init__

    def late(self: Lane, partition: Any, start: Committed, task: TaskShell) -> None:
        begin(self, partition, start._replace(offset=start.offset + 1), task)

    patch.setattr(Lane, "__init__", late)


@mutant("room that comes back is not told")
def _(patch: Patch) -> None:
    patch.setattr(Worker, "on_room", lambda self, lane: None)


@mutant("the timer is not set")
def _(patch: Patch) -> None:
    patch.setattr(TaskShell, "_set_timer", lambda self: None)


@mutant("a cancelled call keeps its place")
def _(patch: Patch) -> None:
    patch.setattr(Engine, "_cancelled", lambda self, event, now: [])


@mutant("half of a divided microbatch is forgotten")
def _(patch: Patch) -> None:
    divided = Repeats._divided
    patch.setattr(
        Repeats, "_divided", lambda self, slots, parts: list(divided(self, slots, parts))[:1]
    )
    patch.setattr("tests.simulation.member.CHECK_EVERY", 10**9)


@mutant("a refused item's neighbours are refused with it")
def _(patch: Patch) -> None:
    after_failure = Repeats.after_failure

    def together(self: Repeats, batch: Any, live: Any, error: Any, step: Any, **only: Any) -> Any:
        if error.fault is Fault.REFUSED:
            from streams.errors import ItemError

            return Aftermath([(slot, ItemError("refused")) for slot in live], [])
        return after_failure(self, batch, live, error, step, **only)

    patch.setattr(Repeats, "after_failure", together)


@mutant("an outage counts as the items' fault")
def _(patch: Patch) -> None:
    patch.setitem(retry.RULES, Fault.CONNECTION, retry.Rule(retry.Step.COUNT))


@mutant("answers go to their neighbours")
def _(patch: Patch) -> None:
    replied = Engine._replied

    def turned(self: Engine, event: Any, now: float) -> Any:
        from dataclasses import replace

        return replied(self, replace(event, answers=event.answers[::-1]), now)

    patch.setattr(Engine, "_replied", turned)
    before = Engine.__init__

    def begin(self: Engine, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)
        from streams.core.events import Replied

        self._handlers[Replied] = self._replied

    patch.setattr(Engine, "__init__", begin)


@mutant("a commit that failed counts as made")
def _(patch: Patch) -> None:
    from tests.simulation.consumer import Consumer

    commit = Consumer.commit_watermarks

    async def hopeful(self: Consumer, committed: Any) -> bool:
        with suppress(KafkaError):
            await commit(self, committed)
        return True

    patch.setattr(Consumer, "commit_watermarks", hopeful)


if BEYOND:

    @mutant("equal keys leave as they come")
    def _(patch: Patch) -> None:
        patch.setitem(ORDERS, "key", NoOrder)
        patch.setattr("tests.simulation.member.CHECK_EVERY", 10**9)

    @mutant("what an earlier owner has settled beyond the watermark is done again")
    def _(patch: Patch) -> None:
        begin = Lane.__init__

        def forgetful(self: Lane, partition: Any, start: Committed, task: TaskShell) -> None:
            begin(self, partition, start._replace(beyond=()), task)

        patch.setattr(Lane, "__init__", forgetful)

    @mutant("what is settled beyond the watermark is not committed")
    def _(patch: Patch) -> None:
        progress = TaskShell.progress

        def silent(self: TaskShell, *args: Any) -> Committed:
            return progress(self, *args)._replace(beyond=())

        patch.setattr(TaskShell, "progress", silent)


# -- defects that the simulation has found, put back ---------------------------------------------


@mutant("a partition moved to its log's end waits for somebody to write")
def _(patch: Patch) -> None:
    moved = LaneReader._moved

    def where_fetched(self: LaneReader, partition: Any) -> bool:
        return partition in self._consumer._fetcher._records and moved(self, partition)

    patch.setattr(LaneReader, "_moved", where_fetched)


if hasattr(Worker, "_hold"):

    @mutant("results are written while the last commit is under way")
    def _(patch: Patch) -> None:
        async def nothing(self: Worker, within_s: float) -> None:
            await asyncio.sleep(0)

        patch.setattr(Worker, "_hold", nothing)


@mutant("what is behind the last record is not committed")
def _(patch: Patch) -> None:
    arrived = TaskShell.arrived

    def to_the_last(self: TaskShell, lane: Lane, records: Any, position: int) -> None:
        if records:
            arrived(self, lane, records, records[-1].offset + 1)

    patch.setattr(TaskShell, "arrived", to_the_last)


if hasattr(TaskShell, "resume"):

    @mutant("a partition that others have had goes on as it was")
    def _(patch: Patch) -> None:
        resume = TaskShell.resume

        def blind(self: TaskShell, lane: Lane, start: Committed) -> bool:
            done: bool = resume(self, lane, self.progress(lane))
            return done

        patch.setattr(TaskShell, "resume", blind)
