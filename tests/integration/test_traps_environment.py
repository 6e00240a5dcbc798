"""What surrounds a worker changes nothing of it: variables, ports, the working directory; and
`faust -A streams.app worker` is a worker, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.integration.harness import CHECKOUT, committed, eventually, items, publish, verdict
from tests.integration.simulated import API_KEY, classifies, simulated

pytestmark = pytest.mark.kafka

FAUSTS_OWN = {
    "BROKER_URL": "kafka://127.0.0.1:9",
    "BROKER_MAX_POLL_RECORDS": "1",
    "CONSUMER_AUTO_OFFSET_RESET": "latest",
    "PROCESSING_GUARANTEE": "exactly_once",
    "APP_VERSION": "7",
    "APP_DATADIR": "elsewhere",
    "STREAM_WAIT_EMPTY": "true",
    "TOPIC_PARTITIONS": "3",
    "WEB_BIND": "0.0.0.0",
    "WEB_PORT": "1",
    "WEB_ENABLED": "1",
}


class Started:
    """A command that runs in a directory of its own. `log`: its stderr and stdout so far."""

    def __init__(self, command: Sequence[str], directory: Path, variables: dict[str, str]) -> None:
        self._log = directory.with_suffix(".log")
        environ = {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environ, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def listening(self) -> list[str]:
        """The addresses that it listens on."""
        connections = psutil.Process(self.process.pid).net_connections("inet")
        return [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]

    def stop(self, within_s: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s} s:\n{self.log}") from None


@contextmanager
def started(directory: Path, *command: str, **variables: str) -> Iterator[Started]:
    directory.mkdir(exist_ok=True)
    running = Started([sys.executable, "-m", *command], directory, variables)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def _configuration(directory: Path, broker, group: str, task: str, worker: str = "") -> str:
    file = directory / f"{group}.toml"
    file.write_text(
        f'[kafka]\nbootstrap_servers = "{broker.bootstrap}"\nsession_timeout_s = 6\n'
        f'[worker]\nid = "{group}"\n{worker}\n{task}'
    )
    return str(file)


async def _all_done(broker, source: str, partitions: int, count: int, *running: Started) -> None:
    async def done() -> bool:
        for each in running:
            assert each.process.poll() is None, each.log
        group = f"{source}-group"
        return sum(await committed(broker.bootstrap, group, source, partitions)) >= count

    await eventually(done, 90, lambda: "\n".join(each.log for each in running))


async def test_fausts_variables_ports_and_directories_do_not_matter(broker, topic, tmp_path):
    """Two workers on one host, both with the default web address; nothing listens on 0.0.0.0, no
    `{id}-data` appears, and no unprefixed variable has an effect."""
    source = await topic(partitions=4)
    positions = await publish(broker.bootstrap, source, items(400, 4))
    variables = {"TEST_SOURCES": source, "TEST_CALL_S": "0.05", **FAUSTS_OWN}
    variables["STREAMS_CONFIG"] = _configuration(tmp_path, broker, f"{source}-group", "")
    command = ("streams", "worker", "--app", "tests.integration.trap_apps:app")
    with (
        started(tmp_path / "one", *command, **variables) as one,
        started(tmp_path / "two", *command, **variables) as two,
    ):
        await _all_done(broker, source, 4, 400, one, two)

        async def both_read() -> bool:
            return all("reading" in each.log for each in (one, two))

        await eventually(both_read, 60, lambda: one.log + two.log)
        addresses = one.listening() + two.listening()
        assert one.stop() == 0, one.log
        assert two.stop() == 0, two.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert (judged.lost, judged.out_of_order) == (0, 0)
    assert set(addresses) == {"127.0.0.1"}
    assert len(addresses) == 2, "each worker serves its page"
    assert list((tmp_path / "one").iterdir()) == list((tmp_path / "two").iterdir()) == []


@pytest.mark.parametrize("how", ["file", "variables"])
async def test_fausts_own_command_runs_the_configured_tasks(broker, topic, tmp_path, how):
    """`faust -A streams.app worker`, from STREAMS_CONFIG or from STREAMS_... variables alone: the
    results are there, nothing listens on 0.0.0.0, and SIGTERM ends it with 0."""
    source = await topic(partitions=2)
    positions = await publish(broker.bootstrap, source, items(40, 2))
    with simulated() as api:
        variables = {"ANTHROPIC_API_KEY": API_KEY, **FAUSTS_OWN}
        if how == "file":
            task = classifies(source, api)
            variables["STREAMS_CONFIG"] = _configuration(
                tmp_path, broker, f"{source}-group", task, 'web = ""'
            )
        else:
            variables |= {
                "STREAMS_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
                "STREAMS_WORKER__ID": f"{source}-group",
                "STREAMS_WORKER__WEB": "",
                "STREAMS_PROVIDER__ANTHROPIC__BASE_URL": api.url,
                "STREAMS_TASK__SENTIMENT__SOURCE": source,
                "STREAMS_TASK__SENTIMENT__SINK": f"{source}.out",
                "STREAMS_TASK__SENTIMENT__OPERATION": "classify",
                "STREAMS_TASK__SENTIMENT__PROVIDER": "anthropic",
                "STREAMS_TASK__SENTIMENT__MODEL": "claude-haiku-5-5",
                "STREAMS_TASK__SENTIMENT__LABELS": '["good", "bad"]',
            }
        with started(
            tmp_path / "own", "faust", "-A", "streams.app", "worker", **variables
        ) as running:
            await _all_done(broker, source, 2, 40, running)
            addresses = running.listening()
            assert running.stop() == 0, running.log
            log = running.log
    judged, _ = await verdict(broker.bootstrap, source, positions)
    assert judged == (0, 0, 0)
    assert set(addresses) <= {"127.0.0.1"}
    assert "Traceback" not in log
    assert API_KEY not in log
    assert list((tmp_path / "own").iterdir()) == []
