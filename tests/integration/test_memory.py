"""A backlog costs no more memory than `max_buffered_mb` and a fifth (G8), from the first fetch on,
whatever its records look like."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from tests.integration.harness import WorkerProcess, eventually
from tests.integration.running import TRAPS, item, logged, worker

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is Linux's to tell"),
]


class Backlog(NamedTuple):
    """`size`: of each text. `batch_bytes`: of a record batch before it is compressed."""

    partitions: int
    records: int
    size: int
    batch_bytes: int
    codec: str | None
    buffered_mb: int


BACKLOGS = {
    "fifty partitions of 100 kB records": Backlog(50, 8, 100_000, 1_000_000, None, 16),
    "batches of some kB that are 20 MB inside": Backlog(12, 1900, 10_000, 20_000_000, "zstd", 64),
}


async def _write(bootstrap: str, topic: str, backlog: Backlog) -> None:
    """The same record batch to each partition, or as many as its records need."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        max_batch_size=backlog.batch_bytes,
        max_request_size=2 * backlog.batch_bytes,
        compression_type=backlog.codec,
    ) as producer:
        value = item(1, "word " * (backlog.size // 5), wait=True)
        for partition in range(backlog.partitions):
            batch = producer.create_batch()
            for _ in range(backlog.records):
                assert batch.append(key=None, value=value, timestamp=None)
            await (await producer.send_batch(batch, topic, partition=partition))


def _highest_mb(process: WorkerProcess) -> float:
    """The most that was resident so far, as Linux knows it."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text().splitlines()
    (highest,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(highest.split()[1]) * 1024 / 1e6


async def _peak_mb(
    broker: Any, source: str, buffered_mb: int, gate: Path, app: str = TRAPS
) -> float:
    """The most that a worker takes before its first call ends: until it grows no more."""
    with worker(
        broker,
        source,
        app=app,
        settings=f"max_buffered_mb = {buffered_mb}",
        TEST_GATE=str(gate),
        TEST_TEXT="/id",
        TEST_STAGES="hundredfold",
    ) as process:
        await logged(process, f"reading {source}")
        peaks: list[float] = []

        async def level() -> bool:
            peaks.append(_highest_mb(process))
            return len(peaks) > 20 and peaks[-1] - peaks[-15] < 0.5

        await eventually(level, 30, lambda: str(peaks))
        gate.touch()  # noqa: ASYNC240  a moment
        assert process.stop() == 0, process.log
    return peaks[-1]


@pytest.fixture(scope="module")
def idle_mb() -> list[float]:
    """What a worker takes that has nothing to do; measured by the first test that asks."""
    return []


@pytest.mark.parametrize("backlog", BACKLOGS.values(), ids=BACKLOGS)
async def test_a_backlog_takes_no_more_than_the_budget_and_a_fifth(
    backlog: Backlog,
    broker: Any,
    topic: Callable[..., Any],
    tmp_path: Path,
    idle_mb: list[float],
):
    if not idle_mb:
        idle = await topic("idle", partitions=backlog.partitions)
        idle_mb.append(await _peak_mb(broker, idle, backlog.buffered_mb, tmp_path / "idle"))
    source = await topic("backlog", partitions=backlog.partitions)
    await _write(broker.bootstrap, source, backlog)
    peak_mb = await _peak_mb(broker, source, backlog.buffered_mb, tmp_path / "gate")
    assert peak_mb - idle_mb[0] < 1.2 * backlog.buffered_mb, (idle_mb, peak_mb)


async def test_what_the_stages_of_a_pipeline_make_of_a_backlog_counts_too(
    broker: Any, topic: Callable[..., Any], tmp_path: Path
):
    """Each record becomes 1 MB, and a thousand of them came in before the first was measured."""
    pipelines = "tests.integration.pipeline_apps:app"
    backlog = Backlog(4, 500, 100, 1_000_000, None, 64)
    idle, source = await topic("idle", partitions=4), await topic("backlog", partitions=4)
    idle_mb = await _peak_mb(broker, idle, 64, tmp_path / "idle", pipelines)
    await _write(broker.bootstrap, source, backlog)
    peak_mb = await _peak_mb(broker, source, 64, tmp_path / "gate", pipelines)
    assert peak_mb - idle_mb < 1.2 * 64, (idle_mb, peak_mb)
