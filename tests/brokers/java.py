"""Apache Kafka itself, from the jars that Maven Central holds: one node or three, in seconds.

Needs Java 17 or newer, and Maven once (the jars are kept). Nodes can be stopped, killed, frozen and
started again with their data. Settings that differ from what a broker does by itself are in
`_settings`: topics are not created by mentioning them (a misspelt topic is a failure), internal
topics have 8 partitions, groups first rebalance at once, a dead node is given up after 3 s. Each
node has a second listener for clients that come through a proxy (`JavaNode.proxied`): there it says
that it is where the proxy listens.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.kafka.broker.child import (
    TiedProcess,
    broker_count,
    free_port,
    refuse_used_port,
    wait_until_answering,
)
from tests.brokers.features import KAFKA, UnavailableError, tail
from tests.brokers.jars import class_archive, jars, java_command, kafka_version

START_TIMEOUT_S = 120.0
HEAP = "512m"
DATA = "streams-kafka-"


class JavaNode:
    """One Kafka node, broker and controller in one process. `proxied`: the port of its second
    listener, and the port at which clients of that one are told to find it (nothing listens there
    until a test has a proxy do so)."""

    def __init__(
        self, number: int, directory: Path, settings: dict[str, str], port: int, *, fast_start: bool
    ) -> None:
        self.number = number
        self.proxied = (0, 0)
        self.directory = directory
        self.log_path = directory / "server.log"
        self.settings = settings
        self.port = port
        self.fast_start = fast_start
        self.process: TiedProcess | None = None
        self.archiving: Path | None = None
        self._frozen = False
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive

    def format(self, cluster_id: str) -> None:
        """Writes the node's empty metadata; needed once."""
        command = java_command("128m", fast_start=True)
        command += ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"]
        command += [str(self._write_properties())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"node {self.number}'s storage was not formatted: {done.stdout}")

    def launch(self, *, archive: bool = False) -> None:
        """Starts the process without waiting for its answer. `archive`: have it write the class
        archive when it stops."""
        self.archiving = self.directory / "classes.jsa" if archive else None
        command = java_command(HEAP, fast_start=self.fast_start, archive_into=self.archiving)
        command += ["kafka.Kafka", str(self._write_properties())]
        with self.log_path.open("ab") as log:
            self.process = TiedProcess(
                command, output=log, environ=os.environ.copy(), directory=self.directory
            )
        self._frozen = False

    def start(self) -> None:
        """Starts the node with the data it has, and waits until it answers."""
        if not self.alive:
            self.launch()
        self.wait_until_answering(1)

    def wait_until_answering(self, brokers: int) -> None:
        """Until the node lists `brokers` brokers as alive."""
        assert self.process is not None
        if not wait_until_answering(
            self.process, self.port, brokers=brokers, timeout_s=START_TIMEOUT_S
        ):
            raise UnavailableError(
                f"node {self.number} does not answer:\n{tail(self.log_path, 30)}"
            )

    def stop(self) -> None:
        """SIGTERM: leaves in order, keeps its data."""
        self.thaw()
        if self.process is not None:
            self.process.terminate(30.0)

    def kill(self) -> None:
        """SIGKILL: dead at once, keeps what it has written."""
        if self.process is not None:
            self.process.kill()
        self._frozen = False

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `thaw`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self._frozen = True
        # Its threads go on for a moment: one may still answer.
        if hasattr(os, "waitid"):  # not on macOS before Python 3.13
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """SIGCONT, if it was frozen."""
        if self._frozen and self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self._frozen = False

    def _write_properties(self) -> Path:
        path = self.directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        return path


