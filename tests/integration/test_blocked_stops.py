"""A function that blocks its thread keeps no worker from stopping, however it is run: its last
commit is made, its producers are closed, and it leaves the group. `streams worker` has a watchdog
that ends the process; here nothing does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.integration.harness import (
    CHECKOUT,
    committed,
    eventually,
    items,
    publish,
    verdict,
)

pytestmark = pytest.mark.kafka

STOPS_WITHIN_S = 15.0


class Running:
    """A process with the app; `log`: what it said so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self) -> int:
        try:
            return self.process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {STOPS_WITHIN_S} s:\n{self.log}") from None


@contextmanager
def running(
    directory: Path, broker, source: str, *command: str, worker: str = ""
) -> Iterator[Running]:
    """`python -m COMMAND` as a process of its own; killed at the end if it has not stopped.
    `worker`: more lines of `[worker]`."""
    config, log = directory / "streams.toml", directory / "log"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{broker.bootstrap}"\n'
        f'[worker]\nid = "{source}-group"\nweb = ""\nshutdown_timeout_s = 4\n{worker}'
    )
    environ = {**os.environ, "STREAMS_CONFIG": str(config), "TEST_SOURCE": source}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=CHECKOUT, env=environ,
            stdin=subprocess.PIPE, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.communicate()


async def members(broker, group: str) -> Sequence[object]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
        (described,) = answer.groups
        found: Sequence[object] = described[5]
        return found
    finally:
        await admin.close()


async def blocked(broker, source: str, app: Running) -> list[tuple[int, int]]:
    """20 items are done, and the function blocks on the next one. Returns where all stand."""
    records = items(20, 1)
    positions = await publish(broker.bootstrap, source, records)

    async def done() -> bool:
        return await committed(broker.bootstrap, f"{source}-group", source, 1) == [20]

    await eventually(done, 60, lambda: app.log)
    block = (None, b'{"id": 20, "text": "block"}', 0)
    positions += await publish(broker.bootstrap, source, [block])

    async def blocks() -> bool:
        return "blocking" in app.log

    await eventually(blocks, 30, lambda: app.log)
    return positions


async def left_in_order(broker, source: str, positions: list[tuple[int, int]]) -> None:
    assert await committed(broker.bootstrap, f"{source}-group", source, 1) == [20]
    assert await members(broker, f"{source}-group") == []
    judged, _ = await verdict(broker.bootstrap, source, positions[:20])
    assert judged == (0, 0, 0)


@pytest.mark.parametrize("worker", ["", "ledger = true\n"], ids=["", "with a ledger"])
async def test_fausts_own_worker_leaves_a_blocked_function_behind(broker, topic, tmp_path, worker):
    source = await topic()
    command = ("faust", "-A", "tests.integration.blocking_app", "worker", "--loglevel", "info")
    with running(tmp_path, broker, source, *command, worker=worker) as app:
        positions = await blocked(broker, source, app)
        app.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert app.wait() == 0, app.log
        assert time.monotonic() - began < STOPS_WITHIN_S
        log = app.log
    assert "Unclosed AIOKafka" not in log
    assert "1 calls do not end" not in log  # it is left behind, the call has ended
    await left_in_order(broker, source, positions)


async def test_an_app_inside_another_program_leaves_a_blocked_function_behind(
    broker, topic, tmp_path
):
    source = await topic()
    with running(tmp_path, broker, source, "tests.integration.blocking_app") as app:
        positions = await blocked(broker, source, app)
        assert app.process.stdin is not None
        app.process.stdin.close()
        assert await asyncio.to_thread(app.wait) == 0, app.log
        log = app.log
    assert "stopped; the producer is closed: True" in log
    assert "the program goes on" in log
    assert "Unclosed AIOKafka" not in log
    await left_in_order(broker, source, positions)
