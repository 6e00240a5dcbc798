"""Faults put into the transactions by hand."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.kafka.produce import lane_writer
from streams.kafka.produce.group import Group
from streams.kafka.produce.lane_writer import Ended, LaneWriter
from streams.kafka.produce.transactions import Transactions
from streams.worker.worker import Worker
from tests.simulation.mutants.registry import Patch, exactly_once, mutant


async def _nothing(*_: Any) -> None:
    await asyncio.sleep(0)


@mutant("offsets are committed behind the transaction", exactly_once)
def _(patch: Patch) -> None:
    attempt = LaneWriter._attempt

    async def apart(self: LaneWriter, group: Group, said: Any, sent: Any) -> None:
        await attempt(self, group, said, sent)
        worker: Any = self._owner.committed.__self__  # type: ignore[attr-defined]
        await worker._consumer.commit_watermarks({self.partition: said})

    patch.setattr(AIOKafkaProducer, "send_offsets_to_transaction", _nothing)
    patch.setattr(LaneWriter, "_attempt", apart)


def _ended(patch: Patch, otherwise: dict[Ended, Ended]) -> None:
    refresh_metadata = LaneWriter._look_again

    async def looked(self: LaneWriter, lane: Any, said: Any) -> Ended:
        ended = await refresh_metadata(self, lane, said)
        return otherwise.get(ended, ended)

    patch.setattr(LaneWriter, "_look_again", looked)


@mutant("a commit whose answer was lost is taken for an abort", exactly_once, found_by=424)
def _(patch: Patch) -> None:
    _ended(patch, {Ended.DONE: Ended.UNDONE})


@mutant("a commit whose answer was lost is taken for somebody else's", exactly_once, found_by=199)
def _(patch: Patch) -> None:
    _ended(patch, {Ended.DONE: Ended.LOST})


@mutant("a failed transaction is taken for a commit", exactly_once)
def _(patch: Patch) -> None:
    _ended(patch, {Ended.UNDONE: Ended.DONE})


@mutant("whoever has lost a partition writes on", exactly_once)
def _(patch: Patch) -> None:
    _ended(patch, {Ended.LOST: Ended.UNDONE})


@mutant("the committed offset is read before the earlier owner is fenced", exactly_once)
def _(patch: Patch) -> None:
    prepare = Worker.before_assigned

    async def late(self: Worker, starts: Any) -> None:
        await prepare(self, starts)

    patch.setattr(Worker, "before_assigned", _nothing)
    patch.setattr(Worker, "before_lanes", late)


@mutant("each process has transactional ids of its own", exactly_once, found_by=102)
def _(patch: Patch) -> None:
    begin, number = Transactions.__init__, count()

    def apart(self: Transactions, *args: Any, worker_id: str, **keywords: Any) -> None:
        begin(self, *args, worker_id=f"{worker_id}{next(number)}", **keywords)

    patch.setattr(Transactions, "__init__", apart)


@mutant("a transaction is committed whatever became of its records", exactly_once)
def _(patch: Patch) -> None:
    patch.setattr(lane_writer, "acknowledgement", _nothing)


@mutant("what an aborted transaction held is forgotten", exactly_once)
def _(patch: Patch) -> None:
    patch.setattr(LaneWriter, "_put_back", _nothing)


@mutant("a transaction names what was settled when it was put together", exactly_once)
def _(patch: Patch) -> None:
    patch.setattr(Group, "slots", property(lambda self: set()))