class JavaBroker:
    """Apache Kafka with `nodes` nodes, running until `close` or until this process ends.

    `port`: of the first node, the others follow; None: any free ones. `fast_start`: compile lightly
    (for tests); False for a broker that is measured.
    """

    kind = "java"

    def __init__(self, nodes: int = 1, port: int | None = None, *, fast_start: bool = True) -> None:
        self.description = f"Apache Kafka {kafka_version()} (java)"
        self.fast_start = fast_start
        _remove_what_killed_runs_left()
        if port is not None:
            for n in range(nodes):
                refuse_used_port(port + n)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{DATA}{os.getpid()}-"))
        self.nodes: list[JavaNode] = []
        try:
            self._start(nodes, port)
        except BaseException:
            self.close()
            raise

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def supports(self, feature: str) -> bool:
        return feature in KAFKA

    def heal(self) -> None:
        """Every node thawed and running again, whatever a test did to them."""
        for node in self.nodes:
            node.thaw()
        for node in self.nodes:
            if not node.alive:
                node.launch()
        for node in self.nodes:
            if broker_count(node.port) < len(self.nodes):
                node.wait_until_answering(len(self.nodes))

    def log_marks(self) -> list[int]:
        """How long each node's log is now; `log_since` shows what came later."""
        return [n.log_path.stat().st_size if n.log_path.exists() else 0 for n in self.nodes]

    def log_since(self, marks: list[int], lines: int = 60) -> str:
        """The last `lines` lines of each node's log, of what came after `marks`."""
        parts = []
        for node, mark in zip(self.nodes, marks, strict=True):
            parts.append(f"-- node {node.number}, {'running' if node.alive else 'not running'}")
            parts.append(tail(node.log_path, lines, start=mark))
        return "\n".join(parts)

    def close(self) -> None:
        """Kills every node and removes the data."""
        for node in self.nodes:
            if node.archiving is not None and not class_archive().exists():
                node.stop()
                with contextlib.suppress(OSError):
                    shutil.move(node.archiving, class_archive())
            node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> JavaBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, count: int, port: int | None) -> None:
        jars()
        cluster_id = _cluster_id()
        archive = count == 1 and not class_archive().exists()
        attempts = 1 if port is not None else 5
        for attempt in range(attempts):
            self._place(count, port)
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda node: node.format(cluster_id), self.nodes))
            for node in self.nodes:
                node.launch(archive=archive)
            try:
                for node in self.nodes:
                    node.wait_until_answering(count)
            except UnavailableError as error:
                if "already in use" not in str(error) or attempt == attempts - 1:
                    raise
                for node in self.nodes:
                    node.kill()
                shutil.rmtree(self.directory)
            else:
                return

    def _place(self, count: int, port: int | None) -> None:
        ports = [port + n if port is not None else free_port() for n in range(count)]
        controllers = [free_port() for _ in range(count)]
        voters = ",".join(f"{n}@127.0.0.1:{controllers[n]}" for n in range(count))
        self.nodes = []
        for n in range(count):
            directory = self.directory / f"node-{n}"
            proxied = free_port(), free_port()
            settings = _settings(n, count, ports[n], controllers[n], voters, directory)
            _listen_for_a_proxy(settings, *proxied)
            node = JavaNode(n, directory, settings, ports[n], fast_start=self.fast_start)
            node.proxied = proxied
            self.nodes.append(node)


def _settings(
    number: int, count: int, port: int, controller: int, voters: str, directory: Path
) -> dict[str, str]:
    replicas = str(min(3, count))
    in_sync = str(min(2, count))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(directory / "data"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": "0",
        "broker.session.timeout.ms": "3000",  # a killed node of three is given up sooner (9 s)
        "broker.heartbeat.interval.ms": "500",
        "log.cleaner.dedupe.buffer.size": "16777216",  # on the heap; 128 MB by default
        "log.cleaner.backoff.ms": "1000",  # tests wait for compaction; 15 s by default
    }


def _listen_for_a_proxy(settings: dict[str, str], port: int, told: int) -> None:
    settings["listeners"] += f",PROXIED://127.0.0.1:{port}"
    settings["advertised.listeners"] += f",PROXIED://127.0.0.1:{told}"
    settings["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"


def _cluster_id() -> str:
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]).startswith("-"):
        pass
    return text


def _remove_what_killed_runs_left() -> None:
    for directory in Path(tempfile.gettempdir()).glob(f"{DATA}*"):
        owner = re.match(rf"{DATA}(\d+)-", directory.name)
        if owner and not _runs(int(owner.group(1))):
            shutil.rmtree(directory, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
