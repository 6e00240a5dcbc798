"""Apache Kafka itself, from the jars that Maven Central holds: one node or three, in seconds.

Needs Java 17 or newer, and Maven once (the jars are kept). Nodes can be stopped, killed, frozen and
started again with their data. Three settings differ from what a broker does by itself, and are
said here: topics are not created by mentioning them (`auto.create.topics.enable=false`: a misspelt
topic is a failure), internal topics have 8 partitions, and a group's first rebalance does not wait.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.kafka.process import TiedProcess, brokers_known_to, free_port, wait_until_answering
from tests.brokers.features import KAFKA, Unavailable, tail

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
CHECKOUT = HERE.parent.parent
VERSION = re.search(r"<kafka.version>(.+?)<", POM.read_text()).group(1)  # type: ignore[union-attr]
OLDEST_JAVA = 17
START_TIMEOUT_S = 90.0
HEAP = "512m"


class JavaNode:
    """One Kafka node, broker and controller in one process."""

    def __init__(self, number: int, directory: Path, settings: dict[str, str], port: int) -> None:
        self.number = number
        self.directory = directory
        self.log_path = directory / "server.log"
        self.settings = settings
        self.port = port
        self.process: TiedProcess | None = None
        self._frozen = False
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive

    def format(self, cluster_id: str) -> None:
        """Writes the node's empty metadata; needed once."""
        done = subprocess.run(
            [*_java("128m"), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"]
            + [str(self._write_properties())],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"the storage of node {self.number} was not formatted: {done.stdout}")

    def launch(self) -> None:
        """Starts the process without waiting for its answer."""
        command = [*_java(HEAP), "kafka.Kafka", str(self._write_properties())]
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
        assert self.process is not None
        if not wait_until_answering(
            self.process, self.port, brokers=brokers, timeout_s=START_TIMEOUT_S
        ):
            raise Unavailable(f"node {self.number} does not answer:\n{tail(self.log_path, 30)}")

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

    def thaw(self) -> None:
        if self._frozen and self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self._frozen = False

    def _write_properties(self) -> Path:
        path = self.directory / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in self.settings.items()))
        return path


class JavaBroker:
    """Apache Kafka with `nodes` nodes. `port`: of the first node, the others follow; None: any."""

    kind = "java"

    def __init__(self, nodes: int = 1, port: int | None = None) -> None:
        self.description = f"Apache Kafka {VERSION} (java)"
        self.directory = Path(tempfile.mkdtemp(prefix="streams-kafka-"))
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
            if not brokers_known_to(node.port) >= len(self.nodes):
                node.wait_until_answering(len(self.nodes))

    def log_marks(self) -> list[int]:
        """How long each node's log is now; `log_since` shows what came later."""
        return [n.log_path.stat().st_size if n.log_path.exists() else 0 for n in self.nodes]

    def log_since(self, marks: list[int], lines: int = 60) -> str:
        parts = []
        for node, mark in zip(self.nodes, marks, strict=True):
            parts.append(f"-- node {node.number}, {'running' if node.alive else 'not running'}")
            parts.append(tail(node.log_path, lines, start=mark))
        return "\n".join(parts)

    def close(self) -> None:
        """Kills every node and removes the data."""
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> JavaBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, count: int, port: int | None) -> None:
        jars()
        cluster_id = _cluster_id()
        for attempt in range(5):
            self._place(count, port)
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda node: node.format(cluster_id), self.nodes))
            for node in self.nodes:
                node.launch()
            try:
                for node in self.nodes:
                    node.wait_until_answering(count)
            except Unavailable as error:
                taken = "already in use" in str(error)
                if port is not None or not taken or attempt == 4:
                    raise
                for node in self.nodes:
                    node.kill()
                shutil.rmtree(self.directory, ignore_errors=True)
            else:
                return

    def _place(self, count: int, port: int | None) -> None:
        ports = [port + n if port is not None else free_port() for n in range(count)]
        controllers = [free_port() for _ in range(count)]
        voters = ",".join(f"{n}@127.0.0.1:{controllers[n]}" for n in range(count))
        self.nodes = []
        for n in range(count):
            directory = self.directory / f"node-{n}"
            settings = _settings(n, count, ports[n], controllers[n], voters, directory)
            self.nodes.append(JavaNode(n, directory, settings, ports[n]))


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
        # A killed node of three is given up after 3 s, not 9.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Memory: the cleaner's map alone takes 128 MB by default.
        "log.cleaner.dedupe.buffer.size": "16777216",
    }


def jars() -> Path:
    """The directory with Kafka's jars, fetched by Maven the first time. Two processes that ask at
    once fetch once; a fetch that was cut leaves nothing behind."""
    root = Path(os.environ.get("STREAMS_TEST_KAFKA_CACHE") or CHECKOUT / ".kafka" / "lib")
    ready = root / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    if ready.is_dir():
        return ready
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / ".lock"):
        if ready.is_dir():
            return ready
        if shutil.which("mvn") is None:
            raise Unavailable("Apache Kafka's jars are not here and Maven (mvn) is not installed")
        with tempfile.TemporaryDirectory(dir=root) as directory:
            target = Path(directory) / "lib"
            command = ["mvn", "-q", "-B", "-C", "-f", str(POM), "dependency:copy-dependencies"]
            command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"Maven could not fetch Apache Kafka:\n{done.stdout[-2000:]}")
            target.rename(ready)
    return ready


def java_version() -> int | None:
    """The major version of the `java` that would run; None without one."""
    with contextlib.suppress(OSError):
        shown = subprocess.run([_java_path(), "-version"], capture_output=True, text=True).stderr
        if found := re.search(r'version "(?:1\.)?(\d+)', shown):
            return int(found.group(1))
    return None


def missing() -> str | None:
    """Why this kind cannot run here; None: it can."""
    version = java_version()
    if version is None or version < OLDEST_JAVA:
        return f"needs Java {OLDEST_JAVA} or newer, found {version or 'none'}"
    try:
        jars()
    except Unavailable as error:
        return str(error)
    return None


def _java_path() -> str:
    home = os.environ.get("JAVA_HOME")
    path = Path(home, "bin", "java") if home else None
    return str(path) if path and path.exists() else (shutil.which("java") or "/usr/bin/java")


def _java(heap: str) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    # Fewer compiler and collector threads than the machine has cores: the tests need those too.
    options = [f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Xshare:auto", logging]
    return [_java_path(), *options, "-cp", f"{jars()}/*"]


def _cluster_id() -> str:
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]).startswith("-"):
        pass
    return text


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.2)
        yield
