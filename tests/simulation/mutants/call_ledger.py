"""Faults put into the call ledger by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from streams.codec.answers import Trail
from streams.running.runner import Runner
from streams.worker import call_ledger as shell
from streams.worker.call_ledger import Ledger
from streams.worker.partition import Partition
from streams.worker.task import TaskShell
from streams.worker.worker import Worker
from tests.simulation.mutants.registry import Patch, mutant, recorded


@mutant("the ledger is not read at an assignment", recorded, found_by=105)
def _(patch: Patch) -> None:
    async def nothing(self: Worker, starts: Any) -> None:
        await asyncio.sleep(0)

    patch.setattr(Worker, "before_lanes", nothing)


@mutant("answers are not recorded", recorded)
def _(patch: Patch) -> None:
    patch.setattr(Ledger, "record", lambda self, batch, slots, answers: None)


@mutant("what a call answers whose lane is gone is not recorded", recorded, found_by=37)
def _(patch: Patch) -> None:
    def kept(batch: Any, slots: Sequence[Any], answers: Sequence[Any]) -> list[Any]:
        return [slot for slot in slots if slot.call is batch]

    patch.setattr(shell, "paid_slots", kept)


@mutant("a call is cancelled with its lane, though it is paid", recorded, found_by=37)
def _(patch: Patch) -> None:
    begin = Runner.__init__

    def cancelling(self: Runner, *args: Any, **keywords: Any) -> None:
        begin(self, *args, **{**keywords, "cancels": True})

    patch.setattr(Runner, "__init__", cancelling)


@mutant("a commit names the end of the ledger", recorded, found_by=45)
def _(patch: Patch) -> None:
    patch.setattr(Trail, "begin", lambda self, watermark: self._end)


@mutant("a lane begins without what was read for it", recorded, found_by=284)
def _(patch: Patch) -> None:
    """A defect that was found (seed 183): asked where the ledger begins, it was let go of."""
    begin = Ledger.begin

    def letting_go(self: Ledger, lane: Partition, watermark: int) -> int | None:
        self._contents.pop(lane.where, None)
        return begin(self, lane, watermark)

    patch.setattr(Ledger, "begin", letting_go)


@mutant("an answer of the ledger is given to the next item", recorded)
def _(patch: Patch) -> None:
    recall = TaskShell._recall

    def beside(self: TaskShell, lane: Partition, slots: Sequence[Any]) -> None:
        lane.answers = {offset + 1: record for offset, record in lane.answers.items()}
        recall(self, lane, slots)

    patch.setattr(TaskShell, "_recall", beside)
    patch.setattr("streams.codec.answers.checksum", lambda item: 0)
