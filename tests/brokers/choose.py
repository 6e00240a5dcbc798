"""Which kind of broker the tests run on, and why not a better one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from streams.errors import BrokerError
from tests.brokers.features import UnavailableError

VARIABLE = "STREAMS_TEST_BROKER"
KINDS = ("docker", "java", "embedded")
BEST_FIRST = ("java", "docker", "embedded")


class Node(Protocol):
    """One node of a broker that we started ourselves."""

    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def start(self) -> None: ...
    @property
    def alive(self) -> bool: ...


class Broker(Protocol):
    """What every kind offers. `nodes` is empty where we do not hold them."""

    kind: str
    description: str

    @property
    def bootstrap(self) -> str: ...
    @property
    def nodes(self) -> Sequence[Node]: ...
    def supports(self, feature: str) -> bool: ...
    def heal(self) -> None: ...
    def log_marks(self) -> list[int]: ...
    def log_since(self, marks: list[int], lines: int = 60) -> str: ...
    def close(self) -> None: ...


class Choice(NamedTuple):
    """A kind that can run here. `passed_over`: better kinds with the reason against each."""

    kind: str
    address: str | None
    passed_over: tuple[str, ...] = ()


def problem_with(wanted: str | None) -> str | None:
    """What is wrong with a value of `STREAMS_TEST_BROKER`; None: nothing."""
    if not wanted or wanted in KINDS or re.fullmatch(r"[^,:\s]+:\d+(,[^,:\s]+:\d+)*", wanted):
        return None
    return f"{VARIABLE}={wanted}: allowed are {', '.join(KINDS)} and host:port"


def choose(wanted: str | None) -> Choice:
    """The kind to run on: the one wanted, else the best that can run here.

    Raises `UnavailableError` when the wanted one cannot.
    """
    if problem := problem_with(wanted):
        raise UnavailableError(problem)
    if wanted and wanted not in KINDS:
        return Choice("external", wanted)
    if wanted:
        if reason := _missing(wanted):
            raise UnavailableError(f"{VARIABLE}={wanted}: {reason}")
        return Choice(wanted, None)
    passed_over: list[str] = []
    for kind in BEST_FIRST:
        reason = _missing(kind)
        if reason is None:
            return Choice(kind, None, tuple(passed_over))
        passed_over.append(f"{kind}: {reason}")
    raise UnavailableError("no broker can run here: " + "; ".join(passed_over))


def _missing(kind: str) -> str | None:
    if kind == "java":
        from tests.brokers import jars

        return jars.missing()
    if kind == "docker":
        from tests.brokers import docker

        return docker.missing()
    from streams.kafka.broker import tansu

    try:
        tansu._binary()
    except BrokerError as error:
        return str(error)
    return None


def describe(choice: Choice) -> str:
    """`Apache Kafka 4.4.0 (java)`, `embedded (Tansu)`, ...: what the broker will say of itself."""
    if choice.kind == "java":
        from tests.brokers import jars

        return f"Apache Kafka {jars.kafka_version()} (java)"
    if choice.kind == "docker":
        from tests.brokers import docker

        return docker.description()
    return "embedded (Tansu)" if choice.kind == "embedded" else f"{choice.address} (external)"


def supports(kind: str, feature: str) -> bool:
    """Whether brokers of this kind can do it (`tests.brokers.features`)."""
    if kind == "embedded":
        from tests.brokers.embedded import CANNOT

        return feature not in CANNOT
    if kind == "external":
        from tests.brokers.external import CANNOT

        return feature not in CANNOT
    return True


def start(
    kind: str,
    *,
    nodes: int = 1,
    port: int | None = None,
    address: str | None = None,
    fast_start: bool = True,
) -> Any:
    """Starts a broker and waits until it answers. `fast_start`: see `tests.brokers.jars`."""
    if kind == "java":
        from tests.brokers.java import JavaBroker

        return JavaBroker(nodes, port, fast_start=fast_start)
    if kind == "docker":
        from tests.brokers.docker import DockerBroker

        return DockerBroker(nodes, port)
    if kind == "embedded":
        from tests.brokers.embedded import Embedded

        return Embedded(nodes, port)
    from tests.brokers.external import External

    assert address is not None
    return External(address, nodes)
