"""Faults put into the plain sink by hand."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError

from streams.kafka.produce import writer
from streams.kafka.produce.sink import Sink
from streams.kafka.produce.writer import PartitionWriter
from tests.simulation.mutants.registry import Patch, mutant


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
