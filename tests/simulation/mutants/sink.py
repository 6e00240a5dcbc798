"""Faults put into the ordered queue by hand."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaError

from streams.kafka.produce import ordered_queue
from streams.kafka.produce.ordered_queue import OrderedQueue
from streams.kafka.produce.producers import Producers
from tests.simulation.mutants.registry import Patch, mutant

WRITTEN = SimpleNamespace(offset=0)


@mutant("a failed acknowledgement counts as one")
def _(patch: Patch) -> None:
    acknowledgement = ordered_queue.acknowledgement

    async def believed(*arguments: Any) -> Any:
        try:
            return await acknowledgement(*arguments)
        except KafkaError:
            return WRITTEN

    patch.setattr(ordered_queue, "acknowledgement", believed)


@mutant("outcomes count as delivered when they are sent")
def _(patch: Patch) -> None:
    async def unheard(*_: Any) -> Any:
        await asyncio.sleep(0)
        return WRITTEN

    patch.setattr(ordered_queue, "acknowledgement", unheard)


@mutant("a queue goes on with a producer that has a hole in its sequence")
def _(patch: Patch) -> None:
    async def same(*_: Any) -> None:
        await asyncio.sleep(0)

    patch.setattr(Producers, "renew", same)


@mutant("a batch that was not accepted is forgotten", found_by=19)
def _(patch: Patch) -> None:
    offer = OrderedQueue._offer

    async def swallowed(self: OrderedQueue, producer: Any, batch: Any) -> Any:
        try:
            return await offer(self, producer, batch)
        except KafkaError:
            done = asyncio.get_running_loop().create_future()
            done.set_result(WRITTEN)
            return done

    patch.setattr(OrderedQueue, "_offer", swallowed)


@mutant("what is put while a write ends is left behind")
def _(patch: Patch) -> None:
    """The defect that the ledger's own writer had."""
    write_all = OrderedQueue._run

    async def lingering(self: OrderedQueue) -> None:
        await write_all(self)
        self._task = asyncio.current_task()
        await asyncio.sleep(0)
        self._task = None

    patch.setattr(OrderedQueue, "_run", lingering)
