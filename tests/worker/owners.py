"""Owners of a partition that follow each other on one broker: each crashes, and the next starts
where its last commit says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.kafka.producers import Broker
from tests.worker.shell import Shell, settled

LEDGER = "worker.source.ledger"

Make = Callable[..., Awaitable[Shell]]


async def crash(shell: Shell) -> None:
    """Nothing is drained, committed or written any more."""
    await settled()
    await shell.stop()


def recorded(broker: Broker, partition: int = 0) -> list[int]:
    """The offsets of the items whose answers the ledger has."""
    keys = [stored.key.decode() for stored in broker.logs[LEDGER, partition]]
    return [int(key.split("/")[2]) for key in keys]


async def answered_behind_a_gate(make: Make, **keywords: Any) -> tuple[Shell, Any]:
    """Five calls of ten items; all but the first are answered, so that nothing is released."""
    shell = await make(**keywords)
    (lane,) = await shell.assign(0)
    shell.arrive(lane, 50)
    await shell.until(lambda: len(shell.calls) == 5)
    for call in shell.calls[1:]:
        call.answer()
    await shell.until(lambda: len(recorded(shell.broker)) == 40)
    assert shell.written() == []
    return shell, lane


async def take_over(
    make: Make, before: Shell, lane: Any, count: int = 50, **keywords: Any
) -> tuple[Shell, Any]:
    """Another worker starts where the last commit of the crashed one says."""
    await crash(before)
    shell = await make(before, **keywords)
    (again,) = await shell.assign(0, said=lane.committed)
    shell.arrive(again, count - again.next_offset)
    return shell, again
