"""Workers of one group as processes, and what they have done, seen from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import IO

from aiokafka import AIOKafkaConsumer, TopicPartition

STOP_WITHIN_S = 60.0


class Group:
    """Workers of one group, as processes."""

    def __init__(self, environ: Mapping[str, str], said: IO[bytes]) -> None:
        self._environ = {**os.environ, **environ}
        self._said = said
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, **variables: str) -> None:
        """One more. `variables`: of its environment, beside the group's."""
        self.running.append(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.programs.worker",
                env=self._environ | variables, start_new_session=True,
                stdout=self._said, stderr=self._said,
            )
        )  # fmt: skip

    async def kill_one(self) -> None:
        """The oldest dies, and another starts."""
        victim = self.running.pop(0)
        victim.kill()
        await victim.wait()
        await self.start()

    async def leave(self) -> None:
        """The youngest stops in order. Raises RuntimeError if it does not."""
        process = self.running.pop()
        process.terminate()
        if code := await asyncio.wait_for(process.wait(), STOP_WITHIN_S):
            raise RuntimeError(f"a worker stopped with {code}")

    async def stop(self) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.running:
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)


@contextlib.asynccontextmanager
async def group(environ: Mapping[str, str], workers: int) -> AsyncIterator[Group]:
    """So many are started; all are stopped at the end. What they say goes to this process's error
    output if something fails."""
    with tempfile.TemporaryFile() as said:
        made = Group(environ, said)
        try:
            for _ in range(workers):
                await made.start()
            yield made
        except BaseException:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-20_000:])
            raise
        finally:
            await made.stop()


class Looking:
    """What the group has committed, and where the sink's partitions end."""

    def __init__(self, server: str, group_id: str, source: str, sink: str, partitions: int) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=server, group_id=group_id, enable_auto_commit=False
        )
        self._source = [TopicPartition(source, n) for n in range(partitions)]
        self._sink = [TopicPartition(sink, n) for n in range(partitions)]

    async def __aenter__(self) -> Looking:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def committed(self) -> int:
        found = [await self._consumer.committed(place) for place in self._source]
        return sum(offset or 0 for offset in found)

    async def offered(self) -> int:
        """How many records the source has got."""
        return sum((await self._consumer.end_offsets(self._source)).values())

    async def ends(self) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(self._sink)
        return found
