"""Apache Kafka's image through testcontainers. `STREAMS_TEST_KAFKA_IMAGE` names another image.

The image must take its settings as Apache's does: `KAFKA_NODE_ID` for `node.id`, and so on. With an
image of one's own nothing is pulled, so testcontainers' reaper is off too: a test run that is
killed then leaves its container behind.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
import warnings
from typing import Any

from streams.errors import BrokerError
from streams.kafka.broker.child import broker_count, free_port, refuse_used_port
from tests.brokers.features import KAFKA, UnavailableError

VARIABLE = "STREAMS_TEST_KAFKA_IMAGE"
IMAGE = "apache/kafka:4.4.0"
START_TIMEOUT_S = 120.0


def image() -> str:
    return os.environ.get(VARIABLE) or IMAGE


def description() -> str:
    name, _, version = image().rpartition(":")
    return f"Apache Kafka {version or name} (docker)"


def missing() -> str | None:
    """Why this kind cannot run here; None: it can."""
    try:
        import docker
    except ImportError:
        return "needs the dev extra (testcontainers)"
    problem = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            client = docker.from_env(timeout=5)
            try:
                client.ping()
            finally:
                client.close()
        except Exception as error:  # whatever the client raises: there is no engine to use
            problem = f"no Docker engine answers ({type(error).__name__})"
        gc.collect()  # the socket that its client leaves open, while nobody minds
    return problem


class DockerNode:
    """The container, under the names of the other kinds."""

    def __init__(self, container: Any, port: int) -> None:
        self._container = container
        self._port = port
        self._frozen = False

    @property
    def alive(self) -> bool:
        self._container.reload()
        return bool(self._container.status in ("running", "paused"))

    def stop(self) -> None:
        self.thaw()
        self._container.stop(timeout=30)

    def kill(self) -> None:
        if self.alive:
            self._container.kill()
            self._container.wait()
        self._frozen = False

    def freeze(self) -> None:
        self._container.pause()
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            self._container.unpause()
        self._frozen = False

    def start(self) -> None:
        """Starts it with the data it has, and waits until it answers."""
        self._container.start()
        wait_for(self._port, self)


class DockerBroker:
    """One container with one node, its port published on 127.0.0.1."""

    kind = "docker"

    def __init__(self, nodes: int = 1, port: int | None = None) -> None:
        if nodes != 1:
            raise UnavailableError("docker mode has one node; three need STREAMS_TEST_BROKER=java")
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        if port is not None:
            refuse_used_port(port)
        self._port = port if port is not None else free_port()
        self.description = description()
        self.nodes: list[DockerNode] = []
        if os.environ.get(VARIABLE):
            testcontainers_config.ryuk_disabled = True
        self._container = DockerContainer(image())
        for name, value in _settings(self._port).items():
            self._container.with_env(name, value)
        self._container.ports["9092/tcp"] = (
            "127.0.0.1",
            self._port,
        )  # with_bind_ports takes no host
        try:
            self._container.start()
            self.nodes.append(DockerNode(self._container.get_wrapped_container(), self._port))
            wait_for(self._port, self.nodes[0])
        except Exception as error:
            log = self.log_since([])
            self.close()
            raise UnavailableError(f"{image()} did not start: {error}\n{log}") from error

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    def supports(self, feature: str) -> bool:
        return feature in KAFKA

    def heal(self) -> None:
        """Thawed and running again, whatever a test did."""
        for node in self.nodes:
            node.thaw()
            if not node.alive:
                node.start()

    def log_marks(self) -> list[int]:
        return []

    def log_since(self, marks: list[int], lines: int = 60) -> str:
        """The last lines of the container's output, whenever that was."""
        if not self.nodes:
            return "(no container)"
        wrapped = self._container.get_wrapped_container()
        return str(wrapped.logs(tail=lines).decode(errors="replace"))

    def close(self) -> None:
        with contextlib.suppress(Exception):  # one that never started cannot be stopped
            self._container.stop()


def wait_for(port: int, node: DockerNode) -> None:
    """Until the broker answers; raises `BrokerError` when it ends or `START_TIMEOUT_S` passes."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and node.alive:
        if broker_count(port, timeout_s=1.0) >= 1:
            return
        time.sleep(0.1)
    raise BrokerError(f"the container does not answer on 127.0.0.1:{port}")


def _settings(port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        # Transactions need the node to reach itself: inside, the published port is not there.
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://localhost:9093,INSIDE://localhost:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port},INSIDE://localhost:9094",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT"
        ),
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "8",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "8",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE": "16777216",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
