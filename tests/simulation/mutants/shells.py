"""Faults put into lanes, commits and the reader by hand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from streams.codec.committed import Committed
from streams.kafka.consume.reader import LaneReader
from streams.running.runner import Runner
from streams.worker.commits import Settling
from streams.worker.partition import Partition
from streams.worker.task import TaskShell
from streams.worker.worker import Worker
from tests.simulation.mutants.registry import Patch, mutant


@mutant("a commit names one offset too many")
def _(patch: Patch) -> None:
    progress = TaskShell.progress

    def further(self: TaskShell, lane: Partition) -> Committed:
        said = progress(self, lane)
        known = self._engine.lanes.get(lane)
        return said._replace(offset=said.offset + 1) if known and known.unsettled else said

    patch.setattr(TaskShell, "progress", further)


@mutant("what a revoked lane has queued is still written", found_by=95)
def _(patch: Patch) -> None:
    close = TaskShell.close

    def left_open(self: TaskShell, lane: Partition) -> None:
        close(self, lane)
        lane.open = True

    patch.setattr(TaskShell, "close", left_open)
    # Next to nothing is left queued otherwise: a sink would have to be away for that long.
    patch.setitem(Worker.__init__.__kwdefaults__, "deliver_within_s", 1.0)


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


@mutant("a revocation does not wait for what is on its way", found_by=108)
def _(patch: Patch) -> None:
    async def hasty(self: Settling, within_s: float, **_: Any) -> None:
        await asyncio.sleep(0)

    patch.setattr(Settling, "wait", hasty)


@mutant("a reader that was moved stays where it is", found_by=90)
def _(patch: Patch) -> None:
    patch.setattr(LaneReader, "_seek_back", lambda self, partition: False)


@mutant("a lane begins one record late")
def _(patch: Patch) -> None:
    begin = Partition.__init__

    def late(self: Partition, partition: Any, start: Committed, task: TaskShell) -> None:
        begin(self, partition, start._replace(offset=start.offset + 1), task)

    patch.setattr(Partition, "__init__", late)


@mutant("room that comes back is not told")
def _(patch: Patch) -> None:
    patch.setattr(Worker, "on_room", lambda self, lane: None)


@mutant("the timer is not set")
def _(patch: Patch) -> None:
    patch.setattr(Runner, "_set_timer", lambda self: None)


@mutant("a commit that failed counts as made", found_by=47)
def _(patch: Patch) -> None:
    from tests.simulation.consumer import Consumer

    commit = Consumer.commit_watermarks

    async def hopeful(self: Consumer, committed: Any) -> bool:
        with suppress(KafkaError):
            await commit(self, committed)
        return True

    patch.setattr(Consumer, "commit_watermarks", hopeful)


@mutant("what an earlier owner has settled beyond the watermark is done again")
def _(patch: Patch) -> None:
    begin = Partition.__init__

    def forgetful(self: Partition, partition: Any, start: Committed, task: TaskShell) -> None:
        begin(self, partition, start._replace(beyond=()), task)

    patch.setattr(Partition, "__init__", forgetful)


@mutant("what is settled beyond the watermark is not committed")
def _(patch: Patch) -> None:
    progress = TaskShell.progress

    def silent(self: TaskShell, *args: Any) -> Committed:
        return progress(self, *args)._replace(beyond=())

    patch.setattr(TaskShell, "progress", silent)


@mutant("a partition moved to its log's end waits for somebody to write", found_by=90)
def _(patch: Patch) -> None:
    moved = LaneReader._seek_back

    def where_fetched(self: LaneReader, partition: Any) -> bool:
        return partition in self._consumer._fetcher._records and moved(self, partition)

    patch.setattr(LaneReader, "_seek_back", where_fetched)


@mutant("results are written while the last commit is under way", found_by=206)
def _(patch: Patch) -> None:
    async def nothing(self: Settling, lanes: Any, within_s: float) -> None:
        await asyncio.sleep(0)

    patch.setattr(Settling, "hold", nothing)


@mutant("what is behind the last record is not committed")
def _(patch: Patch) -> None:
    arrived = TaskShell.arrived

    def to_the_last(self: TaskShell, lane: Partition, records: Any, position: int) -> None:
        if records:
            arrived(self, lane, records, records[-1].offset + 1)

    patch.setattr(TaskShell, "arrived", to_the_last)


@mutant("a partition that others have had goes on as it was", found_by=191)
def _(patch: Patch) -> None:
    resume = TaskShell.resume

    def blind(self: TaskShell, lane: Partition, start: Committed) -> bool:
        done: bool = resume(self, lane, self.progress(lane))
        return done

    patch.setattr(TaskShell, "resume", blind)
