"""Tasks of order "key" and "none": what is done beyond a slow head, as the broker tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.codec.committed import Committed
from streams.core.ranges import covered
from tests.integration.harness import WorkerProcess, eventually, metadata
from tests.integration.running import group_of


async def told(broker: Any, source: str, partition: int = 0) -> Committed:
    """What the group's last commit said of a partition; nothing before the first."""
    found = await metadata(broker.bootstrap, group_of(source), source)
    offset, text = found.get(partition, (0, ""))
    return Committed.read(offset, text)


def named(said: Committed, offset: int) -> bool:
    """Whether the commit says of this offset that it is done."""
    return offset < said.offset or covered(offset, said.beyond)


async def all_told(
    broker: Any, process: WorkerProcess, source: str, offsets: Sequence[int], within_s: float = 60
) -> Committed:
    """Wait until a commit names all of these; returns what it says."""
    said = Committed(0)

    async def reached() -> bool:
        nonlocal said
        said = await told(broker, source)
        assert process.process.poll() is None, process.log
        return all(named(said, offset) for offset in offsets)

    await eventually(reached, within_s, lambda: f"told {said}\n{process.log}")
    return said


def called(file: Path) -> Counter[tuple[int, int]]:
    """How often each (partition, offset) was in a call that has ended."""
    words = file.read_text().split() if file.exists() else []
    return Counter((int(word.split("/")[0]), int(word.split("/")[1])) for word in words)
